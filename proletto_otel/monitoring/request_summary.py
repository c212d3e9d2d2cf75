"""Summaries of requests: totals and endpoints."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any

from proletto_otel.core.conventions import PROBE_PATHS
from proletto_otel.request import durations

if TYPE_CHECKING:
    from proletto_otel.request.route_summary import RouteSummary


class OwnRoutes:
    """Routes of ours: probes, `/metrics` and admin pages say nothing about the service."""

    def __init__(self, metrics_path: str, admin_prefix: str) -> None:
        self._exact = {*PROBE_PATHS, metrics_path}
        self._prefix = admin_prefix.rstrip("/")

    def __contains__(self, route: object) -> bool:
        if not isinstance(route, str):
            return False
        under = bool(self._prefix) and (route + "/").startswith(self._prefix + "/")
        return route in self._exact or under


WINDOW_MINUTES = 5
"""As the window of the other request indicators."""
PERCENTILES = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}


def recent_durations(
    routes: Iterable[RouteSummary], excluded: Container[object], now: float
) -> durations.Sparse:
    """Fine-grained durations of the last five minutes, all routes but the *excluded* ones."""
    oldest = int(now // 60) - WINDOW_MINUTES
    return durations.added(
        counts
        for route in routes
        if route.route not in excluded
        for minute, counts in route.recent
        if minute > oldest
    )


def total(routes: list[RouteSummary]) -> dict[str, Any]:
    """All endpoints added up."""
    count = sum(r.count for r in routes)
    errors = sum(r.errors for r in routes)
    # Streams are counted and have no latency; they would pull the average down.
    timed = count - sum(r.streams for r in routes)
    return {
        "count": count,
        "errors": errors,
        "error_rate": 100 * errors / count if count else 0.0,
        "average_s": sum(r.total_s for r in routes) / timed if timed else None,
        "min_s": min((r.min_s for r in routes if r.min_s is not None), default=None),
        "max_s": max((r.max_s for r in routes if r.max_s is not None), default=None),
        **_percentiles(routes),
    }


def _percentiles(routes: list[RouteSummary]) -> dict[str, float | None]:
    found = [c for route in routes for c in (route.older, *(c for _, c in route.recent))]
    counts = durations.added(found)
    least = min((r.min_s for r in routes if r.min_s is not None), default=0.0)
    most = max((r.max_s for r in routes if r.max_s is not None), default=math.inf)
    # The counts' steps are up to 5 % wide: no percentile may lie outside of what was measured.
    return {
        name: None if value is None else min(max(value, least), most)
        for name, value in ((n, durations.quantile_s(counts, q)) for n, q in PERCENTILES.items())
    }


def endpoint(route: RouteSummary) -> dict[str, Any]:
    """One endpoint as plain data; rates are per cent, times seconds."""
    return {
        "method": route.method,
        "route": route.route,
        "count": route.count,
        "errors": route.errors,
        "error_rate": 100 * route.error_rate,
        "average_s": route.average_s,
        "min_s": route.min_s,
        "max_s": route.max_s,
        **_percentiles([route]),
        "last_error": route.last_error,
        "slowest": route.slowest,
        "minutes": route.minutes,
    }
