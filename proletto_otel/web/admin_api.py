"""The JSON twin of every admin page, under `<prefix>/api/`."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from proletto_otel.core.errors import ConfigError
from proletto_otel.web.asked import Asked
from proletto_otel.web.site import Page, Site, json_answer

MAX_ROWS = 200
MAX_SECONDS = 400 * 86400.0


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One JSON endpoint."""

    path: str
    """Below `<prefix>/api/`."""
    description: str
    read: Callable[..., Any]
    """Called with the site and what the path captured."""


def _alerts(site: Site) -> dict[str, Any]:
    return {
        "alerts": site.monitor.get_alerts(),
        "silences": site.monitor.get_silences(),
        "notices": [notice.as_json() for notice in site.monitor.get_notices(_limit())],
    }


def _history(site: Site, metric: str) -> dict[str, Any]:
    samples = site.monitor.history(metric, _since())
    return {"metric": metric, "samples": [[at, value] for at, value in samples]}


def _health_history(site: Site, check: str) -> dict[str, Any]:
    return {"check": check, "transitions": site.monitor.health_history(check, _begin())}


def _log_levels(site: Site) -> Any:
    return site.monitor.log_levels.current() if site.monitor.log_levels is not None else []


def _thread_dumps(site: Site) -> Any:
    return site.monitor.thread_dumps.latest() if site.monitor.thread_dumps is not None else []


ENDPOINTS = (
    Endpoint("system", "The host's present values", lambda s: s.monitor.get_system_metrics()),
    Endpoint("requests", "Requests in all and by endpoint", lambda s: s.monitor.get_api_metrics()),
    Endpoint("health", "The service's health and every check", lambda s: s.monitor.get_health()),
    Endpoint("health/<check>/history", "A check's changes of status", _health_history),
    Endpoint("alerts", "Thresholds, silences, who was notified", _alerts),
    Endpoint("errors", "The latest error groups", lambda s: s.monitor.get_errors(_limit())),
    Endpoint("history/<path:metric>", "Past values of a metric", _history),
    Endpoint("log-levels", "Loggers with another level for a while", _log_levels),
    Endpoint("thread-dumps", "Stacks of workers that were asked for", _thread_dumps),
    Endpoint("telemetry", "Sinks, queues and losses of the telemetry", lambda s: s.status()),
)
"""Endpoints as data: routes and docs come from here."""


def _view(endpoint: Endpoint) -> Callable[..., Response]:
    def view(asked: Asked, **captured: str) -> Response:
        try:
            return json_answer(endpoint.read(asked.site, **captured))
        except ConfigError as error:
            return json_answer({"error": str(error)}, 404)

    return view


PAGES = tuple(
    Page(f"/api/{e.path}", "api_" + re.sub(r"\W+", "_", e.path), _view(e)) for e in ENDPOINTS
)


def _limit() -> int:
    """`?limit=`, 1 to 200."""
    number = _number("limit", 50.0)
    return int(min(max(number, 1), MAX_ROWS))


def _since() -> float:
    """`?since=` seconds back from now."""
    return min(max(_number("since", 3600.0), 0), MAX_SECONDS)


def _begin() -> float:
    """`?since=` as a unix time."""
    return time.time() - min(max(_number("since", 86400.0), 0), MAX_SECONDS)


def _number(name: str, default: float) -> float:
    try:
        value = float(request.args.get(name, default))
    except ValueError:
        return default
    return value if math.isfinite(value) else default
