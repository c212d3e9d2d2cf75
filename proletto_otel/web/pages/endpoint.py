"""One endpoint: how is time distributed, and which requests failed or were slow?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proletto_otel.request.readings import RequestExample
from proletto_otel.web.all_hosts.servers import PROMETHEUS
from proletto_otel.web.charts.heatmap import heatmap
from proletto_otel.web.pages import AdminPage, heat_cells, hosts, past

if TYPE_CHECKING:
    from proletto_otel.web.asked import Asked

Endpoints = Sequence[Mapping[str, Any]]
"""What the workers tell of an endpoint, one for each of its methods."""
SHOWN = 10
"""Slow and failed requests in a table."""


def read(asked: Asked) -> Mapping[str, Any] | None:
    """`?method=GET&route=/orders/<id>`; no route: requests that matched none."""
    method, route = asked.query.get("method") or None, asked.query.get("route", "")
    named = {"method": method or "", "route": route, "without_failed": asked.without_failed}
    if asked.all_hosts:
        found = hosts.endpoint(asked, route, method)
        return {
            **named, "server": found.server, "total": found.total, "statuses": found.statuses,
            "charts": found.charts, "heatmap": found.heatmap, "slowest": None, "failed": None,
            "error_group": "", "cell": None, "cells": None,
        }  # fmt: skip
    chosen, monitor = asked.range, asked.site.monitor
    among = {"without_failed": asked.without_failed}
    total = monitor.request_total(chosen.start, chosen.end, route, method, **among)
    known = [
        e
        for e in monitor.get_api_metrics()["endpoints"]
        if (e["route"] or "") == route and method in (None, e["method"])
    ]
    slowest, failed = _slowest(asked, known), _failed(asked, known)
    if not known and not slowest and not failed and not (total and total.count):
        return None
    heat = monitor.latency_heatmap(chosen.start, chosen.end, route, method, **among)
    return {
        **named,
        "server": None,
        "total": total,
        "statuses": monitor.request_statuses(chosen.start, chosen.end, route, method),
        "slowest": slowest,
        "failed": failed,
        "error_group": _group(asked, failed),
        "charts": past.request_charts(
            asked, chosen.start, chosen.end, chosen.points, past.OF_ENDPOINT, route, method
        ),
        "heatmap": heatmap(
            past.timed(asked, past.HEAT), heat.times, heat.seconds, heat.edges, heat.counts,
            chosen.start, chosen.end, is_linked=True, outlined=heat_cells.place(asked, heat),
        ) if heat else "",
        "cells": heat_cells.choice(heat) if heat else None,
        "cell": heat_cells.cell(asked, heat, route, method, _fresh(known)) if heat else None,
    }  # fmt: skip


def _slowest(asked: Asked, known: Endpoints) -> list[RequestExample]:
    """The slowest of the time: what is stored, and what the workers have not handed over yet."""
    stored = asked.site.monitor.slowest_requests(*_wanted(asked))
    return sorted(_joined(asked, stored, _fresh(known)), key=lambda e: -e.seconds)[:SHOWN]


def _fresh(known: Endpoints) -> list[RequestExample]:
    """Slow requests that the workers remember."""
    return [_example(e, slow) for e in known for slow in e["slowest"]]


def _failed(asked: Asked, known: Endpoints) -> list[RequestExample]:
    """The latest failures of the time, likewise."""
    stored = asked.site.monitor.failed_requests(*_wanted(asked))
    fresh = [_example(e, e["last_error"]) for e in known if e["last_error"]]
    return sorted(_joined(asked, stored, fresh), key=lambda e: -e.time)[:SHOWN]


def _wanted(asked: Asked) -> tuple[float, float, str, str | None, int]:
    method = asked.query.get("method") or None
    return asked.range.start, asked.range.end, asked.query.get("route", ""), method, SHOWN


def _joined(
    asked: Asked, stored: Sequence[RequestExample], fresh: Sequence[RequestExample]
) -> list[RequestExample]:
    chosen = asked.range
    known = {e.request_id for e in stored}
    return [
        *stored,
        *(e for e in fresh if e.request_id not in known and chosen.start <= e.time <= chosen.end),
    ]


def _example(endpoint: Mapping[str, Any], told: Mapping[str, Any]) -> RequestExample:
    return RequestExample(
        time=told["time_ns"] / 1e9, request_id=told["request_id"], method=endpoint["method"],
        route=endpoint["route"], status=told["status"], seconds=told.get("duration_s", 0.0),
        error=told.get("error", ""), message=told.get("message", ""),
    )  # fmt: skip


def _group(asked: Asked, failed: Sequence[RequestExample]) -> str:
    """Fingerprint of the error of the latest failure; empty when it is not known."""
    if not failed:
        return ""
    found = asked.site.monitor.errors.occurrences_of_request(failed[0].request_id, 1)
    return found[0].group if found else ""


PAGE = AdminPage(
    path="/requests/endpoint", name="endpoint", label="Endpoint", in_navigation=False,
    description="How is time distributed, and which requests failed or were slow?",
    read=read, template="endpoint.html", server=PROMETHEUS,
)  # fmt: skip
