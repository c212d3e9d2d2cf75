"""Alerts: who knows already? Thresholds, their states, silences, who was notified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proletto_otel.alerts.indicators import anchor
from proletto_otel.web.pages import AdminPage, ages

if TYPE_CHECKING:
    from proletto_otel.web.asked import Asked

SILENCES = {"30 minutes": 1800, "2 hours": 7200, "8 hours": 28_800, "3 days": 259_200}
"""What the form offers, seconds."""
NOTICES = 50


def read(asked: Asked) -> Mapping[str, Any]:
    """Every threshold and what was decided about it."""
    monitor, config = asked.site.monitor, asked.site.config
    alerts = monitor.get_alerts()
    return {
        "alerts": alerts,
        "age": ages.of_alerts(asked.site, alerts),
        "runbook": {
            a.name: f"{config.runbook_url}#{anchor(a.alert)}" if config.runbook_url else ""
            for a in alerts
        },
        "silences": monitor.get_silences(),
        "notices": monitor.get_notices(NOTICES),
        "durations": SILENCES,
        "channels": monitor.get_channels(),
        "audit": asked.site.audit.latest(20),
    }


PAGE = AdminPage(
    path="/alerts", name="alerts", label="Alerts", key="a", interval_s=5,
    description="What is beyond its limit, since when, and who knows?",
    read=read, template="alerts.html",
)  # fmt: skip
