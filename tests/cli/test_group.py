"""`python -m proletto_otel`: help, version, and that commands load only when they run."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from proletto_otel.cli.group import COMMANDS
from tests.waiting import PATIENCE_S


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "proletto_otel", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)


def test_help_lists_every_command() -> None:
    """`--help` shows each command with what it does."""
    shown = run("--help").stdout

    assert all(f"  {name}" in shown for name in COMMANDS)


def test_version_is_the_installed_one() -> None:
    """`--version` prints the version of the distribution."""
    assert f"proletto_otel {version('proletto_otel')}\n" == run("--version").stdout


def test_help_imports_no_command() -> None:
    """Help stays quick however much a command needs."""
    code = (
        "import sys\n"
        "from proletto_otel.cli.group import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "print([name for name in sys.modules if name.startswith('proletto_otel.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.endswith("['proletto_otel.cli.group']\n")


def test_unknown_command_is_a_usage_error() -> None:
    """A mistyped command exits with 2 and says so."""
    done = run("stakc")

    assert 2 == done.returncode
    assert "No such command 'stakc'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_row_has_its_file(name: str) -> None:
    """Each name of the table is a click command in a file of that name."""
    module = import_module(f"proletto_otel.cli.{name.replace('-', '_')}")

    assert isinstance(module.command, click.Command)
    assert name == module.command.name


@pytest.mark.parametrize(
    "words",
    [
        ("stack", "init", "/proc/no/stack"),
        ("alert-rules", "shop:app", "--out", "/proc/no"),
    ],
    ids=" ".join,
)
def test_folder_that_cannot_be_written_is_said(words: tuple[str, ...], tmp_path: Path) -> None:
    """One line with the folder, no traceback."""
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\nfrom proletto_otel import setup_telemetry\n"
        "app = Flask(__name__)\nsetup_telemetry(app)\n"
    )
    command = [sys.executable, "-m", "proletto_otel", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)

    assert 1 == done.returncode
    assert "Error: /proc/no" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("spool",), ("stack",)], ids=" ".join)
def test_help_of_a_group_is_not_cut(words: tuple[str, ...]) -> None:
    """Each command's line is whole."""
    assert "..." not in run(*words, "--help").stdout.partition("Commands:")[2]
