"""What requests cost in CPU, network and disk, and what the settings save.

    python bench/cost.py             # CPU, bytes sent and bytes written for each setting
    python bench/cost.py --stores    # also what Loki and Prometheus keep; after `make backends`

CPU is that of the whole process beside `bare` in the same run; bytes sent are compressed, as they
leave; bytes written are those of the log files. docs/cost.md quotes the tables.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from application import KINDS
from receiver import Received, Receiver
from subjects import Subject, started

REMOTE = {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
"""As to a collector on another machine; to this one nothing is compressed by default."""
SETTINGS: dict[str, dict[str, str]] = {
    "defaults": {},
    "not compressed": {"OTEL_EXPORTER_OTLP_COMPRESSION": "none"},
    "a tenth of the traces": {
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
    },
    "ordinary traces: a tenth": {"PROLETTO_TRACES_KEEP_RATIO": "0.1"},
    "no traces": {"OTEL_TRACES_EXPORTER": "none"},
    "logs not exported": {"OTEL_LOGS_EXPORTER": "none"},
    "no log files": {"PROLETTO_LOG_FILES": "0"},
    "LOG_LEVEL=WARNING": {"LOG_LEVEL": "WARNING"},
}
SIGNALS = ("/v1/traces", "/v1/logs")
ROUNDS = 5
WARM_UP = 150
STORE_WAIT_S = 120
RATES = (100, 1_000, 10_000)
FAILING = 0.01
DAY_S = 86_400


@dataclass
class Cost:
    """Of one request."""

    cpu_us: float
    sent: dict[str, float]
    """Bytes by signal."""
    written: float
    """Bytes of the log files."""


def main() -> None:
    """Measure every setting, print a table for each kind of request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000, help="of each kind, in each round")
    parser.add_argument("--stores", action="store_true", help="also ask a real Loki and Prometheus")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cost-") as folder:
        costs = measured(Path(folder), asked.requests)
        for kind in KINDS:
            print_table(kind, {name: kinds[kind] for name, kinds in costs.items()})
        print_days(costs["defaults"], costs["bare"])
        if asked.stores:
            stores(Path(folder), asked.requests)


def measured(folder: Path, requests: int) -> dict[str, dict[str, Cost]]:
    """The cost of each kind of request, by setting; turns are taken round by round."""
    with ExitStack() as cleanup:
        running: dict[str, tuple[Subject, Receiver]] = {}
        for number, (name, settings) in enumerate({"bare": {}, **SETTINGS}.items()):
            configuration = "bare" if name == "bare" else "proletto"
            receiver = Receiver()
            process = started(
                configuration, folder / str(number), receiver.url, {**REMOTE, **settings}
            )
            running[name] = cleanup.enter_context(process), receiver
        for subject, _ in running.values():
            for kind in KINDS:
                subject.ask("send", kind=kind, requests=WARM_UP)
        rounds = [
            {name: {kind: cost(*parts, kind, requests) for kind in KINDS}}
            for _ in range(ROUNDS)
            for name, parts in running.items()
        ]
    return {
        name: {kind: typical([r[name][kind] for r in rounds if name in r]) for kind in KINDS}
        for name in running
    }


def cost(subject: Subject, receiver: Receiver, kind: str, requests: int) -> Cost:
    """Of each of so many requests."""
    subject.ask("flush")
    sent, written = dict(receiver.snapshot().wire_bytes), bytes_of_logs(subject.folder)
    cpu_us = subject.ask("measure", kind=kind, requests=requests)
    after = receiver.snapshot().wire_bytes
    return Cost(
        cpu_us,
        {signal: (after[signal] - sent.get(signal, 0)) / requests for signal in SIGNALS},
        (bytes_of_logs(subject.folder) - written) / requests,
    )


def typical(costs: list[Cost]) -> Cost:
    """The median of several rounds."""
    return Cost(
        statistics.median(c.cpu_us for c in costs),
        {signal: statistics.median(c.sent[signal] for c in costs) for signal in SIGNALS},
        statistics.median(c.written for c in costs),
    )


def bytes_of_logs(folder: Path) -> int:
    """All log files, the rotated ones included."""
    return sum(path.stat().st_size for path in folder.glob("*.*") if ".log" in path.name
               or ".json" in path.name)  # fmt: skip


def print_table(kind: str, costs: Mapping[str, Cost]) -> None:
    """Microseconds and bytes of one request."""
    print(f"\n{kind}: of one request\n")
    print("| Setting | CPU added | traces sent | logs sent | log files |")
    print("|---|---|---|---|---|")
    base = costs["bare"]
    for name, found in costs.items():
        added = found.cpu_us - base.cpu_us
        cpu = f"({base.cpu_us:.0f} µs)" if name == "bare" else f"{added:+.0f} µs"
        sent = " | ".join(f"{found.sent[signal]:.0f} B" for signal in SIGNALS)
        print(f"| {name} | {cpu} | {sent} | {found.written:.0f} B |")


def print_days(ours: Mapping[str, Cost], bare: Mapping[str, Cost]) -> None:
    """A day of requests with three log lines each, of which one in a hundred fails."""
    shares = {"logs": 1 - FAILING, "error": FAILING}
    cpu_us = sum((ours[kind].cpu_us - bare[kind].cpu_us) * part for kind, part in shares.items())
    traces, logs = (
        sum(ours[kind].sent[signal] * part for kind, part in shares.items()) for signal in SIGNALS
    )
    files = sum(ours[kind].written * part for kind, part in shares.items())
    print("\n| Requests a second | cores | network a day | of it traces | log files a day |")
    print("|---|---|---|---|---|")
    for rate in RATES:
        a_day = rate * DAY_S / 1e9
        print(
            f"| {rate:,} | {rate * cpu_us / 1e6:.3f} | {(traces + logs) * a_day:.1f} GB "
            f"| {traces * a_day:.1f} GB | {files * a_day:.1f} GB |"
        )


# --- stores ------------------------------------------------------------------------------------
class Recording(Receiver):
    """Keeps the payloads, to hand them to the stack."""

    def __init__(self) -> None:
        self.payloads: list[tuple[str, bytes]] = []
        super().__init__()

    def take(self, path: str, body: bytes) -> None:
        """Keep a payload."""
        self.payloads.append((path, body))


def stores(folder: Path, requests: int) -> None:
    """Print what the stack keeps of `hello`, `logs` and `error` requests."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.stack.receiver import Receiver as NoTempo
    from tests.stack.system import System

    system = System(folder, NoTempo())
    try:
        system.start_prometheus()
        system.start_loki()
        system.start_collector()
        receiver = Recording()
        with started("proletto", folder / "stored", receiver.url, REMOTE) as subject:
            for kind in KINDS:
                subject.ask("measure", kind=kind, requests=requests)
            subject.ask("flush")
        records = 0
        for path, body in receiver.payloads:
            post(system.otlp + path, body)
            records += log_records(path, body)
        kept = settled(system, records)
        size = sum(f.stat().st_size for f in (folder / "loki/chunks").rglob("*") if f.is_file())
        series = system.total('count({service_name="bench"})')
        print(f"\nLoki: {kept} of {records} log records take {size / records:.0f} B each")
        print(f"Prometheus: {series:.0f} series of the service for three routes")
    finally:
        system.close()


def settled(system: Any, records: int) -> int:
    """The records that Loki has, when it has all or the time is over; then its chunks on disk."""
    query = 'sum(count_over_time({service_name="bench"}[1h]))'
    until, found = time.monotonic() + STORE_WAIT_S, 0
    while found < records and time.monotonic() < until:
        time.sleep(1)
        values = [int(v) for series in system.loki(query) for _, v in series["values"]]
        found = max(values, default=0)
    post(system.url("loki") + "/flush", b"")
    time.sleep(15)  # the flush is answered before it is done
    return found


def log_records(path: str, body: bytes) -> int:
    """How many a payload holds."""
    found = Received()
    if path == "/v1/logs":
        found.take(path, body)
    return found.counts["log records"]


def post(url: str, body: bytes) -> None:
    """Send one payload as it came."""
    headers = {"Content-Type": "application/x-protobuf"}
    if body.startswith(b"\x1f\x8b"):
        headers["Content-Encoding"] = "gzip"
    urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30).close()


if __name__ == "__main__":
    main()
