"""Indicators: the numbers a threshold may watch, with unit, scale and direction.

One table for the in-process evaluator, the generated rules and the docs; the host's and workers'
rows come from `metrics.system_metrics`. The scale turns the
OpenTelemetry value (a ratio, seconds) into what people write in a threshold (per cent, seconds).
"""

from __future__ import annotations

import re

from proletto_otel.core.conventions import HTTP_SERVER_REQUEST_DURATION
from proletto_otel.core.record import record
from proletto_otel.metrics import system_metrics

ABOVE = "above"
BELOW = "below"


@record(frozen=True, slots=True, kw_only=True)
class Indicator:
    """One number that can be watched."""

    name: str
    """What `register_threshold(metric=…)` calls it."""

    title: str
    """How a message begins: `CPU usage`."""

    alert: str
    """Name of its alert, CamelCase; the heading in the runbook."""

    unit: str = ""
    """Shown after the value: `%`, `s`, or nothing."""

    source: str = ""
    """OpenTelemetry name of its metric; empty for what a caller registered."""

    scale: float = 1.0
    """Indicator = metric × scale."""

    subject: str = ""
    """What the title of a message names; empty: the alert."""

    direction: str = ABOVE
    """`above` when high values are bad, `below` when low ones are."""

    requests: bool = False
    """Whether it is computed from the requests of the last five minutes."""

    def show(self, value: float) -> str:
        """*value* with its unit: `97.3 %`."""
        # four digits are enough to compare with a limit; %g would write 1e+04 from 10,000 on
        text = f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
        return f"{text} {self.unit}".rstrip()


_HTTP = HTTP_SERVER_REQUEST_DURATION.name

_TABLE = (
    # Generated, so that a new system metric needs no line here.
    *(
        Indicator(
            name=row.indicator, title=row.title, alert=row.alert, unit=row.unit,
            source=row.metric.name, scale=row.scale,
        )
        for row in system_metrics.INDICATORS
    ),
    Indicator(
        name="error_rate", title="Error rate", alert="HighErrorRate", unit="%",
        source=_HTTP, scale=100, requests=True,
    ),
    Indicator(
        name="response_time_avg", title="Average response time", alert="HighLatencyAverage",
        unit="s", source=_HTTP, requests=True,
    ),
    Indicator(
        name="response_time_p95", title="95th percentile of response times",
        alert="HighLatencyP95", unit="s", source=_HTTP, requests=True,
    ),
)  # fmt: skip

INDICATORS = {indicator.name: indicator for indicator in _TABLE}
"""By name."""

GAUGE_ALERT = "CustomGauge"
"""Runbook heading of thresholds on gauges that the application registered."""
UNEVALUATED = "monitoring:unevaluated"
"""Number of registrations that no process evaluates; the name of its alert, too."""
UNEVALUATED_ALERT = "NotEvaluated"
HEALTH_ALERT = "HealthCheckFailing"
HEALTH_PREFIX = "health:"
"""A check's alert is called `health:<check>`."""


def gauge(name: str, unit: str = "", title: str = "") -> Indicator:
    """The indicator of a gauge that the application registered."""
    # "1" is UCUM for a bare number and {…} an annotation (`{request}`): neither is read by people
    shown = "" if unit in ("1", "") or unit.startswith("{") else unit
    return Indicator(
        name=name, title=title or name, subject=title or name, alert=GAUGE_ALERT, unit=shown,
        source=name,
    )  # fmt: skip


def health(check: str) -> Indicator:
    """The indicator of a health check: 0 healthy, 1 degraded, 2 unhealthy."""
    title = f"Health check {check}"
    return Indicator(name=HEALTH_PREFIX + check, title=title, subject=title, alert=HEALTH_ALERT)


NOT_EVALUATED = Indicator(
    name=UNEVALUATED, title="Registrations that nobody evaluates", alert=UNEVALUATED_ALERT
)


def anchor(alert: str) -> str:
    """The anchor of an alert's heading in the runbook."""
    # as GitHub and MkDocs make an anchor of a CamelCase heading
    return re.sub(r"[^a-z0-9-]", "", alert.lower())
