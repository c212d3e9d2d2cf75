"""Endpoints for machines: `/livez`, `/readyz`, `/health`, `/healthz` and `/metrics`.

The middleware answers them before Flask: an orchestrator that asks `/livez` must not meet the
application's hooks, limits, redirects or host names, or it restarts every worker when a database is
down. Where the application has a route of its own at the path, that one answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response

from proletto_otel.core.conventions import PROBE_PATHS
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.web.access import ALLOWED, LOGIN
from proletto_otel.web.metrics_page import ScrapeBusy
from proletto_otel.web.site import HEADERS, Site, json_answer, text_answer

if TYPE_CHECKING:
    from proletto_otel.request.middleware import WsgiApp

CLOSED = "closed: needs the token in `Authorization: Bearer`\n"
BUSY = "busy: too many scrapes at once\n"


class MachineEndpoint:
    """One path; called with the environ of a request for it.

    Args:
        app: The application; its own route goes first.
        path: Where it is, below the mount point.
        answer: Makes the response.
    """

    def __init__(self, app: Flask, path: str, answer: Callable[[Request], Response]) -> None:
        self._app = app
        self._path = path
        self._answer = answer

    def __call__(self, environ: dict[str, Any]) -> WsgiApp | None:
        """What answers the request; None: the application does."""
        method = environ.get("REQUEST_METHOD")
        if method not in ("GET", "HEAD") or method in self._own_methods:
            return None
        return self._answer(Request(environ))

    @cached_property
    def _own_methods(self) -> frozenset[str]:
        """The methods of the application's own route; it takes no more routes once it serves."""
        rules = [rule for rule in self._app.url_map.iter_rules() if rule.rule == self._path]
        found = frozenset(method for rule in rules for method in rule.methods or ("GET", "HEAD"))
        if "GET" in found:
            log_rate_limited(
                f"route {self._path}", "the app has its own route %s: it is used", self._path
            )
        return found


def endpoints(app: Flask, site: Site) -> Mapping[str, MachineEndpoint]:
    """What the middleware answers in place of *app*, by path."""
    views = {path: _Views(app, site).readyz for path in PROBE_PATHS}
    views["/livez"] = _Views(app, site).livez
    if site.config.metrics_path:
        views[site.config.metrics_path] = _Views(app, site).metrics
    return {path: MachineEndpoint(app, path, view) for path, view in views.items()}


class _Views:
    """The answers."""

    def __init__(self, app: Flask, site: Site) -> None:
        self._app = app
        self._site = site

    def livez(self, asked: Request) -> Response:
        from proletto_otel.health import probes

        return json_answer(probes.LIVE, media_type=probes.MEDIA_TYPE)

    def readyz(self, asked: Request) -> Response:
        from proletto_otel.health import probes

        states = self._site.monitor.get_check_states()
        status, body = probes.readiness(states, self._sees_details(asked))
        return json_answer(body, status, probes.MEDIA_TYPE)

    def _sees_details(self, asked: Request) -> bool:
        with suppressed("health.access"):
            return self._site.access.sees_details(asked, self._app)
        return False

    def metrics(self, asked: Request) -> Response:
        verdict = self._site.access.metrics(asked)
        if verdict != ALLOWED:
            answer = text_answer(CLOSED, verdict)
            if verdict == LOGIN:
                answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        try:
            body, content_type = self._site.exposition(asked.headers.get("Accept", ""))
        except ScrapeBusy:
            return text_answer(BUSY, 503)
        return Response(body, 200, dict(HEADERS), content_type=content_type)
