"""Admin pages and their JSON: found by a URL map of our own, run by Flask like any other view.

The application's `url_map`, blueprints and templates stay its own: what lists them (`flask routes`,
OpenAPI documents, template loaders) finds nothing of ours. When Flask's signal `request_started`
says that a request for a page has come, it gets our rule, before the application's `before_request`
functions; so sessions, logins and error pages work as for its own views.

A route of the application's own with the same path and method wins, in whichever order the two
were added. Endpoints for machines need no route: see `web.probes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from flask import Flask, Response, abort, current_app, request
from flask.signals import request_started
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import Map, MapAdapter, RequestRedirect, Rule

from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.web import admin_api, overview
from proletto_otel.web.access import ALLOWED, LOGIN
from proletto_otel.web.site import Page, Site, text_answer

ADMIN = "proletto_monitoring"
"""What our endpoints begin with; an application's `extensions` keep its site under this name."""
PREFIX = f"{ADMIN}_prefix"
READING = ("GET", "HEAD")
NOTHING = f"{ADMIN}_nothing"
NO_ROUTE = (NotFound, MethodNotAllowed, RequestRedirect)
"""What Flask's routing says where the application does not answer itself."""


def register(app: Flask, site: Site) -> None:
    """Answer requests for the pages; a second call does nothing."""
    if ADMIN not in app.extensions:
        app.extensions[ADMIN] = site
        app.extensions[PREFIX] = "/" + site.config.admin_prefix.strip("/")
        request_started.connect(_look_at_request, app)


def _look_at_request(app: Flask, **_: Any) -> None:
    """Sort out requests for other pages; it runs in every request, so it goes past the proxies."""
    asked = request._get_current_object()  # type: ignore[attr-defined]  # a proxy has it
    prefix = app.extensions.get(PREFIX)  # an application may empty its `extensions`
    if prefix and asked.path.startswith(prefix):
        _give_rule(app, prefix)


def _give_rule(app: Flask, prefix: str) -> None:
    """Give the current request our rule, where it is for a page of ours."""
    with suppressed("web.routes"):
        if request.path != prefix and not request.path.startswith(f"{prefix.rstrip('/')}/"):
            return
        ours, captured = _match(prefix.rstrip("/"), request.path)
        if _is_theirs(ours, prefix):
            return
        app.view_functions.setdefault(ours.endpoint, VIEWS[ours.endpoint])
        request.url_rule, request.view_args, request.routing_exception = ours, dict(captured), None


def _match(prefix: str, path: str) -> tuple[Rule, Mapping[str, Any]]:
    """The rule for *path*; paths that do not exist answer strangers as those that do."""
    adapter, nothing = _rules(prefix)
    try:
        return adapter.match(path, "GET", return_rule=True)
    except HTTPException:
        return nothing, {}


@lru_cache(maxsize=4)
def _rules(prefix: str) -> tuple[MapAdapter, Rule]:
    """All pages below *prefix* and the rule for the rest; made at the first request for a page.

    Shared by the applications of a process: making the rules takes about 50 ms.
    """
    nothing = Rule(f"{prefix}/<path:rest>", endpoint=NOTHING)
    rules = [Rule(f"{prefix}{page.path}" or "/", endpoint=_endpoint(page)) for page in PAGES]
    return Map([*rules, nothing], merge_slashes=False).bind("localhost"), nothing


def _is_theirs(ours: Rule, prefix: str) -> bool:
    """Whether the application answers this request itself; a catch-all of its own does not."""
    theirs = request.url_rule
    if theirs is None:
        return not isinstance(request.routing_exception, NO_ROUTE)
    if ours.endpoint == NOTHING:
        return theirs.rule.startswith(prefix)
    if theirs.rule == ours.rule:
        log_rate_limited(
            f"route {ours.rule}", "the app has its own route %s: it is used", ours.rule
        )
    return theirs.rule == ours.rule


def _view(page: Page) -> Callable[..., Any]:
    """What Flask calls for *page*: only an admin sees it, and only GET and HEAD are answered.

    A page that is hidden answers 404 to every method: a 405 would tell that it exists.
    """

    def view(**captured: str) -> Any:
        site: Site = current_app.extensions[ADMIN]
        verdict = site.access.admin()
        if verdict != ALLOWED:
            return _refusal(verdict)
        return page.view(site, **captured) if request.method in READING else _not_allowed()

    return view


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


def _nothing(site: Site, **captured: str) -> Response:
    abort(404)


def _endpoint(page: Page) -> str:
    return f"{ADMIN}_{page.name}"


PAGES = (*overview.PAGES, *admin_api.PAGES)
VIEWS = {_endpoint(page): _view(page) for page in PAGES} | {
    NOTHING: _view(Page("/<path:rest>", "nothing", _nothing))
}
