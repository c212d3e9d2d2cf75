"""System: is it the machine? Every metric of the host over time, and its workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proletto_otel.alerts.indicators import INDICATORS, Indicator
from proletto_otel.monitoring.report import Alert
from proletto_otel.web import figures
from proletto_otel.web.charts import draw
from proletto_otel.web.pages import AdminPage, past
from proletto_otel.web.pages.limits import limits
from proletto_otel.web.pages.workers import workers

if TYPE_CHECKING:
    from proletto_otel.web.asked import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One metric now: the same reading on every page."""

    name: str
    title: str
    value: float | None
    unit: str
    shown: str
    warning: float | None
    critical: float | None
    state: str
    """Severity of its alert: `ok`, `warning`, `critical`."""


def read(asked: Asked) -> Mapping[str, Any]:
    """Every system metric now and over the range."""
    monitor, chosen = asked.site.monitor, asked.range
    values, alerts = monitor.get_system_metrics(), monitor.get_alerts()
    deploys = past.marks(asked, chosen.start, chosen.end)
    readings = [
        reading(INDICATORS[name], value, alerts)
        for name, value in values.items()
        if name in INDICATORS
    ]
    return {
        "readings": readings,
        "charts": {
            found.name: draw.line_chart(
                found.title,
                [past.metric(asked, found.name, "mean", chosen.start, chosen.end, chosen.points)],
                chosen.start, chosen.end, unit=found.unit,
                limits=limits(asked, found.name, alerts), marks=deploys,
                top=100.0 if found.unit == "%" else 0.0,
            )
            for found in readings
        },
        "workers": workers(asked.site),
    }  # fmt: skip


def reading(indicator: Indicator, value: float | None, alerts: Sequence[Alert]) -> Reading:
    """*value* with its unit, limits and state."""
    alert = next((a for a in alerts if a.metric == indicator.name), None)
    return Reading(
        name=indicator.name,
        title=indicator.title,
        value=value,
        unit=indicator.unit,
        shown=figures.with_unit(value, indicator.unit),
        warning=alert.warning if alert else None,
        critical=alert.critical if alert else None,
        state=alert.severity if alert else "ok",
    )


PAGE = AdminPage(
    path="/system", name="system", label="System", key="s",
    description="Is it the machine? Values of the host and its workers, with their limits.",
    read=read, template="system.html",
)  # fmt: skip
