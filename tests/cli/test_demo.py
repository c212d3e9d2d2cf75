"""`python -m proletto_otel demo`: the shop for a user who has only the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.docs.test_demo import FOLLOW, NOBODY
from tests.servers import free_port
from tests.waiting import PATIENCE_S


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The package as the wheel unpacks it: no clone around it, the shop inside."""
    leave_out = shutil.ignore_patterns("__pycache__", "logs")
    folder = tmp_path / "site-packages"
    package = shutil.copytree(ROOT / "proletto_otel", folder / "proletto_otel")
    shutil.copytree(ROOT / "examples/shop", package / "examples/shop", ignore=leave_out)
    return folder


def test_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """It starts the packed shop, prints a failed request to follow, and ends by itself."""
    environment = dict(os.environ, PYTHONPATH=str(installed), OTEL_EXPORTER_OTLP_ENDPOINT=NOBODY)
    words = ("demo", "--seconds", "2", "--port", str(free_port()), "--folder", "look")

    ended = subprocess.run(
        [sys.executable, "-m", "proletto_otel", *words],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stdout + ended.stderr
    (request_id,) = FOLLOW.findall(ended.stdout)
    assert request_id in (tmp_path / "look/logs/proletto_error.log").read_text()


def test_wheel_holds_the_shop() -> None:
    """What the command looks for is what pyproject.toml packs."""
    packed = (ROOT / "pyproject.toml").read_text()

    assert '"examples/shop" = "proletto_otel/examples/shop"' in packed
