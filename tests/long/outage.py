"""Ten minutes without a collector under load: nothing is lost, and memory stays bounded.

`pytest -s tests/long/outage.py`; `PROLETTO_OUTAGE_MINUTES` (default 10) and `PROLETTO_OUTAGE_RATE`
(requests a second, default 500).
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.serving import Program
from tests.otlp_sink import SinkProcess
from tests.waiting import PATIENCE_S, until

MINUTES = float(os.environ.get("PROLETTO_OUTAGE_MINUTES", "10"))
RATE = float(os.environ.get("PROLETTO_OUTAGE_RATE", "500"))
WORKERS, CLIENTS = 4, 16
ONE_BATCH = 512
"""Records of a request that was answered while the collector was killed come twice."""


class Load:
    """Clients on connections that stay open, together at RATE; each request has a number."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered: list[list[int]] = [[] for _ in range(CLIENTS)]
        self.failed: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> set[int]:
        """The numbers of all requests that were answered."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        return {number for mine in self.answered for number in mine}

    def _ask(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        begin, number = time.monotonic(), client
        while not self._over.is_set():
            time.sleep(max(0.0, begin + (number - client) / RATE - time.monotonic()))
            connection.request("GET", f"/item/{number}")
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                self.answered[client].append(number)
            else:
                self.failed.append(f"{number}: {response.status}")
            number += CLIENTS
        connection.close()


def numbers(record: Path) -> dict[str, Counter[int]]:
    """How often each request arrived, by signal; read line by line, as there are a million."""
    found = {"spans": Counter[int](), "logs": Counter[int]()}
    with record.open() as lines:
        for line in lines:
            item: dict[str, Any] = json.loads(line)
            attributes = item.get("attributes") or {}
            if item["signal"] == "traces":
                if str(path := attributes.get("url.path", "")).startswith("/item/"):
                    found["spans"][int(path.rpartition("/")[2])] += 1
            elif item["signal"] == "logs" and "item" in attributes:
                found["logs"][int(attributes["item"])] += 1
    return found


def memory_mb(program: Program) -> float:
    """Resident memory of all workers."""
    assert program.process is not None
    workers = psutil.Process(program.process.pid).children()
    return sum(worker.memory_info().rss for worker in workers) / 1e6


def spool_mb(program: Program) -> float:
    """What waits on disk."""
    return sum(p.stat().st_size for p in program.logs.rglob("spool/**/*") if p.is_file()) / 1e6


def during(program: Program, minutes: float) -> list[tuple[float, float]]:
    """Memory and spool, ten times in *minutes*."""
    found = []
    for step in range(10):
        time.sleep(minutes * 6)
        found.append((memory_mb(program), spool_mb(program)))
        print(f"{(step + 1) * minutes / 10:5.1f} min away: workers {found[-1][0]:.0f} MB,"
              f" spool {found[-1][1]:.1f} MB", flush=True)  # fmt: skip
    return found


@pytest.mark.timeout(MINUTES * 120 + 900)
def test_ten_minutes_without_a_collector_lose_nothing(tmp_path: Path) -> None:
    """The collector is killed under load and comes back: every request's records are there."""
    sink = SinkProcess(tmp_path).start()
    program = Program(tmp_path / "app", sink.url, PROLETTO_STRICT="0")
    program.start(
        sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), "--threads", "4",
        "--worker-class", "gthread", "--bind", f"127.0.0.1:{program.port}", "shop:app",
    )  # fmt: skip
    load = Load(program.port)
    try:
        load.start()
        time.sleep(10)
        before = memory_mb(program)
        sink.kill()
        away = during(program, MINUTES)
        sink.start()
        time.sleep(10)
        answered = load.stop()
        until(lambda: spool_mb(program) < 0.1, "the spool is empty")
        metrics = program.get("/metrics")[1].decode()
    finally:
        assert program.process is not None
        program.process.terminate()
        program.process.wait(PATIENCE_S)
        sink.kill()
    arrived = numbers(tmp_path / "sink.jsonl")
    rate = len(answered) / (MINUTES * 60 + 20)
    doubled = {name: sum(found.values()) - len(found) for name, found in arrived.items()}
    spooled_mb = max(size for _, size in away)
    print(f"{len(answered)} requests ({rate:.0f}/s), twice: {doubled}, workers {before:.0f} -> "
          f"{away[-1][0]:.0f} MB, spool at most {spooled_mb:.1f} MB")  # fmt: skip

    assert [] == load.failed
    assert len(answered) > RATE * MINUTES * 60 / 2
    for found in arrived.values():
        assert answered == found.keys()
        assert found.total() - len(found) <= ONE_BATCH
    dropped = [line for line in metrics.splitlines() if "telemetry_dropped_total{" in line]
    assert [] == [line for line in dropped if not line.endswith(" 0")]
    assert away[-1][0] < before + WORKERS * 32
