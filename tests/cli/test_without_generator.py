"""The library where only its wheel is: nothing asks for what builds the dashboards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

WITHOUT = """
import importlib, pkgutil, sys
# None: an import fails as if it were not installed.
sys.modules["grafana_foundation_sdk"] = sys.modules["tools"] = None
"""
EVERY_MODULE = """
import proletto_otel
for module in pkgutil.walk_packages(proletto_otel.__path__, "proletto_otel."):
    if module.name != "proletto_otel.__main__":
        importlib.import_module(module.name)
"""
COMMAND = "from proletto_otel.cli.group import cli; cli()"
APP = """
from flask import Flask
from proletto_otel import setup_telemetry

app = Flask(__name__)
setup_telemetry(app)
"""


def run(folder: Path, program: str, *words: str) -> str:
    """Run *program* where neither the SDK nor the generators can be imported; its output."""
    env = {**os.environ, "LOG_DIR": str(folder / "logs"), "OTEL_SERVICE_NAME": "shop"}
    command = [sys.executable, "-c", WITHOUT + program, *words]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def test_every_module_is_imported(tmp_path: Path) -> None:
    """No module needs them, at the top or in passing."""
    run(tmp_path, EVERY_MODULE)


@pytest.mark.parametrize(
    "words", [("stack", "init", "."), ("alert-rules", "shop_app:app"), ("doctor", "--help")],
    ids=" ".join,
)  # fmt: skip
def test_command_runs(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Commands that write or read the stack's files."""
    (tmp_path / "shop_app.py").write_text(APP)

    assert run(tmp_path, COMMAND, *words)


def test_written_stack_is_whole(tmp_path: Path) -> None:
    """`stack init` writes the dashboards, and `stack check` reads them."""
    run(tmp_path, COMMAND, "stack", "init", "stack")

    assert (tmp_path / "stack/grafana/dashboards/service.json").exists()
    assert run(tmp_path, COMMAND, "stack", "check", "stack")
