"""What charts are drawn from: values over time, limits, marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """One bucket of time."""

    at: float
    """Unix seconds of its beginning."""
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line."""

    label: str
    points: Sequence[Point]
    style: str = "s1"
    """Class that gives it its colour and dashes."""

    @property
    def last(self) -> float | None:
        """The newest value."""
        return self.points[-1].mean if self.points else None

    @property
    def low(self) -> float | None:
        """The least value."""
        return min((p.low for p in self.points), default=None)

    @property
    def high(self) -> float | None:
        """The greatest value."""
        return max((p.high for p in self.points), default=None)


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold, drawn as a dashed line."""

    label: str
    value: float
    style: str
    """`warn` or `bad`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: a version, a restart."""

    at: float
    label: str
    style: str = "deploy"
    """`deploy` or `restart`."""


def ceiling(value: float) -> float:
    """The end of an axis that shows *value*: 1, 2, 4, 5 or 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * 0.9999)
