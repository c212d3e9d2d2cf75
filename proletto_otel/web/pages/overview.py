"""Overview: is it broken, since when, what changed?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.monitoring.overview_jobs import PREPARE_S
from proletto_otel.web import ranges
from proletto_otel.web.pages import AdminPage, ages, past
from proletto_otel.web.pages.errors import groups
from proletto_otel.web.pages.readings import reading
from proletto_otel.web.pages.workers import workers

if TYPE_CHECKING:
    from proletto_otel.request.request_points import RequestPoint
    from proletto_otel.web.asked import Asked

POLL_S = 1.25
"""How often an open page asks whether there is something to see at once: part of the sum that is
explained at `monitoring.overview_jobs.FOLLOW_S`."""
SHOWN = 6
HOUR_S = 3600.0
BARS, LEAST_BARS = 60, 15
"""Minutes that a chart has, and a small curve at least."""


def read(asked: Asked) -> Mapping[str, Any]:
    """Everything at a glance: the big numbers are of the last five minutes, charts of the range."""
    monitor, now = asked.site.monitor, time.time()
    prepared = monitor.overview()
    alerts, health = monitor.get_alerts(), monitor.get_health()
    endpoints = monitor.request_endpoints(now - HOUR_S, now, 1)
    chosen, end = asked.range, (now // 60 + 1) * 60
    charted = (end - HOUR_S, end)  # by whole minutes, unless another time is asked for
    points: Sequence[RequestPoint] = [p for p in prepared.requests if p.time >= charted[0]]
    if chosen.is_asked and chosen.name != ranges.DEFAULT:
        charted = (chosen.start, chosen.end)
        points = monitor.request_series(
            *charted, points=chosen.points, without_failed=asked.without_failed
        )
    elif asked.without_failed:  # what is prepared is of all
        points = monitor.request_series(*charted, points=BARS, without_failed=True)
    drawn = past.marks(asked, *charted)
    return {
        "prepared": prepared,
        "ages": {
            "numbers": ages.age(prepared.prepared_at, PREPARE_S),
            "alerts": ages.of_alerts(asked.site, alerts),
            "health": ages.of_checks(asked.site, health.checks),
            "system": ages.of_system(asked.site),
        },
        "recent": prepared.recent,
        "per_minute": _per_minute(prepared.requests[-5:]),
        "trend": _trend(prepared.requests, now),
        "health": health,
        "alerts": alerts,
        "firing": [a for a in alerts if a.state in ("firing", "unevaluated")],
        "charts": {
            "requests": past.results_chart(points, *charted, drawn),
            "times": past.times_chart(
                asked, points, *charted, drawn, past.limits_of_p95(asked, alerts)
            ),
        },
        "system": [
            reading(INDICATORS[name], value, alerts)
            for name, value in monitor.get_system_metrics().items()
            if name in INDICATORS
        ],
        "endpoints": sorted(endpoints, key=lambda e: (-e.total.errors, -(e.total.p95 or 0)))[
            :SHOWN
        ],
        "endpoint_count": len(endpoints),
        "groups": groups(asked, SHOWN),
        "error_problem": monitor.errors.problem,
        "workers": workers(asked.site),
    }


def _per_minute(points: tuple[RequestPoint, ...]) -> float | None:
    """Requests per minute of the time that somebody watched."""
    seconds = sum(p.seconds for p in points)
    return 60 * sum(p.count for p in points) / seconds if seconds else None


def _trend(points: tuple[RequestPoint, ...], now: float) -> dict[str, list[float | None]]:
    """The last hour by the minute for the sparklines of the tiles; None: nobody watched."""
    newest = int(now // 60)
    by_minute = {int(p.time // 60): p for p in points}
    # of a service that began lately its own time, not an hour that is nearly empty
    oldest = max(newest - BARS, min(min(by_minute, default=newest), newest - LEAST_BARS + 1) - 1)
    hour = [by_minute.get(minute) for minute in range(oldest + 1, newest + 1)]

    def values(of: Callable[[RequestPoint], float | None]) -> list[float | None]:
        return [None if point is None else of(point) for point in hour]

    return {
        "requests": values(
            lambda p: 60 * p.count / max(p.seconds, past.LEAST_RATE_S) if p.seconds else None
        ),
        "errors": values(lambda p: 100 * p.errors / p.count if p.count else None),
        **{name: values(attrgetter(name)) for name in ("p50", "p95", "p99")},
    }


PAGE = AdminPage(
    path="", name="overview", label="Overview", key="o", interval_s=POLL_S,
    description="Is it broken, since when, what changed?", read=read, template="overview.html",
)  # fmt: skip
