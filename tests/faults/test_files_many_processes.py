"""Eight processes, one set of log files: nothing lost, torn or doubled, whatever rotates."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.workers import serving
from tests.waiting import PATIENCE_S

PROCESSES = 8
RECORDS = 5_000
WHOLE = re.compile(r"[=\"]x{150}(?:\"\}| request_id=[0-9a-f]{32})?$")
"""How the end of a line looks: structured, text, text inside a request."""
MAX_BYTES = 1_000_000
WORKER = """
import os, sys, time
from proletto_otel.core import config
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.setup import logs as logs_setup
from proletto_otel.logs.record import builder
from proletto_otel.logs.api.loggers import logger

directory, how, records = sys.argv[1], sys.argv[2], int(sys.argv[4])
made, _ = config.load({
    "log_dir": directory, "log_console": False, "log_max_bytes": 1_000_000,
    "log_json_max_bytes": 1_000_000, "log_backups": 1000, "capture_uncaught": False,
}, {}, {})
logs, _ = logs_setup.install(made)
day_ns, jumped, real = 86_400 * 10**9, [0], time.time_ns
builder._time_ns = lambda: real() + jumped[0]

def work(worker):
    for n in range(records):
        if n == records // 2:
            jumped[0] = day_ns  # midnight comes, for each worker at a moment of its own
        write = logger.error if n % 5 == 0 else logger.info
        write(f"uid={worker}-{n}.", padding="x" * 150)
    lost = {s: t["dropped"] for s, t in ledger.totals().items() if sum(t["dropped"].values())}
    assert not lost, lost
    assert ledger.totals()["file"]["emitted"] == ledger.totals()["file"]["delivered"]

if how == "fresh":
    work(sys.argv[3])
else:
    logger.info("before the fork")
    children = []
    for worker in range(int(sys.argv[3])):
        pid = os.fork()
        if not pid:
            logs.forked()
            for sink_totals in (ledger._emitted, ledger._delivered):
                sink_totals.reset()
            work(str(worker))
            os._exit(0)
        children.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
"""


def run(directory: Path, how: str) -> None:
    command = [sys.executable, "-c", WORKER, str(directory), how]
    arguments = [str(w) for w in range(PROCESSES)] if how == "fresh" else [str(PROCESSES)]
    environment = os.environ | {"PROLETTO_STRICT": "1"}
    running = [
        subprocess.Popen([*command, argument, str(RECORDS)], env=environment)
        for argument in arguments
    ]
    try:
        assert [0] * len(running) == [process.wait(PATIENCE_S) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()


def files(folder: Path, pattern: str) -> list[Path]:
    """The log files; where no state directory is given, rotation's locks lie beside them."""
    return sorted(path for path in folder.glob(pattern) if path.suffix != ".lock")


def uids(paths: list[Path]) -> Counter[str]:
    """Every record's uid; a torn line has none, or stands where it does not belong."""
    found: Counter[str] = Counter()
    for path in paths:
        for line in path.read_text().splitlines():
            if "before the fork" not in line:
                (uid,) = re.findall(r"uid=(\d+-\d+)\.", line)
                assert WHOLE.search(line), line
                found[uid] += 1
    return found


@pytest.mark.parametrize("how", ["fresh", "forked"])
def test_eight_processes_share_the_files(tmp_path: Path, how: str) -> None:
    """40,000 records of 8 processes, rotation every 1 MB, a midnight: each one exactly once."""
    run(tmp_path, how)

    every = Counter(f"{w}-{n}" for w in range(PROCESSES) for n in range(RECORDS))
    errors = Counter(uid for uid in every if int(uid.split("-")[1]) % 5 == 0)
    text = files(tmp_path, "proletto.log*")
    structured = files(tmp_path, "proletto_structured.json*")
    daily = files(tmp_path, "proletto_error.log*")
    assert every == uids(text)
    assert every == uids(structured)
    assert errors == uids(daily)
    for path in structured:
        for line in path.read_text().splitlines():
            json.loads(line)
    assert len(text) > 8
    # The others write on while one renames: a record each, or more where it waits for a core.
    assert all(p.stat().st_size <= 1.5 * MAX_BYTES for p in text + structured)
    rotated = [p for p in text + structured if p.suffix[1:].isdigit()]
    assert all(p.stat().st_size >= MAX_BYTES for p in rotated)  # each rotated once, when full
    assert 2 == len(daily)


GUNICORN_APP = """
from flask import Flask
from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger

app = Flask(__name__)

@app.get("/burst/<int:number>")
def burst(number):
    for n in range(100):
        write = logger.error if n % 5 == 0 else logger.info
        write(f"uid={number}-{n}.", padding="x" * 150)
    return "done"

setup_telemetry(app)
"""


def test_gunicorn_workers_share_the_files(tmp_path: Path) -> None:
    """40,000 records of 8 gunicorn workers, rotation every 1 MB, SIGTERM at the end: all there."""
    settings = {
        "PROLETTO_LOG_MAX_BYTES": "1000000", "PROLETTO_LOG_JSON_MAX_BYTES": "1000000",
        "PROLETTO_LOG_BACKUPS": "1000", "MONITOR_REQUEST_LOGGING": "0",
    }  # fmt: skip
    requests = range(400)
    (tmp_path / "many.py").write_text(GUNICORN_APP)
    # gunicorn serves the first application it is told
    with (
        serving(tmp_path, "-w", "8", "many:app", **settings) as server,
        ThreadPoolExecutor(8) as clients,
    ):
        answers = list(clients.map(lambda n: server.get(f"/burst/{n}"), requests))
    assert [(200, b"done")] * 400 == answers

    logs = tmp_path / "logs"
    every = Counter(f"{n}-{i}" for n in requests for i in range(100))
    assert every == uids(files(logs, "proletto_structured.json*"))
    assert every == uids(files(logs, "proletto.log*"))
    assert 8_000 == uids(files(logs, "proletto_error.log*")).total()


def test_backups_stay_bounded(tmp_path: Path) -> None:
    """With few backups kept, there are never more files than that plus the one written to."""
    command = [
        sys.executable, "-c", WORKER.replace('"log_backups": 1000', '"log_backups": 3'),
        str(tmp_path), "fresh",
    ]  # fmt: skip
    running = [subprocess.Popen([*command, str(w), "2000"]) for w in range(4)]
    assert [0] * 4 == [process.wait(PATIENCE_S) for process in running]

    assert len(files(tmp_path, "proletto_structured.json*")) == 4
    assert len(files(tmp_path, "proletto.log*")) <= 4
