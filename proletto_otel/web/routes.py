"""Routes put on an application: the admin pages and their JSON.

A route of the application's own with the same path and method wins, in whichever order the two
were added. Endpoints for machines need no route: see `web.probes`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Blueprint, Flask, Request, Response, abort, request
from werkzeug.routing import MapAdapter, Rule

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.web import admin_api, overview
from proletto_otel.web.access import ALLOWED, LOGIN
from proletto_otel.web.site import Site, text_answer

ADMIN = "proletto_monitoring"
READING = ("GET", "HEAD")


class EveryMethod(set[str]):
    """The methods of a rule that matches all but a few; it shows itself as GET and HEAD.

    A page that is hidden answers 404 to every method: a 405 would tell that it exists.
    """

    without: frozenset[str] = frozenset()

    def __contains__(self, method: object) -> bool:
        return method not in self.without


def register(app: Flask, site: Site) -> None:
    """Add all routes to *app*; a second call does nothing."""
    if ADMIN in app.blueprints:
        return
    prefix = "/" + site.config.admin_prefix.strip("/")
    admin = Blueprint(ADMIN, __name__, url_prefix=prefix, template_folder="templates")
    guarded = _Guarded(admin, site)
    overview.add(guarded, site)
    admin_api.add(guarded, site)
    # paths that do not exist answer strangers as those that do: by the guard
    guarded.add("/<path:rest>", "nothing", lambda rest: abort(404))
    app.register_blueprint(admin)
    _yield_at_first_request(app)
    for rule in app.url_map.iter_rules():
        if _is_ours(rule):
            rule.methods = EveryMethod(READING)


class _Guarded:
    """Adds views that only an admin sees.

    The guard is in each view, not in `before_request`: extensions that document routes (APIFlask)
    stumble over a blueprint that has some.
    """

    def __init__(self, blueprint: Blueprint, site: Site) -> None:
        self._blueprint = blueprint
        self._site = site

    def add(self, path: str, name: str, view: Callable[..., Any]) -> None:
        """Add a view that answers GET and HEAD; a path with `//` is another path."""

        @wraps(view)
        def guarded(**captured: str) -> Any:
            verdict = self._site.access.admin()
            if verdict != ALLOWED:
                return _refusal(verdict)
            return view(**captured) if request.method in READING else _not_allowed()

        self._blueprint.add_url_rule(
            path, name, guarded, methods=["GET"], provide_automatic_options=False,
            merge_slashes=False, strict_slashes=True,
        )  # fmt: skip


def _not_allowed() -> Response:
    answer = text_answer("only GET\n", 405)
    answer.headers["Allow"] = ", ".join(READING)
    return answer


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
        if _is_ours(rule) and rule.rule in theirs:
            left = EveryMethod(set(READING) - theirs[rule.rule])
            left.without = frozenset(theirs[rule.rule])
            rule.methods = left
            log_rate_limited(
                f"route {rule.rule}", "the app has its own route %s: it is used", rule.rule
            )


def _is_ours(rule: Any) -> bool:
    return isinstance(rule, Rule) and str(rule.endpoint).startswith(f"{ADMIN}.")
