"""The answer to an unhandled error: it names the request ID, so that a user can quote it.

Only where the application has no handler of its own for it, whenever that is registered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

from flask import current_app, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import InternalServerError
from werkzeug.http import parse_accept_header

from proletto_otel.core.context import request_id

if TYPE_CHECKING:
    from flask import Flask, Request

HTML, JSON = "text/html", "application/json"
MAX_KNOWN, MAX_KNOWN_LENGTH = 64, 256
"""Accept headers in the cache, and their greatest length."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Internal Server Error</title></head>
<body><h1>Internal Server Error</h1>
{said}<p>The request could not be answered. Please quote this ID when you report it:</p>
<p><code>{id}</code></p></body></html>
"""


def register(app: Flask) -> None:
    """Answer 500 with our page unless *app* has a handler of its own."""
    if 500 not in app.error_handler_spec[None]:
        app.register_error_handler(500, answer)


def answer(error: Exception) -> Any:
    """HTML or JSON by the Accept header; a more general handler of the application goes first."""
    # Past the proxies, once each: every look-up through one is a call of 3,500 instructions.
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    own = _general_handler(error, app, asked)
    if own is not None:
        return app.ensure_sync(own)(error)
    if getattr(error, "response", None) is not None:
        return error  # `abort(500, response=…)`: the application answers itself
    # what the application itself says to the user: `abort(500, "…")`
    said = str(getattr(error, "description", None) or "")
    if said == InternalServerError.description:
        said = ""
    found, accept = request_id() or "", asked.environ.get("HTTP_ACCEPT", "")
    # long headers pass by the cache: 64 of any length would be a client's way to fill the memory
    if (_wants_json if len(accept) <= MAX_KNOWN_LENGTH else _wants_json.__wrapped__)(accept):
        facts = {"error": "Internal Server Error", "request_id": found}
        text = app.json.dumps({**facts, "description": said} if said else facts) + "\n"
        return app.response_class(text, 500, content_type="application/json")
    page = PAGE.format(id=escape(found), said=f"<p>{escape(said)}</p>\n" if said else "")
    return app.response_class(page, 500, content_type="text/html; charset=utf-8")


@lru_cache(MAX_KNOWN)
def _wants_json(accept: str) -> bool:
    best = parse_accept_header(accept, MIMEAccept).best_match((HTML, JSON), HTML)
    return best == JSON


def _general_handler(error: Exception, app: Flask, asked: Request) -> Callable[[Any], Any] | None:
    """The application's handler for `HTTPException` or `Exception`, if it has one."""
    if not isinstance(error, InternalServerError):
        return None
    # Flask's own order: the blueprint's handlers before the application's, the most special class
    # first. It looks for a handler of 500 before all others, and there it finds `answer`.
    for scope in (*asked.blueprints, None):
        handlers = app.error_handler_spec[scope][None]
        for kind in type(error).__mro__:
            handler = handlers.get(kind)
            if handler is not None and handler is not answer:
                return handler
    return None
