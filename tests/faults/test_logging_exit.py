"""Logging when the program is nearly gone: at exit, after shutdown, from `__del__`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE_S

PROGRAM = """
import atexit, logging, sys, threading
from proletto_otel.core import config
from proletto_otel.setup import logs as logs_setup
from proletto_otel.logs.api.loggers import logger

atexit.register(lambda: logger.info("at exit, first registered"))
made, _ = config.load({"log_dir": sys.argv[1]}, {}, {})
logs, _ = logs_setup.install(made)
atexit.register(lambda: logging.getLogger("library").info("at exit, last registered"))

class Late:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        logger.info("deleted", who=self.name)
        logging.getLogger("library").warning("deleted")

late = Late("module global")
logs.stop(0.0)
logger.info("after stop")
logs.uninstall() if len(sys.argv) > 2 else None
logger.info("the end")
"""


def run(tmp_path: Path, *more: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *more],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    lines = (tmp_path / "proletto_structured.json").read_text().splitlines()
    return [json.loads(line)["message"] for line in lines], done


def test_late_records_arrive_without_a_sound(tmp_path: Path) -> None:
    """Records made at exit are written; nothing raises and nothing hangs."""
    events, done = run(tmp_path)

    assert (0, "") == (done.returncode, done.stderr)
    assert [
        "after stop", "the end", "at exit, last registered", "at exit, first registered",
    ] == events[:4]  # fmt: skip
    assert "deleted" in events[4:]


def test_records_after_uninstall_are_printed(tmp_path: Path) -> None:
    """After everything was undone records are still printed."""
    events, done = run(tmp_path, "uninstall")

    assert (0, ["after stop"]) == (done.returncode, events)
    assert "the end" in done.stdout
    assert "Traceback" not in done.stderr
