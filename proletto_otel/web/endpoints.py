"""Endpoints for machines: `/livez`, `/readyz`, `/health`, `/healthz` and `/metrics`."""

from __future__ import annotations

from flask import Blueprint, Response, request

from proletto_otel.web.access import ALLOWED, LOGIN
from proletto_otel.web.metrics_page import ScrapeBusy
from proletto_otel.web.site import HEADERS, Site, json_answer, text_answer


def add(blueprint: Blueprint, site: Site) -> None:
    """Add the routes to *blueprint*, which has no prefix."""

    def livez() -> Response:
        from proletto_otel.health import probes

        return json_answer(probes.LIVE, media_type=probes.MEDIA_TYPE)

    def readyz() -> Response:
        from proletto_otel.health import probes

        states = site.monitor.get_check_states()
        status, body = probes.readiness(states, site.access.is_admin())
        return json_answer(body, status, probes.MEDIA_TYPE)

    def metrics() -> Response:
        verdict = site.access.metrics()
        if verdict != ALLOWED:
            return _closed(verdict)
        try:
            body, content_type = site.exposition(request.headers.get("Accept", ""))
        except ScrapeBusy:
            return text_answer("busy: too many scrapes at once\n", 503)
        return Response(body, 200, dict(HEADERS), content_type=content_type)

    _route(blueprint, "/livez", "livez", livez)
    _route(blueprint, "/readyz", "readyz", readyz)
    _route(blueprint, "/health", "health", readyz)
    _route(blueprint, "/healthz", "healthz", readyz)
    if site.config.metrics_path:
        _route(blueprint, site.config.metrics_path, "metrics", metrics)


def _route(blueprint: Blueprint, path: str, name: str, view: object) -> None:
    blueprint.add_url_rule(
        path, name, view, methods=["GET"], provide_automatic_options=False  # type: ignore[arg-type]  # a view by any type
    )  # fmt: skip


def _closed(status: int) -> Response:
    answer = text_answer("closed: needs the token in `Authorization: Bearer`\n", status)
    if status == LOGIN:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer
