"""The time range of a page: `?range=1h`, kept in every link."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT = "1h"
RANGES = {
    "15m": ("15 minutes", 900.0),
    "1h": ("1 hour", 3600.0),
    "6h": ("6 hours", 6 * 3600.0),
    "24h": ("24 hours", 86_400.0),
    "7d": ("7 days", 7 * 86_400.0),
    "30d": ("30 days", 30 * 86_400.0),
}
"""Label and seconds by name."""
FINE_POINTS, POINTS = 60, 150
"""Points of a line: up to an hour, and beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What the charts of a page show."""

    name: str
    label: str
    start: float
    """Unix seconds."""
    end: float
    is_asked: bool = False
    """Whether the address names it."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    @property
    def points(self) -> int:
        """Points that a line has at most."""
        return FINE_POINTS if self.seconds <= 3600 else POINTS


def chosen(query: Mapping[str, str], now: float | None = None) -> Range:
    """The range that the address asks for; an unknown one is the default."""
    name = query.get("range", DEFAULT)
    name = name if name in RANGES else DEFAULT
    label, seconds = RANGES[name]
    end = time.time() if now is None else now
    return Range(name=name, label=label, start=end - seconds, end=end, is_asked="range" in query)
