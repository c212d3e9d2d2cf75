"""Overview: is it broken, since when, what changed?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.web.charts import draw
from proletto_otel.web.charts.series import Series
from proletto_otel.web.pages import AdminPage, request_minutes, system
from proletto_otel.web.pages.errors import groups
from proletto_otel.web.pages.workers import workers

if TYPE_CHECKING:
    from proletto_otel.web.render import Asked

SHOWN = 6


def read(asked: Asked) -> Mapping[str, Any]:
    """Everything at a glance."""
    monitor = asked.site.monitor
    found = request_minutes.endpoints(asked.site)
    counted = request_minutes.minutes(found)
    values = monitor.get_system_metrics()
    alerts = monitor.get_alerts()
    return {
        "health": monitor.get_health(),
        "alerts": alerts,
        "firing": [a for a in alerts if a.state in ("firing", "unevaluated")],
        "tiles": _tiles(asked, counted),
        "charts": _charts(asked, counted),
        "system": [
            system.reading(INDICATORS[name], value, alerts)
            for name, value in values.items()
            if name in INDICATORS
        ],
        "endpoints": sorted(found, key=lambda e: (-e["errors"], -(e["p95_s"] or 0)))[:SHOWN],
        "endpoint_count": len(found),
        "groups": groups(asked, status="open", limit=SHOWN),
        "workers": workers(asked.site),
    }


def _tiles(asked: Asked, counted: Mapping[int, tuple[float, float, float]]) -> dict[str, Any]:
    """The big numbers: of the last five whole minutes, with the last hour beside them."""
    monitor, now = asked.site.monitor, time.time()
    last = [counted.get(int(now // 60) - ago, (0.0, 0.0, 0.0)) for ago in range(6)]
    # the minute that is under way would show too little; alone it is all there is
    recent = last[1:] if any(count for count, _, _ in last[1:]) else last[:1]
    count, errors = sum(r[0] for r in recent), sum(r[1] for r in recent)
    return {
        "per_minute": count / len(recent),
        "error_share": 100 * errors / count if count else None,
        "requests": request_minutes.last_hour(counted, 0, now),
        "errors": request_minutes.last_hour(counted, 1, now),
        **{
            name: {
                "now": past[-1][1] if (past := monitor.history(name, 3600.0)) else None,
                "past": [value for _, value in past],
            }
            for name in ("response_time_avg", "response_time_p95")
        },
    }


def _charts(asked: Asked, counted: Mapping[int, tuple[float, float, float]]) -> dict[str, Any]:
    """Requests by result, and how long they took: the last hour, minute by minute."""
    end = (time.time() // 60 + 1) * 60
    start = end - 3600
    hour = {m: found for m, found in counted.items() if m * 60 >= start}
    averages = Series(label="average", points=request_minutes.average(hour), style="s3")
    p95 = system.series(asked, "response_time_p95", "95 %", start, end, 60, "s2")
    return {
        "requests": draw.bar_chart(
            "Requests per minute, by result", request_minutes.by_result(hour), start, end,
            width_s=60,
        ),
        "times": draw.line_chart(
            "Response time", [averages, p95], start, end, unit="s",
            limits=system.limits(asked, "response_time_p95"),
        ),
    }  # fmt: skip


PAGE = AdminPage(
    path="", name="overview", label="Overview", key="o", interval_s=5, json="overview",
    description="Is it broken, since when, what changed?", read=read, template="overview.html",
)  # fmt: skip
