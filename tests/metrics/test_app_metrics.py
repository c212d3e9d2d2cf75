"""The metrics API of OpenTelemetry is imported by those who use it, and is ours from then on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.otlp_sink import ROOT
from tests.waiting import PATIENCE_S

SHOP = """
import sys
import flask
from proletto_otel import setup_telemetry
{before}
app = flask.Flask("shop")
telemetry = setup_telemetry(app)
client = app.test_client()
{between}
client.get("/nothing")
assert {imported} == ("opentelemetry.metrics" in sys.modules)
{after}
print(client.get("/metrics").text)
"""
MAKE = "from opentelemetry import metrics; sold = metrics.get_meter('shop').create_counter('sold')"


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_counter_is_ours_whenever_the_program_imports_the_api(when: str, tmp_path: Path) -> None:
    """Before set-up, before the first request, or after it."""
    parts = {"after": "", when: MAKE}
    parts["after"] += "; sold.add(3)" if when == "after" else "sold.add(3)"

    assert "sold_total" in _page(tmp_path, **parts)


def test_meter_of_the_handle_needs_no_import_by_the_program(tmp_path: Path) -> None:
    """`telemetry.meter` before the first request and after it."""
    use = "telemetry.meter.create_counter('sold').add(3)"

    assert "sold_total" in _page(tmp_path, between=use)
    assert "sold_total" in _page(tmp_path, after=use)


def test_program_without_instruments_imports_no_api(tmp_path: Path) -> None:
    """Most programs."""
    assert "sold_total" not in _page(tmp_path)


def _page(tmp_path: Path, **parts: str) -> str:
    imported = "before" in parts or "between" in parts
    program = SHOP.format_map(
        {"before": "", "between": "", "after": "", **parts, "imported": imported}
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT,
        env={"LOG_DIR": str(tmp_path), "PROLETTO_STRICT": "1"},
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    return done.stdout
