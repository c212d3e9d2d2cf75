"""What the admin pages cost on a full store: `python -m bench.pages`.

Fills the store and the log of a real application (100,000 errors in 2,000 groups, 30 days and more
of samples, a million log lines), then prints the median time of each page in the process, how much
of that it computed (the rest it waited, on a busy machine for the processor), its size, and how
much memory all of them took. The environment's settings are left out.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil
from flask import Flask
from flask.testing import FlaskClient

from bench import error_groups, history, log_search
from proletto_otel import setup_telemetry
from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.setup.components import Components

ADMIN = "/admin/monitoring"
TIMES = 9
SLOW_MS = 300.0
"""A page that takes longer is marked."""


def main() -> None:
    """Fill, ask for every page, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--routes", type=int, default=100)
    asked = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(("PROLETTO_", "OTEL_", "MONITOR"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="pages-") as directory:
        app = Flask("shop")
        telemetry = setup_telemetry(
            app, log_dir=directory, log_console=False, sdk_disabled=True, environment="development",
            app_name="shop", log_backups=30, log_max_bytes=10**12,
        )  # fmt: skip
        identifier = fill(telemetry.components, asked)
        store = telemetry.components.store.size_bytes()
        log = sum(path.stat().st_size for path in Path(directory).glob("*structured.json*"))
        print(f"store {store / 1e6:.0f} MB, structured log {log / 1e6:.0f} MB")
        client = app.test_client()
        client.get(ADMIN)  # modules and templates
        process = psutil.Process()
        before = process.memory_info().rss
        for path in paths(client, identifier):
            measure(client, path)
        grown = process.memory_info().rss - before
        print(f"memory after all of them: {grown / 1e6:+.1f} MB")
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        telemetry.shutdown()


def fill(components: Components, asked: argparse.Namespace) -> str:
    """Write everything; the request ID of some line."""
    chance = random.Random(7)
    kinds = [type(f"Error{n}", (Exception,), {}) for n in range(asked.groups)]
    for number in range(asked.errors):
        error_groups.record(kinds, chance)
        if number % 40 == 39:
            components.errors.write_down()
        if number % 4000 == 3999:
            components.errors.keep_within_limits()
    components.errors.write_down()
    print("errors are written", file=sys.stderr)
    known = log_search.write(asked.lines)
    pipeline.deferred.flush()
    while components.log_search.index_some():
        pass
    print("lines are written and indexed", file=sys.stderr)
    store = components.store
    # what this process measured meanwhile
    for table in (
        "metric_names", "metric_points", "request_routes", "request_points", "request_codes",
    ):  # fmt: skip
        store.write(f"DELETE FROM {table}")
    history.fill_metrics(store, len(INDICATORS))
    for number, name in enumerate(INDICATORS):
        store.write("UPDATE metric_names SET name = ? WHERE id = ?", [(name, number)])
    history.fill_requests(store, asked.routes)
    return known[len(known) // 2]


def paths(client: FlaskClient, identifier: str) -> list[str]:
    """Every page, with its longest range and a search that finds nothing."""
    groups = client.get(f"{ADMIN}/api/pages/errors").get_json()["groups"]
    fingerprint = groups[0]["fingerprint"] if groups else "none"
    return [
        "", "/errors", "/errors?sort=recent&range=30d", "/errors?text=Error17&state=all",
        f"/errors/{fingerprint}", f"/errors/{fingerprint}?range=30d",
        "/requests", "/requests?range=30d",
        "/requests/endpoint?method=GET&route=/r1/%3Cint:item%3E&range=30d",
        f"/request/{identifier}", "/request/0123456789abcdef0123456789abcdef",
        "/logs", "/logs?level=ERROR", "/logs?text=payment+refused", "/logs?text=said+by+nobody",
        "/health?range=30d", "/alerts", "/system?range=24h", "/system?range=30d", "/telemetry",
    ]  # fmt: skip


def measure(client: FlaskClient, path: str) -> None:
    """Ask some times; print the medians, the longest and the size."""
    took, computed = [], []
    for _ in range(TIMES):
        began, began_cpu = time.perf_counter(), time.thread_time()
        answer = client.get(f"{ADMIN}{path}")
        computed.append((time.thread_time() - began_cpu) * 1000)
        took.append((time.perf_counter() - began) * 1000)
    median = statistics.median(took)
    own = statistics.median(computed)
    mark = "  slow" if median > SLOW_MS else ""
    print(f"{path or '/':<66} {answer.status_code} {median:7.1f} ms ({own:5.1f} computed), longest"
          f" {max(took):7.1f} ms, {len(answer.data) / 1000:6.1f} kB{mark}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
