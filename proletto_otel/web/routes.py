"""Admin pages and their JSON: found by a URL map of our own, run by Flask like any other view.

The application's `url_map`, blueprints and templates stay its own: what lists them (`flask routes`,
OpenAPI documents, template loaders) finds nothing of ours. After Flask's routing a request for a
page gets our rule, before the application's `before_request` functions; so sessions, logins and
error pages work as for its own views.

A route of the application's own with the same path and method wins, in whichever order the two
were added. Endpoints for machines need no route: see `web.probes`. The pages themselves are in
`web.catalog`, which the first request for one of them imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect, Rule

from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.web.site import Site

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from proletto_otel.web.catalog import Routes

ADMIN = "proletto_monitoring"
"""What our endpoints begin with; an application's `extensions` keep its site under this name."""
PREFIX = f"{ADMIN}_prefix"
ROUTES = f"{ADMIN}_routes"
NOTHING = f"{ADMIN}_nothing"
NO_ROUTE = (NotFound, MethodNotAllowed, RequestRedirect)
"""What Flask's routing says where the application does not answer itself."""


def register(app: Flask, site: Site) -> None:
    """Answer requests for the pages; a second call does nothing."""
    if ADMIN not in app.extensions:
        app.extensions[ADMIN] = site
        app.extensions[PREFIX] = "/" + site.config.admin_prefix.strip("/")
        _watch_routing(app)


def _watch_routing(app: Flask) -> None:
    """Let requests for pages come to `_give_rule` after routing."""
    # `preprocess_request` is what Flask calls next. Its signal `request_started` comes at the same
    # place, but a signal with one receiver costs each request 44 calls, 5 µs; this costs three.
    preprocess = app.preprocess_request

    def preprocess_request() -> ResponseReturnValue | None:
        asked = request._get_current_object()  # type: ignore[attr-defined]  # past the proxy
        prefix = app.extensions.get(PREFIX)  # an application may empty its `extensions`
        if prefix and asked.path.startswith(prefix):
            _give_rule(app, prefix)
        return preprocess()

    app.preprocess_request = preprocess_request  # type: ignore[method-assign]


def _give_rule(app: Flask, prefix: str) -> None:
    """Give the current request our rule, where it is for a page of ours."""
    with suppressed("web.routes"):
        if request.path != prefix and not request.path.startswith(f"{prefix.rstrip('/')}/"):
            return
        routes = _routes(app, prefix.rstrip("/"))
        ours, captured = _match(routes, request.path)
        if _is_theirs(ours, prefix):
            return
        app.view_functions.setdefault(ours.endpoint, routes.views[ours.endpoint])
        _exempt(app, ours.endpoint)
        request.url_rule, request.view_args, request.routing_exception = ours, dict(captured), None


def _routes(app: Flask, prefix: str) -> Routes:
    """All pages below *prefix*; made at the first request for one: that takes about 50 ms."""
    found: Routes | None = app.extensions.get(ROUTES)
    if found is None:
        from proletto_otel.web.catalog import Routes

        found = app.extensions[ROUTES] = Routes(prefix, app.extensions[ADMIN])
    return found


def _match(routes: Routes, path: str) -> tuple[Rule, Mapping[str, Any]]:
    """The rule for *path*; paths that do not exist answer strangers as those that do."""
    try:
        return routes.adapter.match(path, "GET", return_rule=True)
    except HTTPException:
        return routes.nothing, {}


def _exempt(app: Flask, endpoint: str) -> None:
    """Let our forms pass Flask-WTF's `CSRFProtect`: they have a token of their own (`web.csrf`)."""
    exempt = getattr(app.extensions.get("csrf"), "exempt", None)
    if request.method == "POST" and callable(exempt):
        exempt(app.view_functions[endpoint])


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
