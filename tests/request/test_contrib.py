"""Requests traced by OpenTelemetry's instrumentation: which names its spans have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

SHOP = """
import sys
from flask import Flask
if sys.argv[1:] == ["earlier"]:
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    FlaskInstrumentor.instrument_app(Flask("other"))
from proletto_otel import setup_telemetry
setup_telemetry(Flask("shop"), instrumentation="contrib")
"""


@pytest.mark.parametrize(("arguments", "warnings"), [([], 0), (["earlier"], 1)])
def test_old_names_are_said(tmp_path: Path, arguments: list[str], warnings: int) -> None:
    """Whoever instruments first decides for the process: if it has the old names, a line says so.

    A process of its own, because the choice is made once in it.
    """
    without = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-c", SHOP, *arguments], cwd=tmp_path, env=without,
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    said = done.stdout + done.stderr

    assert warnings == said.count("spans have the old HTTP names: set OTEL_SEMCONV_STABILITY")
