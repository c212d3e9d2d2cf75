"""Logging from a signal handler, in the middle of logging: no dead-lock, every loss counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

PROGRAM = """
import logging, signal, sys, time
from collections import deque
from pathlib import Path
from proletto_otel.core import config
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.setup import logs as logs_setup
from proletto_otel.logs.api.loggers import logger

made, _ = config.load({
    "log_dir": sys.argv[1], "log_max_bytes": 100_000, "log_json_max_bytes": 100_000,
    "log_backups": 1000,
}, {}, {})
logs, _ = logs_setup.install(made, otlp=deque(maxlen=1000).extend)
if sys.argv[2] == "served":
    logs.start()
library = logging.getLogger("library")
handled = [0]

def handler(*_):
    handled[0] += 1
    logger.info("from the handler", n=handled[0])
    library.warning("from the handler", extra={"n": handled[0]})

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
until, n = time.monotonic() + 3, 0
def enough():
    if time.monotonic() < until or handled[0] <= 500:
        return False
    return len(list(Path(sys.argv[1]).glob("proletto_structured.json.*"))) > 5
while not enough():
    n += 1
    try:
        logger.error("from the program", n=n, exc_info=ValueError("x"))
        library.info("from the program", extra={"n": n})
    except RecursionError:
        raise SystemExit("recursion")
signal.setitimer(signal.ITIMER_REAL, 0, 0)
assert logs.flush(time.monotonic() + 300)
for sink in ("file", "json_file", "console"):
    totals = ledger.totals()[sink]
    assert totals["emitted"] == totals["delivered"] + sum(totals["dropped"].values()), totals
    assert totals["emitted"] == 2 * (n + handled[0]), (totals, n, handled)
print(ledger.totals()["json_file"]["delivered"], file=sys.stderr)
"""


@pytest.mark.parametrize("when", ["set up", "served"])
def test_no_deadlock_in_a_storm_of_signals(tmp_path: Path, when: str) -> None:
    """2,000 signals a second log while the program logs and files rotate: it ends, it adds up."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), when],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr
    lines = [
        line
        for path in tmp_path.glob("proletto_structured.json*")
        for line in path.read_text().splitlines()
    ]
    assert int(done.stderr.splitlines()[-1]) == len([json.loads(line) for line in lines])
    assert len(list(tmp_path.glob("proletto_structured.json.*"))) > 5
