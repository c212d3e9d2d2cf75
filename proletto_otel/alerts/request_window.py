"""The requests of the last five minutes, all workers together, from counters that only grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Mapping
from typing import Any

from proletto_otel.core.conventions import (
    ERROR_TYPE,
    HTTP_ROUTE,
    HTTP_SERVER_REQUEST_DURATION,
)
from proletto_otel.core.metrics.registry import Family, Histogram
from proletto_otel.core.record import record

WINDOW_S = 300.0
"""As the `[5m]` of the generated rules."""
STEP_S = 15.0
"""Distance of the readings that are stored: 20 of them span the window."""


@record(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counts of requests, since the beginning or within a window."""

    count: int = 0
    errors: int = 0
    """Answers with a 5xx status, and exceptions that nobody handled."""
    sum_s: float = 0.0
    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    """Requests by bucket; one more than `bounds`."""

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Totals:
        """Totals that were stored as JSON."""
        return cls(
            count=data["count"], errors=data["errors"], sum_s=data["sum_s"],
            bounds=tuple(data["bounds"]), counts=tuple(data["counts"]),
        )  # fmt: skip

    def minus(self, before: Totals) -> Totals | None:
        """What was added since *before*; None when a counter began anew."""
        if self.count < before.count or self.errors < before.errors:
            return None
        # Other buckets than before: a new release. Its counts are taken from zero.
        earlier = before.counts if before.bounds == self.bounds else (0,) * len(self.counts)
        return Totals(
            count=self.count - before.count,
            errors=self.errors - before.errors,
            sum_s=self.sum_s - before.sum_s,
            bounds=self.bounds,
            counts=tuple(a - b for a, b in zip(self.counts, earlier, strict=True)),
        )


def totals(families: Iterable[Family], excluded: Container[str | None] = ()) -> Totals:
    """Add up the request histogram of all routes but the *excluded* ones (probes, admin pages)."""
    histograms = [
        (point, point.value)
        for family in families
        if family.name == HTTP_SERVER_REQUEST_DURATION.name
        for point in family.points
        if isinstance(point.value, Histogram)
        and dict(point.attributes).get(HTTP_ROUTE) not in excluded
    ]
    if not histograms:
        return Totals()
    bounds = histograms[0][1].bounds
    # During a rolling update two releases may have different buckets; those cannot be added.
    same = [(p, h) for p, h in histograms if h.bounds == bounds]
    return Totals(
        count=sum(h.count for _, h in same),
        errors=sum(h.count for p, h in same if ERROR_TYPE in dict(p.attributes)),
        sum_s=sum(h.sum for _, h in same),
        bounds=bounds,
        counts=tuple(map(sum, zip(*(h.counts for _, h in same), strict=True))),
    )


class Window:
    """Readings of the totals, oldest first, spanning at least the window."""

    def __init__(self) -> None:
        self.readings: deque[tuple[float, Totals]] = deque()

    def add(self, mono: float, reading: Totals) -> bool:
        """Take a reading; return whether it was stored."""
        if self.readings and reading.minus(self.readings[-1][1]) is None:
            self.readings.clear()  # the counters restarted
        if self.readings and mono - self.readings[-1][0] < STEP_S:
            return False
        self.readings.append((mono, reading))
        # One reading at or before the start of the window stays: differences are taken from it.
        while len(self.readings) > 1 and self.readings[1][0] <= mono - WINDOW_S:
            self.readings.popleft()
        return True

    def recent(self, mono: float, reading: Totals) -> Totals:
        """What was added within the window that ends at *mono* with *reading*."""
        start = mono - WINDOW_S
        # One step of tolerance: ticks are not exact, and the reading that opens the window may be
        # a little older than its start.
        inside = [r for at, r in self.readings if at >= start - STEP_S]
        return (reading.minus(inside[0]) if inside else None) or Totals()


def error_ratio(window: Totals, min_requests: int = 0) -> float | None:
    """Share of errors, 0 to 1; None with fewer than *min_requests* (or no) requests."""
    if not window.count or window.count < min_requests:
        return None
    return window.errors / window.count


def average_s(window: Totals, min_requests: int = 0) -> float | None:
    """Average response time, seconds."""
    if not window.count or window.count < min_requests:
        return None
    return window.sum_s / window.count


def quantile_s(window: Totals, q: float, min_requests: int = 0) -> float | None:
    """The *q* quantile, seconds, linear within its bucket as Prometheus computes it."""
    if not window.count or window.count < min_requests:
        return None
    rank, below = q * window.count, 0
    for i, n in enumerate(window.counts):
        if below + n >= rank and n:
            # The last bucket has no upper edge: Prometheus answers with its lower one, too.
            if i >= len(window.bounds):
                return window.bounds[-1] if window.bounds else None
            low = window.bounds[i - 1] if i else 0.0
            return low + (window.bounds[i] - low) * (rank - below) / n
        below += n
    return window.bounds[-1] if window.bounds else None
