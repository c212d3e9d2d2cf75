"""The answer to an unhandled error: it names the request ID, so that a user can quote it.

Only where the application has no handler of its own for it, whenever that is registered.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from flask import Response, current_app, jsonify, request
from werkzeug.exceptions import InternalServerError

from proletto_otel.core.context import request_id

if TYPE_CHECKING:
    from flask import Flask

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Internal Server Error</title></head>
<body><h1>Internal Server Error</h1>
<p>The request could not be answered. Please quote this ID when you report it:</p>
<p><code>{id}</code></p></body></html>
"""


def register(app: Flask) -> None:
    """Answer 500 with our page unless *app* has a handler of its own."""
    if 500 not in app.error_handler_spec[None]:
        app.register_error_handler(500, answer)


def answer(error: Exception) -> Any:
    """HTML or JSON by the Accept header; a more general handler of the application goes first."""
    own = _general_handler(error)
    if own is not None:
        return current_app.ensure_sync(own)(error)
    found = request_id() or ""
    best = request.accept_mimetypes.best_match(("text/html", "application/json"), "text/html")
    if best == "application/json":
        response = jsonify(error="Internal Server Error", request_id=found)
    else:
        response = Response(PAGE.format(id=escape(found)), mimetype="text/html")
    response.status_code = 500
    return response


def _general_handler(error: Exception) -> Callable[[Any], Any] | None:
    """The application's handler for `HTTPException` or `Exception`, if it has one."""
    if not isinstance(error, InternalServerError):
        return None
    for scope in (*request.blueprints, None):
        handlers = current_app.error_handler_spec[scope][None]
        for kind in type(error).__mro__:
            handler = handlers.get(kind)
            if handler is not None and handler is not answer:
                return handler
    return None
