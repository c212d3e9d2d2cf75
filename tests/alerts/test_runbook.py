"""Each alert has a heading in the runbook, and the links lead to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proletto_otel.alerts.indicators import (
    GAUGE_ALERT,
    HEALTH_ALERT,
    INDICATORS,
    UNEVALUATED_ALERT,
    anchor,
)

RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "runbook.md"
HEADINGS = re.findall(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
ALERTS = {i.alert for i in INDICATORS.values()} | {GAUGE_ALERT, HEALTH_ALERT, UNEVALUATED_ALERT}


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_alert_has_a_heading(alert: str) -> None:
    """Who is woken finds what to do."""
    assert alert in HEADINGS
    assert anchor(alert) == alert.lower()
