"""A process that is told to end, again and again: what it has goes out or to disk all the same."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.otlp_sink import OtlpSink
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
RECORDS = 2000

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from proletto_otel.core.config import load
from proletto_otel.export.encoding import otlp
from proletto_otel.export.exporter import OtlpExporter
from proletto_otel.runtime.lifecycle import Lifecycle

settings = load({}, {}, os.environ)[0]
exporter = OtlpExporter(settings, Path(sys.argv[1]))
lifecycle = Lifecycle([exporter], shutdown_timeout_s=3.0)

def emit(n):
    for i in range(n):
        exporter.logs.put(otlp.log_record(
            time_ns=1, severity_number=9, severity_text="INFO", body="x",
            attributes=otlp.log_attribute("uid", f"{os.getpid()}-{i}")))

def work(_):
    lifecycle.ensure()
    emit(500)

if sys.argv[2] == "own handler":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
lifecycle.begin()
lifecycle.activate()
if sys.argv[2] == "pool":
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(work, range(4), chunksize=1)
        print("ready", flush=True)
else:
    emit(2000)
    print("ready", flush=True)
    if sys.argv[2] != "at exit":
        while True:
            time.sleep(0.1)
"""


@contextmanager
def program(sink: OtlpSink, state: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """The program, with all its records waiting."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "PYTHONPATH": str(ROOT),
        "OTEL_BLRP_SCHEDULE_DELAY": "60000",
        "OTEL_METRICS_EXPORTER": "none",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(state), how],
        env=os.environ | environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    try:
        yield process
    finally:
        process.communicate(timeout=PATIENCE_S)


def spooled(state: Path) -> int:
    """Records on disk, by the names of the files."""
    names = [path.name for path in (state / "spool" / "logs").glob("*.otlp*")]
    return sum(int(re.split("-", name)[1]) for name in names)


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("how", ["waiting", "at exit", "own handler"])
@pytest.mark.parametrize(("times", "gap_s"), [(1, 0.0), (2, 0.01), (2, 0.3), (5, 0.05)])
def test_repeated_sigterm_loses_nothing(
    tmp_path: Path, hangs: bool, how: str, times: int, gap_s: float
) -> None:
    """Whenever they come, the exit that runs has its time; the program ends as it would have."""
    with OtlpSink() as sink:
        if hangs:
            sink.hanging.set()
        with program(sink, tmp_path, how) as process:
            for _ in range(times):
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                time.sleep(gap_s)  # the signals' distance is what is tested, not what is judged
        arrived = len(sink.logs)

    assert RECORDS == arrived + spooled(tmp_path)
    if how == "waiting":
        assert -signal.SIGTERM == process.returncode
    elif how == "own handler":  # a late signal meets an interpreter that is gone
        assert process.returncode in (7, -signal.SIGTERM)


@pytest.mark.parametrize("hangs", [False, True])
def test_pool_that_ends_its_children_loses_nothing(tmp_path: Path, hangs: bool) -> None:
    """`with Pool()` sends SIGTERM to children that are about to end by themselves."""
    with OtlpSink() as sink:
        if hangs:
            sink.hanging.set()
        with program(sink, tmp_path, "pool"):
            pass
        arrived = len(sink.logs)

    assert RECORDS == arrived + spooled(tmp_path)
