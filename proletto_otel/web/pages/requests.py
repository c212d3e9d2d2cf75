"""Requests: which endpoint is slow or failing? One of them in detail: `pages.endpoint`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from proletto_otel.web.all_hosts.servers import PROMETHEUS
from proletto_otel.web.pages import AdminPage, hosts, listed, past
from proletto_otel.web.pages.callers import callers

if TYPE_CHECKING:
    from proletto_otel.request.request_points import EndpointPoint
    from proletto_otel.web.asked import Asked

Sort = Callable[["EndpointPoint"], Any]
COLUMNS: Mapping[str, tuple[str, Sort]] = {
    "route": ("Endpoint", lambda e: (e.route or "", e.method)),
    "count": ("Requests", lambda e: -e.total.count),
    "errors": ("Errors", lambda e: -e.total.errors),
    "rate": ("Error rate", lambda e: -e.total.errors / max(e.total.count, 1)),
    "mean": ("Average", lambda e: -(e.total.mean or 0)),
    "min": ("Least", lambda e: -(e.total.min or 0)),
    "p95": ("p95", lambda e: -(e.total.p95 or 0)),
    "p99": ("p99", lambda e: -(e.total.p99 or 0)),
    "max": ("Greatest", lambda e: -(e.total.max or 0)),
    "per_minute": ("Per minute", lambda e: -e.total.count),
}
"""What the table can be sorted by."""
FIRST = "count"


def read(asked: Asked) -> Mapping[str, Any]:
    """The table of the time, sorted as the address says."""
    chosen, of_all = asked.range, hosts.requests(asked) if asked.all_hosts else None
    found = (
        of_all.endpoints
        if of_all is not None
        else asked.site.monitor.request_endpoints(
            chosen.start, chosen.end, without_failed=asked.without_failed
        )
    )
    by, text = asked.query.get("sort", FIRST), asked.query.get("text", "").strip()[:200]
    by = by if by in COLUMNS else FIRST
    shown = [e for e in found if text.lower() in f"{e.method} {e.route or ''}".lower()]
    shown.sort(key=COLUMNS[by][1])
    limit = listed(asked, "limit", 50)
    return {
        "columns": {name: label for name, (label, _) in COLUMNS.items()},
        "sort": by,
        "text": text,
        "endpoints": shown[:limit],
        "matching": len(shown),
        "without_failed": asked.without_failed,
        "callers": None if of_all is not None else callers(asked),
        "callers_days": asked.site.config.top_callers_days,
        "server": of_all.server if of_all is not None else None,
        "charts": of_all.charts
        if of_all is not None
        else past.request_charts(asked, chosen.start, chosen.end, chosen.points),
    }


PAGE = AdminPage(
    path="/requests", name="requests", label="Requests", key="r",
    description="Which endpoint is slow or failing?", read=read, template="requests.html",
    server=PROMETHEUS,
)  # fmt: skip
