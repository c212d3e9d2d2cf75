"""Hours of mixed traffic with every sink on: memory, descriptors, threads and state stay flat.

`pytest -s tests/long/soak.py`; `PROLETTO_SOAK_MINUTES` (default 10) and `PROLETTO_SOAK_RATE`
(requests a second, default 20) set how long and how hard. A line with the figures is printed every
minute.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from tests.faults.serving import Program
from tests.slack_server import SlackServer
from tests.waiting import PATIENCE_S

MINUTES = float(os.environ.get("PROLETTO_SOAK_MINUTES", "10"))
RATE = float(os.environ.get("PROLETTO_SOAK_RATE", "20"))
WORKERS = 4
WARM_UP = 0.2
"""Share of the time in which tables and pools fill."""
APP = """
import logging, random
from flask import Flask, Response, abort, jsonify
from proletto_otel import setup_telemetry
from proletto_otel.error_logging import ErrorCapture, handle_errors, logger
from proletto_otel.monitoring import monitor

app = Flask(__name__)
monitor.register_health_check("stock", lambda: True)
monitor.register_threshold(metric="cpu_percent", warning_threshold=99, critical_threshold=99.9)
monitor.register_gauge("queue_depth", lambda: random.randint(0, 9))


@app.get("/item/<int:item>")
def item(item):
    logger.info("item asked for", item=item, user=f"u{item % 1000}", note="x" * (item % 300))
    logging.getLogger("shop.stock").info("stock of %s is %d", item, item % 7)
    return jsonify(item=item)


@app.get("/stream/<int:item>")
def stream(item):
    return Response((f"{n}\\n" for n in range(20)), mimetype="text/plain")


@app.get("/fails/<int:item>")
def fails(item):
    with ErrorCapture(component="pay", user_id=f"u{item}", reraise=False):
        raise ValueError(f"card {item} declined")
    raise KeyError(f"no item {item}")


@app.get("/critical/<int:item>")
def critical(item):
    logger.critical("the till is on fire", item=item)
    return "ok"


@handle_errors(reraise=False, fallback_value=0)
def price(item):
    return 1 / (item % 5)


@app.get("/price/<int:item>")
def show_price(item):
    return jsonify(price=price(item))


telemetry = setup_telemetry(app, app_name="shop", db="sqlite:///errors.db")
"""
PATHS = [
    *["/item/{}"] * 10, *["/price/{}"] * 3, *["/stream/{}"] * 2, "/nowhere/{}", "/fails/{}",
    "/metrics", "/health", "/livez", "/admin/monitoring",
]  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """The service at one moment."""

    rss_mb: float
    descriptors: int
    threads: int
    state_mb: float
    answers: int


class Discard(BaseHTTPRequestHandler):
    """A collector that takes everything and keeps nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def collector() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Discard)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def sample(program: Program, answers: int) -> Sample:
    """Sums over the workers."""
    assert program.process is not None
    workers = psutil.Process(program.process.pid).children()
    state = program.logs / ".state"
    files = [path for path in state.rglob("*") if path.is_file()]
    return Sample(
        sum(w.memory_info().rss for w in workers) / 1e6,
        sum(w.num_fds() for w in workers),
        sum(w.num_threads() for w in workers),
        sum(path.stat().st_size for path in files if path.exists()) / 1e6,
        answers,
    )


def drive(program: Program, minutes: float) -> tuple[list[Sample], Counter[int]]:
    """Ask at RATE; a sample each minute, or ten in a short run."""
    samples: list[Sample] = []
    statuses: Counter[int] = Counter()
    begin = time.monotonic()
    every = min(60.0, minutes * 6)
    number = 0
    while (now := time.monotonic() - begin) < minutes * 60:
        number += 1
        time.sleep(max(0.0, number / RATE - now))
        critical = number % 2000 == 0
        path = "/critical/{}" if critical else PATHS[number % len(PATHS)]
        statuses[program.get(path.format(number))[0]] += 1
        if time.monotonic() - begin >= every * (len(samples) + 1):
            samples.append(sample(program, number))
            print(f"{now / 60:6.1f} min {samples[-1]}", flush=True)
    return samples, statuses


@pytest.mark.timeout(MINUTES * 60 + 300)
def test_everything_stays_flat(tmp_path: Path) -> None:
    """After the warm-up no figure grows, and nothing was answered wrongly or lost."""
    with SlackServer() as slack, collector() as endpoint:
        program = Program(
            tmp_path, endpoint, PROLETTO_STRICT="0", SLACK_WEBHOOK_URL=slack.webhook_url,
            PROLETTO_SLACK_ALLOW_INSECURE="1", LOG_MAX_BYTES="2000000", FLASK_ENV="development",
        )  # fmt: skip
        program.app.write_text(APP)
        program.start(
            sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), "--threads", "2",
            "--bind", f"127.0.0.1:{program.port}", "shop:app",
        )  # fmt: skip
        try:
            samples, statuses = drive(program, MINUTES)
            metrics = program.get("/metrics")[1].decode()
        finally:
            assert program.process is not None
            program.process.terminate()
            program.process.wait(PATIENCE_S)
    settled = samples[int(len(samples) * WARM_UP) :]
    half = len(settled) // 2
    first, last = settled[:half], settled[half:]
    print(statuses)

    assert {200, 404, 500} == set(statuses)
    for name, allowance in (("rss_mb", 1.05), ("descriptors", 1.1), ("threads", 1.1)):
        before, after = (
            statistics.median(getattr(s, name) for s in part) for part in (first, last)
        )
        assert after <= before * allowance, (name, before, after)
    assert max(s.state_mb for s in settled) < 100
    dropped = [line for line in metrics.splitlines() if "telemetry_dropped_total{" in line]
    assert [] == [line for line in dropped if not line.endswith(" 0")]
