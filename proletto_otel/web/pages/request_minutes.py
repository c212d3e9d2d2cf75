"""Requests over time, from the counts per minute of each endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proletto_otel.monitoring.request_summary import OwnRoutes
from proletto_otel.web.charts.series import Point, Series

if TYPE_CHECKING:
    from proletto_otel.web.site import Site

MINUTES = 60
MINUTE_S = 60.0


def endpoints(site: Site) -> list[Mapping[str, Any]]:
    """The service's endpoints, busiest first; probes and these pages are not among them."""
    own = OwnRoutes(site.config.metrics_path, site.config.admin_prefix)
    found: Sequence[Mapping[str, Any]] = site.monitor.get_api_metrics()["endpoints"]
    return [endpoint for endpoint in found if endpoint["route"] not in own]


def minutes(found: Iterable[Mapping[str, Any]]) -> dict[int, tuple[float, float, float]]:
    """Requests, failures and seconds by unix minute, over *found* endpoints."""
    counted: dict[int, tuple[float, float, float]] = {}
    for endpoint in found:
        for minute, count, errors, seconds in endpoint["minutes"]:
            old = counted.get(int(minute), (0.0, 0.0, 0.0))
            counted[int(minute)] = (old[0] + count, old[1] + errors, old[2] + seconds)
    return counted


def by_result(counted: Mapping[int, tuple[float, float, float]]) -> list[Series]:
    """Bars: requests per minute that worked, and that failed."""
    good = [_point(m, count - errors) for m, (count, errors, _) in sorted(counted.items())]
    bad = [_point(m, errors) for m, (_, errors, _) in sorted(counted.items())]
    return [
        Series(label="answered", points=good, style="s1"),
        Series(label="failed", points=bad, style="bad"),
    ]


def error_share(counted: Mapping[int, tuple[float, float, float]]) -> list[Point]:
    """Per cent of the requests that failed, where there were any."""
    return [
        _point(m, 100 * errors / count)
        for m, (count, errors, _) in sorted(counted.items())
        if count
    ]


def average(counted: Mapping[int, tuple[float, float, float]]) -> list[Point]:
    """Seconds a request took."""
    return [_point(m, s / count) for m, (count, _, s) in sorted(counted.items()) if count]


def last_hour(
    counted: Mapping[int, tuple[float, float, float]], column: int, now: float
) -> list[float]:
    """One value for each of the last sixty minutes: for sparklines."""
    newest = int(now // MINUTE_S)
    return [counted.get(newest - ago, (0.0, 0.0, 0.0))[column] for ago in reversed(range(MINUTES))]


def _point(minute: int, value: float) -> Point:
    return Point(minute * MINUTE_S, value, value, value)
