"""Jinja for our own templates; the application's stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, Template

from proletto_otel.alerts.indicators import HEALTH_PREFIX
from proletto_otel.alerts.readings import HEALTH_VALUES
from proletto_otel.core.texts import iso_time
from proletto_otel.health.results import UNHEALTHY
from proletto_otel.monitoring.report import Alert
from proletto_otel.web import figures
from proletto_otel.web.charts import small
from proletto_otel.web.charts.endpoint_bars import endpoint_bars

FOLDER = "proletto_monitoring"


@cache
def environment() -> Environment:
    """Made with the first page."""
    made = Environment(
        loader=PackageLoader("proletto_otel.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=figures.number, short=figures.short, duration=figures.duration, size=figures.size,
        long_duration=figures.long_duration, percent=figures.percent, ratio=figures.ratio,
        time=figures.time, moment=figures.moment, minute=figures.minute, ago=figures.ago,
        iso=iso_time, plain_time=figures.plain_time,
        unit=figures.with_unit, words=_words, status_words=figures.status_words, of_alert=of_alert,
    )  # fmt: skip
    made.globals.update(
        sparkline=small.sparkline,
        spark_bars=small.spark_bars,
        strip=small.strip,
        meter=small.meter,
        endpoint_bars=endpoint_bars,
    )
    return made


def template(name: str) -> Template:
    """One of our templates."""
    return environment().get_template(f"{FOLDER}/{name}")


def _words(values: Sequence[Any] | Mapping[str, Any]) -> str:
    """A list or a mapping as words."""
    if isinstance(values, Mapping):
        return ", ".join(
            f"{name} {figures.number(value) if isinstance(value, int) else value}"
            for name, value in values.items()
        )
    return ", ".join(map(str, values))


def of_alert(value: float | None, alert: Alert) -> str:
    """A value or a limit of *alert* as people read it; of a health check the status."""
    if value is None or not alert.metric.startswith(HEALTH_PREFIX):
        return figures.with_unit(value, alert.unit)
    # a limit lies between two statuses: it is passed by the worse one
    return next((word for word, at in HEALTH_VALUES.items() if at >= value), UNHEALTHY)
