"""One metric now, with its unit, its limits and its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proletto_otel.web import figures

if TYPE_CHECKING:
    from proletto_otel.alerts.indicators import Indicator
    from proletto_otel.monitoring.report import Alert


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
    """Severity of its alert: `ok`, `warning`, `critical`; `pending`: not for long enough yet."""


def reading(
    indicator: Indicator, value: float | None, alerts: Sequence[Alert], state: str | None = None
) -> Reading:
    """*value* with its unit, limits and *state*; None: that of its alert, which is of this host."""
    alert = next((a for a in alerts if a.metric == indicator.name), None)
    return Reading(
        name=indicator.name,
        title=indicator.title,
        value=value,
        unit=indicator.unit,
        shown=figures.with_unit(value, indicator.unit),
        warning=alert.warning if alert else None,
        critical=alert.critical if alert else None,
        state=state if state is not None else _state(alert),
    )


def _state(alert: Alert | None) -> str:
    if alert is None:
        return "ok"
    return alert.state if alert.state == "pending" else alert.severity
