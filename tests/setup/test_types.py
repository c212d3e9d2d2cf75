"""What an editor and a type checker know of the package."""

from __future__ import annotations

import pydoc
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import proletto_otel
from proletto_otel.core.config import SETTINGS
from proletto_otel.setup.settings import Settings
from tests.waiting import PATIENCE_S

PROGRAM = """
from flask import Flask
from proletto_otel import setup_telemetry, __version__
from proletto_otel.error_logging import Record, Sink, add_sink, bind
from proletto_otel.monitoring_routes import init_app

class Pager(Sink):
    name = "pager"
    def write(self, record: Record) -> None:
        print(record.message, __version__)

app = Flask("shop")
setup_telemetry(app, log_dir="logs", log_level="INFO", redact_keys=["pin"], smtp_port=25)
init_app(app, db="sqlite://", alerts="both")
add_sink(Pager())
bind(order_id=7)
"""
WRONG = {
    "setup_telemetry(app, log_dri=1)": "log_dri",
    "setup_telemetry(app, smtp_port='x')": "smtp_port",
    "setup_telemetry(app, alerts='nobody')": "alerts",
    "init_app(app, nothing=1)": "nothing",
}


def test_arguments_are_checked(tmp_path: Path) -> None:
    """mypy --strict takes what fits and names each argument that does not."""
    program = tmp_path / "shop.py"
    program.write_text(PROGRAM + "\n".join(WRONG))
    first = PROGRAM.count("\n") + 1
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(program)],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=PATIENCE_S,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]

    assert len(WRONG) == len(errors), done.stdout + done.stderr
    for number, (line, name) in enumerate(zip(errors, WRONG.values(), strict=True), first):
        assert f"shop.py:{number}:" in line
        assert f'"{name}"' in line


def test_every_setting_has_a_type() -> None:
    """The generated types are those of the table."""
    assert [row.name for row in SETTINGS] == list(Settings.__annotations__)


def test_the_package_introduces_itself() -> None:
    """Its version, what it offers, and help on it."""
    assert version("proletto_otel") == proletto_otel.__version__
    assert {"setup_telemetry", "bind", "Telemetry", "__version__"} <= set(dir(proletto_otel))
    text = pydoc.plain(pydoc.render_doc(proletto_otel))
    assert "Switch telemetry on" in text
