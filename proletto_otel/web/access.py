"""Who may see what: the one rule for admin pages, their JSON, details of `/health` and `/metrics`.

Admin pages open for an `authorize` callable that says so, for a Flask-Login admin, or for the
bearer token. Where nobody configured any of these they open in development to this machine alone
and do not exist anywhere else. `/metrics` opens for its token or to this machine.
"""

from __future__ import annotations

import hmac
import inspect
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Request, Response, current_app, request, session
from werkzeug.exceptions import HTTPException

from proletto_otel.core.config import Config
from proletto_otel.core.internal_errors import count_failure

Authorize = Callable[..., Any]
"""Called in the request, with the request if it takes an argument; truthy lets in. It may also
return a response (a redirect to a login page) or call `flask.abort`."""

ALLOWED = 200
LOGIN = 401
FORBIDDEN = 403
HIDDEN = 404

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Host")
_ADMIN_FLAGS = ("is_admin", "is_superuser")


class Access:
    """Decides about the current request."""

    def __init__(self, config: Config, authorize: Authorize | None = None) -> None:
        self._config = config
        self._authorize = authorize
        self._takes_request = authorize is not None and _takes_argument(authorize)

    def admin(self) -> int | Response:
        """The status for this visitor of the admin pages: 200, 401, 403, 404; or a response."""
        if _bearer_matches(request, self._config.admin_token.reveal()):
            return ALLOWED
        if self._authorize is not None:
            return self._ask()
        if _has_login(current_app):
            return _login_status()
        if self._config.admin_token:
            return LOGIN
        return self._unconfigured()

    def is_admin(self) -> bool:
        """Whether details may be shown; an answer that is a response means no.

        A probe without credentials never runs code of the application's: it may need the very
        database whose state is asked for.
        """
        asks_app = self._authorize is not None or _has_login(current_app)
        if asks_app and not ("Cookie" in request.headers or "Authorization" in request.headers):
            return False
        return self.admin() == ALLOWED

    def metrics(self) -> int:
        """The status for this visitor of `/metrics`."""
        token = self._config.metrics_token.reveal()
        if _bearer_matches(request, token) or is_this_machine(request):
            return ALLOWED
        return LOGIN if token else FORBIDDEN

    def _ask(self) -> int | Response:
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
        return (
            ALLOWED if answer is True or (answer and not isinstance(answer, tuple)) else FORBIDDEN
        )

    def _unconfigured(self) -> int:
        local = is_this_machine(request) and _host_name(request) in LOCAL_NAMES
        return ALLOWED if local and self._config.environment == "development" else HIDDEN


def is_this_machine(asked: Request) -> bool:
    """Whether the peer is this machine itself, by the socket's address and no header.

    A request that a proxy passed on comes from somewhere else, whatever its last hop.
    """
    original = asked.environ.get("werkzeug.proxy_fix.orig") or {}
    peers = (asked.environ.get("REMOTE_ADDR"), original.get("REMOTE_ADDR", "127.0.0.1"))
    if any(header in asked.headers for header in _PROXY_HEADERS):
        return False
    return all(_is_loopback(peer) for peer in peers)


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


def _bearer_matches(asked: Request, token: str) -> bool:
    kind, _, given = asked.headers.get("Authorization", "").partition(" ")
    if not token or kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())


def _has_login(app: Flask) -> bool:
    return getattr(app, "login_manager", None) is not None


def _login_status() -> int | Response:
    from flask_login import current_user

    if getattr(current_user, "is_authenticated", False):
        return ALLOWED if _is_admin(current_user) else FORBIDDEN
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
