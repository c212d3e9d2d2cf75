"""One endpoint over all processes: its duration histogram joined with its statistics.

Pages and thresholds read it. The statistics of one process live in `request.route_stats`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proletto_otel.core.conventions import ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_ROUTE
from proletto_otel.core.metrics.registry import Family, Histogram
from proletto_otel.request import durations
from proletto_otel.request.route_stats import merge

if TYPE_CHECKING:
    from proletto_otel.request.route_stats import LastError, RouteSection, Slow


@dataclass(slots=True, kw_only=True, eq=False)
class RouteSummary:
    """One endpoint as pages and thresholds see it, over all processes of the host."""

    method: str
    route: str | None
    """Template; `None`: no route matched (404, 405, redirects to the slash)."""
    count: int = 0
    """All requests."""
    streams: int = 0
    """Those of them that are event streams or WebSockets: their duration is no latency."""
    errors: int = 0
    """Requests with an `error.type`: 5xx, or an exception nobody handled."""
    total_s: float = 0.0
    min_s: float | None = None
    max_s: float | None = None
    buckets: list[int] = field(default_factory=list)
    """Counts per bucket of the duration histogram."""
    last_error: LastError | None = None
    slowest: list[Slow] = field(default_factory=list)
    minutes: list[list[float]] = field(default_factory=list)
    recent: list[durations.Minute] = field(default_factory=list)
    """Fine-grained durations by unix minute."""
    older: durations.Sparse = field(default_factory=dict)

    @property
    def error_rate(self) -> float:
        """Share of failed requests, 0 to 1."""
        return self.errors / self.count if self.count else 0.0

    @property
    def average_s(self) -> float | None:
        """Mean duration in seconds."""
        timed = self.count - self.streams
        return self.total_s / timed if timed else None

    def add(self, histogram: Histogram, failed: bool) -> None:
        """Take in one series of the duration histogram."""
        self.count += histogram.count
        if failed:
            self.errors += histogram.count
        self.total_s += histogram.sum
        self.min_s = min((x for x in (self.min_s, histogram.min) if x is not None), default=None)
        self.max_s = max((x for x in (self.max_s, histogram.max) if x is not None), default=None)
        # one route has a series for each status and error type: their buckets add up
        held = self.buckets or [0] * len(histogram.counts)
        self.buckets = [a + b for a, b in zip(held, histogram.counts, strict=True)]


def summarise(
    family: Family | None,
    sections: Iterable[list[RouteSection]],
    streams: Family | None = None,
) -> list[RouteSummary]:
    """Join the duration histogram with the sections, busiest route first.

    Args:
        family: `http.server.request.duration`, merged over processes; `None` before any request.
        sections: the `requests` section of each process.
        streams: `proletto.http.server.stream.duration`: counted, but no part of the latency.
    """
    summaries: dict[tuple[str, str | None], RouteSummary] = {}
    # The histogram says which routes there are; the sections of a process may name one that has no
    # series yet, or none any more.
    for point in family.points if family is not None else ():
        named: dict[str, Any] = dict(point.attributes)
        key = (named.get(HTTP_REQUEST_METHOD, "_OTHER"), named.get(HTTP_ROUTE))
        summary = summaries.setdefault(key, RouteSummary(method=key[0], route=key[1]))
        if isinstance(point.value, Histogram):
            summary.add(point.value, ERROR_TYPE in named)
    for point in streams.points if streams is not None else ():
        named = dict(point.attributes)
        key = (named.get(HTTP_REQUEST_METHOD, "_OTHER"), named.get(HTTP_ROUTE))
        summary = summaries.setdefault(key, RouteSummary(method=key[0], route=key[1]))
        if isinstance(point.value, Histogram):
            summary.count += point.value.count
            summary.streams += point.value.count
            if ERROR_TYPE in named:
                summary.errors += point.value.count
    for entry in merge(sections):
        key = (entry["method"], entry["route"])
        if key in summaries:
            summaries[key].last_error = entry["last_error"]
            summaries[key].slowest = entry["slowest"]
            summaries[key].minutes = entry["minutes"]
            summaries[key].recent = list(entry.get("recent", ()))
            summaries[key].older = entry.get("older", {})
    return sorted(summaries.values(), key=lambda s: -s.count)
