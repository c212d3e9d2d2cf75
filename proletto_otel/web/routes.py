"""Routes put on an application: endpoints for machines, admin pages and their JSON.

A route of the application's own with the same path and method wins, in whichever order the two
were added.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Request, Response, abort
from werkzeug.routing import MapAdapter, Rule

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.web import admin_api, endpoints, overview
from proletto_otel.web.access import ALLOWED, LOGIN
from proletto_otel.web.site import Site, text_answer

PROBES = "proletto_probes"
ADMIN = "proletto_monitoring"
OURS = (f"{PROBES}.", f"{ADMIN}.")


def register(app: Flask, site: Site) -> None:
    """Add all routes to *app*; a second call does nothing."""
    if ADMIN in app.blueprints:
        return
    probes = Blueprint(PROBES, __name__)
    endpoints.add(probes, site)
    app.register_blueprint(probes)
    app.register_blueprint(_admin(site))
    _yield_at_first_request(app)


def _admin(site: Site) -> Blueprint:
    prefix = "/" + site.config.admin_prefix.strip("/")
    admin = Blueprint(ADMIN, __name__, url_prefix=prefix, template_folder="templates")

    @admin.before_request
    def guard() -> Response | None:
        verdict = site.access.admin()
        return None if verdict == ALLOWED else _refusal(verdict)

    overview.add(admin, site)
    admin_api.add(admin, site)

    def nothing(rest: str) -> Response:
        abort(404)

    # paths that do not exist answer strangers as those that do: by the guard
    admin.add_url_rule(
        "/<path:rest>", "nothing", nothing, methods=["GET", "POST"],
        provide_automatic_options=False,
    )  # fmt: skip
    return admin


def _refusal(verdict: int | Response) -> Response:
    if isinstance(verdict, Response):
        return verdict
    if verdict == 404:
        abort(404)
    answer = text_answer("closed\n", verdict)
    if verdict == LOGIN:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _yield_at_first_request(app: Flask) -> None:
    """Give way to routes that the application adds after us; Flask takes none after a request."""
    original = app.create_url_adapter

    def create_url_adapter(request: Request | None) -> MapAdapter | None:
        if request is not None and app.__dict__.get("create_url_adapter") is create_url_adapter:
            del app.__dict__["create_url_adapter"]
            yield_to_app_routes(app)
        return original(request)

    app.create_url_adapter = create_url_adapter  # type: ignore[method-assign]  # undone at first use


def yield_to_app_routes(app: Flask) -> None:
    """Take those methods from our rules for which the application has a rule of its own."""
    theirs: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        if not _is_ours(rule):
            theirs.setdefault(rule.rule, set()).update(rule.methods or ())
    for rule in app.url_map.iter_rules():
        taken = theirs.get(rule.rule, set()) & (rule.methods or set())
        if _is_ours(rule) and taken:
            rule.methods = (rule.methods or set()) - taken
            log_rate_limited(
                f"route {rule.rule}", "the app has its own route %s: it is used", rule.rule
            )


def _is_ours(rule: Any) -> bool:
    return isinstance(rule, Rule) and str(rule.endpoint).startswith(OURS)
