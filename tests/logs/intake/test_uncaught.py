"""Exceptions nobody caught are logged once, as CRITICAL, and handled as before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.core.conventions import MESSAGE
from tests.waiting import PATIENCE_S

SETUP = """
import asyncio, gc, sys, threading
from proletto_otel.core import config
from proletto_otel.setup import logs as logs_setup
from proletto_otel.logs.api.loggers import logger
made, _ = config.load({"log_dir": sys.argv[1]}, {}, {})
logs_setup.install(made)
"""
BODIES = {
    "main": ("raise ValueError('lost')", "uncaught exception"),
    "thread": (
        """
def work(): raise ValueError('lost')
worker = threading.Thread(target=work, name="worker-7")
worker.start(); worker.join()
""",
        "uncaught exception in thread",
    ),
    "asyncio": (
        """
async def work(): raise ValueError('lost')
async def main():
    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
asyncio.run(main())
""",
        "Task exception was never retrieved",
    ),
    "unraisable": (
        """
class Broken:
    def __del__(self): raise ValueError('lost')
Broken()
""",
        "exception ignored",
    ),
    "reported": (
        """
try:
    raise ValueError('lost')
except ValueError:
    logger.critical("known", exc_info=True)
    raise
""",
        "known",
    ),
}


def run(tmp_path: Path, body: str) -> tuple[list[dict[str, Any]], str]:
    done = subprocess.run(
        [sys.executable, "-c", SETUP + body, str(tmp_path)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    path = tmp_path / "proletto_structured.json"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines], done.stderr


@pytest.mark.parametrize("case", BODIES)
def test_uncaught_is_logged_once(tmp_path: Path, case: str) -> None:
    """Main thread, threads, asyncio tasks, `__del__`: one CRITICAL record with its traceback."""
    body, event = BODIES[case]
    lines, errors = run(tmp_path, body)

    assert ["CRITICAL"] == [line["level"] for line in lines]
    assert lines[0][MESSAGE].startswith(event)
    assert ("ValueError", "lost") == (
        lines[0]["exception"]["type"], lines[0]["exception"]["message"],
    )  # fmt: skip
    if case != "asyncio":
        assert "ValueError: lost" in errors  # as Python does by itself


def test_interrupt_is_not_an_error(tmp_path: Path) -> None:
    """Ctrl-C and `sys.exit` are not logged."""
    for n, (body, said) in enumerate(EXITS.items(), 1):
        lines, errors = run(tmp_path, f"logger.info('began')\n{body}")
        assert ["began"] * n == [line[MESSAGE] for line in lines]  # the program ran, nothing else
        assert said in errors


EXITS = {
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "sys.exit('enough')": "enough",
    """
def work(): raise SystemExit(3)
worker = threading.Thread(target=work); worker.start(); worker.join()
""": "",
    """
class Broken:
    def __del__(self): raise KeyboardInterrupt
Broken()
""": "KeyboardInterrupt",
    """
def interrupted(): raise KeyboardInterrupt
worker = threading.Thread(target=interrupted); worker.start(); worker.join()
""": "KeyboardInterrupt",
}
