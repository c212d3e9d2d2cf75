"""Requests: which endpoint is slow or failing? And one endpoint in detail."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proletto_otel.web.charts import draw
from proletto_otel.web.charts.series import Series
from proletto_otel.web.pages import AdminPage, listed, request_minutes

if TYPE_CHECKING:
    from proletto_otel.web.render import Asked

COLUMNS = {
    "route": "Endpoint", "count": "Requests", "errors": "Errors", "error_rate": "Error rate",
    "average_s": "Average", "min_s": "Least", "p95_s": "p95", "p99_s": "p99", "max_s": "Greatest",
    "per_minute": "Per minute",
}  # fmt: skip
"""What the table can be sorted by."""


def read(asked: Asked) -> Mapping[str, Any]:
    """The table, sorted as the address says."""
    now = time.time()
    found = [_row(e, now) for e in request_minutes.endpoints(asked.site)]
    by, text = asked.query.get("sort", "count"), asked.query.get("text", "").strip().lower()
    by = by if by in COLUMNS else "count"
    shown = [r for r in found if text in f"{r['method']} {r['route']}".lower()]
    if by == "route":
        shown.sort(key=lambda r: (r["route"] or "", r["method"]))
    else:
        shown.sort(key=lambda r: -(r[by] if r[by] is not None else -1))
    limit = listed(asked, "limit", 50)
    counted = request_minutes.minutes(found)
    return {
        "total": {
            "count": sum(r["count"] for r in found),
            "errors": sum(r["errors"] for r in found),
        },
        "columns": COLUMNS,
        "sort": by,
        "text": text,
        "endpoints": shown[:limit],
        "matching": len(shown),
        **_charts(counted, "All endpoints"),
    }


def read_endpoint(asked: Asked) -> Mapping[str, Any] | None:
    """One endpoint: `?method=GET&route=/orders/<id>`; no route: requests that matched none."""
    method, route = asked.query.get("method", ""), asked.query.get("route") or None
    found = [
        e
        for e in request_minutes.endpoints(asked.site)
        if e["route"] == route and method in ("", e["method"])
    ]
    if not found:
        return None
    endpoint = _row(found[0], time.time())
    counted = request_minutes.minutes(found[:1])
    groups = asked.site.groups.groups(search="", limit=200) if asked.site.groups else []
    ids = {s["request_id"] for s in endpoint["slowest"]}
    ids |= {endpoint["last_error"]["request_id"]} if endpoint["last_error"] else set()
    return {
        "endpoint": endpoint,
        "related": [g for g in groups if g.request_id in ids],
        **_charts(counted, f"{endpoint['method']} {endpoint['route'] or '(no route)'}"),
    }


def _row(endpoint: Mapping[str, Any], now: float) -> dict[str, Any]:
    counted = request_minutes.minutes([endpoint])
    trend = request_minutes.last_hour(counted, 0, now)
    return {
        **endpoint,
        "per_minute": sum(trend[-6:-1]) / 5,
        "trend": trend,
        "error_trend": request_minutes.last_hour(counted, 1, now),
    }


def _charts(counted: Mapping[int, tuple[float, float, float]], what: str) -> dict[str, Any]:
    """Requests, share of failures and average time: the last hour, minute by minute."""
    end = (time.time() // 60 + 1) * 60
    start = end - 3600
    hour = {m: found for m, found in counted.items() if m * 60 >= start}
    share = Series(label="failed", points=request_minutes.error_share(hour), style="bad")
    averages = Series(label="average", points=request_minutes.average(hour), style="s3")
    return {
        "charts": {
            "requests": draw.bar_chart(
                f"{what}: requests per minute", request_minutes.by_result(hour), start, end,
                width_s=60,
            ),
            "errors": draw.line_chart("Share of failed requests", [share], start, end, unit="%"),
            "times": draw.line_chart("Response time", [averages], start, end, unit="s"),
        }
    }  # fmt: skip


PAGE = AdminPage(
    path="/requests", name="requests", label="Requests", key="r", json="requests",
    description="Which endpoint is slow or failing?", read=read, template="requests.html",
)  # fmt: skip
ENDPOINT = AdminPage(
    path="/requests/endpoint", name="endpoint", label="Endpoint", in_navigation=False,
    description="How is time distributed, and which requests failed or were slow?",
    read=read_endpoint, template="endpoint.html",
)  # fmt: skip
