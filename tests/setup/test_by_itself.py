"""Programs that log and never call `setup_telemetry`: nothing they log is lost in silence."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

DECORATED = """
from proletto_otel.error_logging import handle_errors, logger

@handle_errors(fallback_value=0)
def divide(a, b):
    return a / b

divide(1, 0)
"""


def run(directory: Path, program: str, **environment: str) -> str:
    """Run *program* to its end; what it printed."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PROLETTO_", "PYTEST_", "OTEL_", "LOG_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=directory, capture_output=True, text=True,
        timeout=PATIENCE_S,
        env=clean | {"OTEL_SDK_DISABLED": "1"} | environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_script_without_set_up_writes_its_files(tmp_path: Path) -> None:
    """The decorators alone, as the specification shows them; one line says what happened."""
    said = run(tmp_path, DECORATED)

    assert "ZeroDivisionError" in (tmp_path / "logs" / "proletto_error.log").read_text()
    assert 1 == said.count("setup_telemetry was not called")
    assert 1 == said.count("ZeroDivisionError: ")


def test_a_database_without_set_up_gets_its_rows(tmp_path: Path) -> None:
    """`add_db_handler(db)` alone: the error is in the table."""
    run(
        tmp_path,
        "from proletto_otel.error_logging import add_db_handler\n"
        "add_db_handler('sqlite:///errors.sqlite')\n" + DECORATED,
    )
    rows = sqlite3.connect(tmp_path / "errors.sqlite").execute("SELECT * FROM error_logs")

    assert 1 == len(rows.fetchall())


@pytest.mark.parametrize("forks", [False, True])
def test_a_long_program_is_set_up_while_it_runs(tmp_path: Path, forks: bool) -> None:
    """After some seconds, in a forked worker too."""
    program = """
import os, time
from pathlib import Path
from proletto_otel.setup import by_itself
by_itself.WAIT_S = 0.3
from proletto_otel.error_logging import logger
logger.warning("early")
child = os.fork() if FORKS else 0
if FORKS and child:
    os.waitpid(child, 0)
    os._exit(0)
until = time.monotonic() + 20
log = Path("logs/proletto.log")
while time.monotonic() < until and not (log.exists() and "early" in log.read_text()):
    time.sleep(0.05)
assert "early" in log.read_text()
os._exit(0)
"""
    run(tmp_path, program.replace("FORKS", str(forks)))


def test_its_own_set_up_replaces_ours(tmp_path: Path) -> None:
    """A program that is slow to call it gets the settings that it asks for."""
    said = run(
        tmp_path,
        """
from proletto_otel.setup import telemetry
from proletto_otel.error_logging import logger
logger.warning("early")
telemetry.set_up_by_itself()
from proletto_otel import setup_telemetry
made = setup_telemetry(app_name="shop", log_dir="mine")
logger.warning("late")
made.shutdown()
""",
    )
    assert "late" in (tmp_path / "mine" / "shop.log").read_text()
    assert "called before" not in said


def test_a_program_that_logs_nothing_leaves_nothing(tmp_path: Path) -> None:
    """Importing is no reason to write."""
    run(tmp_path, "import proletto_otel.error_logging, proletto_otel.monitoring")

    assert [] == list(tmp_path.iterdir())
