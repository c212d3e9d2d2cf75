"""Jinja for our own templates; the application's stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, Template

from proletto_otel.web import figures
from proletto_otel.web.charts import draw

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
        time=figures.time, minute=figures.minute, ago=figures.ago,
        unit=figures.with_unit, words=_words,
    )  # fmt: skip
    made.globals.update(
        sparkline=draw.sparkline, spark_bars=draw.spark_bars, strip=draw.strip, meter=draw.meter
    )
    return made


def template(name: str) -> Template:
    """One of our templates."""
    return environment().get_template(f"{FOLDER}/{name}")


def _words(values: Sequence[Any] | Mapping[str, Any]) -> str:
    """A list or a mapping as words."""
    if isinstance(values, Mapping):
        return ", ".join(f"{name} {value}" for name, value in values.items())
    return ", ".join(map(str, values))
