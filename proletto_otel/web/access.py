"""Who may see what: the one rule for admin pages, their JSON, details of `/health` and `/metrics`.

Admin pages open for an `authorize` callable that says so, for a Flask-Login admin, or for the
token: as a bearer, as a Basic password, or in the login form that a browser gets (`web.login`).
Where nobody configured any of these they open to this machine alone, where something besides a
default value says that this is development, and do not exist anywhere else; Flask-Login changes
nothing for that developer.
`/metrics` opens for its token; without one to this machine. A token that is configured is asked of
everybody.
"""

from __future__ import annotations

import inspect
import ipaddress
import os
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Request, Response, current_app, request, session
from werkzeug.exceptions import HTTPException

from proletto_otel.core.config import Config
from proletto_otel.core.internal_errors import count_failure
from proletto_otel.web.attempts import Attempts
from proletto_otel.web.tokens import Tokens, bearer_matches, given_token
from proletto_otel.web.visitor import OPERATOR, VIEWER, Visitor

Authorize = Callable[..., Any]
"""Called in the request, with the request if it takes an argument; truthy lets in, `"viewer"` for
reading only. It may also return a response (a redirect to a login page) or call `flask.abort`."""

ALLOWED = 200
LOGIN = 401
FORBIDDEN = 403
HIDDEN = 404
TOO_MANY = 429

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
PROXY_HEADERS = frozenset(
    (
        "HTTP_VIA", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_TRUE_CLIENT_IP", "HTTP_CLIENT_IP",
        "HTTP_X_CLIENT_IP", "HTTP_X_CLUSTER_CLIENT_IP", "HTTP_FASTLY_CLIENT_IP", "HTTP_X_SCHEME",
        "HTTP_X_ORIGINAL_HOST", "HTTP_X_ORIGINAL_URI", "HTTP_X_ORIGINAL_URL",
        "HTTP_FRONT_END_HTTPS",
    )
)  # fmt: skip
PROXY_PREFIXES = ("HTTP_X_FORWARDED", "HTTP_CF_", "HTTP_X_ENVOY_", "HTTP_X_AMZN_", "HTTP_X_AZURE_")
"""One of these headers means that somebody passed the request on, whatever it says."""
_ADMIN_FLAGS = ("is_admin", "is_superuser")


HOW_TO_OPEN = (
    "closed: set MONITOR_ADMIN_TOKEN and give it as the password, or let `authorize` return True\n"
)
"""What a developer reads; anybody else reads no more than "closed"."""


class Access:
    """Decides about the current request."""

    def __init__(
        self, config: Config, authorize: Authorize | None = None,
        attempts: Attempts | None = None,
    ) -> None:  # fmt: skip
        self._config = config
        self.tokens = Tokens(config)
        self.attempts = attempts or Attempts(None)
        """Wrong tokens of the last minute, of all workers."""
        self._authorize = authorize
        self._takes_request = authorize is not None and _takes_argument(authorize)

    def admin(self) -> int | Response:
        """The status for this visitor of the admin pages: 200, 401, 403, 404; or a response."""
        found = self.visitor()
        return ALLOWED if isinstance(found, Visitor) else found

    def visitor(self) -> Visitor | int | Response:
        """Who this is; or the status or response that keeps them out."""
        given = given_token(request) if self.tokens else None
        wait_s = self.attempts.wait_s(request.remote_addr) if given is not None else 0
        found = self._by_token(request, given if not wait_s else None)
        if found is not None:
            return found
        verdict = self._by_the_rules()
        # Only where nothing else lets them in: the token may be one of the application's own.
        if given is not None and not isinstance(verdict, Visitor):
            if wait_s:
                return _too_many(wait_s)
            self.attempts.failed(request.remote_addr)
        if verdict == FORBIDDEN and self._is_developer(request, current_app):
            return Response(HOW_TO_OPEN, FORBIDDEN, mimetype="text/plain")
        return verdict

    def _by_token(self, asked: Request, given: bytes | None) -> Visitor | None:
        """Who gave a token: as a bearer, as a password, or earlier in the login form."""
        found = self.tokens.match(given) if given is not None else None
        if found is not None:
            kind = asked.headers.get("Authorization", "").partition(" ")[0].lower()
            user = asked.authorization.username if asked.authorization else None
            return Visitor(name=user or "token", role=found[1], way=kind)
        if "Cookie" not in asked.headers:
            return None
        from proletto_otel.web import session as sessions

        visitors = (sessions.visitor(asked, *token) for token in self.tokens.with_roles())
        return next((visitor for visitor in visitors if visitor is not None), None)

    def _by_the_rules(self) -> Visitor | int | Response:
        if self._authorize is not None:
            return self._ask()
        default = self._without_a_rule(request, current_app)
        if _has_login(current_app) and default != ALLOWED:
            try:
                return _login_status()
            except Exception as error:  # its users' database may be what is down
                count_failure("admin.login", error)
                return LOGIN if self.tokens else FORBIDDEN
        if default == ALLOWED:
            return Visitor(name="developer", role=OPERATOR, way="local")
        return default

    def sees_details(self, asked: Request, app: Flask) -> bool:
        """Whether *asked*, which Flask does not know, may read details of the service's health.

        A probe without credentials never runs code of the application's: it may need the very
        database of which the state is asked for.
        """
        given = given_token(asked) if self.tokens else None
        if given is not None and not self.attempts.wait_s(asked.remote_addr):
            if self.tokens.match(given) is not None:
                return True
            if self._authorize is None and not _has_login(app):
                self.attempts.failed(asked.remote_addr)
        if self._authorize is None and not _has_login(app):
            return self._without_a_rule(asked, app) == ALLOWED
        if "Cookie" not in asked.headers and "Authorization" not in asked.headers:
            return False
        with app.request_context(asked.environ):
            return self.admin() == ALLOWED

    def metrics(self, asked: Request) -> int:
        """The status for this visitor of `/metrics`."""
        token = self._config.metrics_token.reveal()
        if token:
            return ALLOWED if bearer_matches(asked, token) else LOGIN
        return ALLOWED if is_this_machine(asked) else FORBIDDEN

    def _ask(self) -> Visitor | int | Response:
        assert self._authorize is not None
        try:
            answer = self._authorize(request) if self._takes_request else self._authorize()
        except HTTPException as error:
            return _as_response(error)
        except Exception as error:  # a broken rule lets nobody in, and the page says no more
            count_failure("admin.authorize", error)
            return FORBIDDEN
        if isinstance(answer, Response):
            return answer
        if not answer or isinstance(answer, tuple):
            return FORBIDDEN
        role = VIEWER if answer == VIEWER else OPERATOR
        return Visitor(name=_user_name() or "authorized", role=role, way="authorize")

    def _without_a_rule(self, asked: Request, app: Flask) -> int:
        """The status where only the token, or nothing, is configured."""
        if self.tokens:
            return LOGIN
        return ALLOWED if self._is_developer(asked, app) else HIDDEN

    def _is_developer(self, asked: Request, app: Flask) -> bool:
        """Whether the visitor sits at this machine, and the application is in development."""
        local = is_this_machine(asked) and _host_name(asked) in LOCAL_NAMES
        return local and self._is_development(app)

    def _is_development(self, app: Flask) -> bool:
        """Whether somebody said so: the default environment is what a server forgot to set."""
        if self._config.environment != "development":
            return False
        said = "environment" in self._config.configured
        return said or app.debug or os.environ.get("WERKZEUG_RUN_MAIN") == "true"


def _too_many(wait_s: int) -> Response:
    """What everybody gets whose tokens are not compared for now, on every page."""
    answer = Response("too many wrong tokens\n", TOO_MANY, mimetype="text/plain")
    answer.headers["Retry-After"] = str(wait_s)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def is_this_machine(asked: Request) -> bool:
    """Whether the peer is this machine itself, by the socket's address and no header.

    A request that a proxy passed on comes from somewhere else, whatever its last hop. nginx adds no
    header by itself, but asks in HTTP/1.0 as no browser and no scraper does. A proxy that shows
    neither cannot be distinguished from this machine: with one a token is needed.
    """
    environ = asked.environ
    original = environ.get("werkzeug.proxy_fix.orig") or {}
    peers = (environ.get("REMOTE_ADDR"), original.get("REMOTE_ADDR", "127.0.0.1"))
    return not _is_passed_on(environ) and all(_is_loopback(peer) for peer in peers)


def _is_passed_on(environ: Mapping[str, Any]) -> bool:
    if environ.get("SERVER_PROTOCOL") in ("HTTP/1.0", "HTTP/0.9"):
        return True
    if not PROXY_HEADERS.isdisjoint(environ):
        return True
    return any(name.startswith(PROXY_PREFIXES) for name in environ)


def _is_loopback(peer: Any) -> bool:
    try:
        address = ipaddress.ip_address(str(peer))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _host_name(asked: Request) -> str:
    """The Host header without its port: a name of the web that points here is not this machine."""
    name = asked.environ.get("HTTP_HOST", "localhost")
    return str(name).rpartition(":")[0] if str(name).rpartition(":")[2].isdigit() else str(name)


def is_browser(asked: Request) -> bool:
    """Whether a person can fill in a form: programs accept `*/*`."""
    return "text/html" in asked.headers.get("Accept", "").lower()


def _user_name() -> str:
    """What Flask-Login calls the user, where it is used."""
    if not _has_login(current_app):
        return ""
    from flask_login import current_user

    return str(current_user.get_id() or "") if current_user else ""


def _has_login(app: Flask) -> bool:
    return getattr(app, "login_manager", None) is not None


def _login_status() -> Visitor | int | Response:
    from flask_login import current_user

    if getattr(current_user, "is_authenticated", False):
        if not _is_admin(current_user):
            return FORBIDDEN
        return Visitor(name=_user_name(), role=OPERATOR, way="login")
    if "_user_id" in session:  # somebody is logged in who does not exist any more
        return FORBIDDEN
    manager: Any = current_app.login_manager  # type: ignore[attr-defined]  # Flask-Login sets it
    if not manager.login_view or not request.accept_mimetypes.accept_html:
        return LOGIN
    try:
        answer = manager.unauthorized()
    except HTTPException:
        return LOGIN
    return current_app.make_response(answer)


def _is_admin(user: Any) -> bool:
    for name in _ADMIN_FLAGS:
        flag = getattr(user, name, None)
        if callable(flag):
            flag = flag()
        if flag is True or flag == 1:
            return True
    return getattr(user, "role", None) == "admin"


def _takes_argument(function: Authorize) -> bool:
    try:
        parameters: Mapping[str, inspect.Parameter] = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in kinds and p.default is p.empty for p in parameters.values())


def _as_response(error: HTTPException) -> int | Response:
    if error.response is not None:
        return current_app.make_response(error.response)
    code = error.code or FORBIDDEN
    return code if code in (LOGIN, FORBIDDEN, HIDDEN) else FORBIDDEN
