"""Thresholds as lines of a chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proletto_otel.web.charts.series import Limit

if TYPE_CHECKING:
    from proletto_otel.monitoring.report import Alert
    from proletto_otel.web.asked import Asked


def limits(asked: Asked, metric: str, alerts: Sequence[Alert] | None = None) -> list[Limit]:
    """The thresholds of *metric*, to be drawn."""
    found = asked.site.monitor.get_alerts() if alerts is None else alerts
    return [
        Limit(label, value, style)
        for alert in found
        if alert.metric == metric
        for label, value, style in (
            ("warning", alert.warning, "warn"),
            ("critical", alert.critical, "bad"),
        )
        if value is not None
    ]
