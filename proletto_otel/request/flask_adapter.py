"""What only Flask knows: the route of a request, and exceptions that it turned into a 500.

With `error_pages` and `contrib` the only module below `web/` that touches Flask.

*Route.* `Flask.wsgi_app` makes its context through `app.request_context(environ)`. That method is
wrapped on the application object, and the request it carries is kept on the `Exchange`. Its
`url_rule` is read when the request is over (or when a log line asks), so routing, `before_request`
functions that answer early, 404, 405 and redirects to the slash need no hook of their own, and
nothing runs in the request itself. It holds for Flask 3.0 and 3.1, for blueprints, and for
middleware below ours that copies the environ or answers late.

*Errors.* The signal `got_request_exception` is sent for each exception that no error handler of
the application took, before Flask answers 500 or lets it propagate (debug, testing), and before
Flask's own log line, so the report comes first and that line is recognised as the same error.
An exception that the application's handler turned into a response, whatever its status, is that
handler's business: a 5xx makes the span an error with the status code as its type, nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask.signals import got_request_exception

from proletto_otel.core.context import current_request
from proletto_otel.request.exchange import Exchange

if TYPE_CHECKING:
    from flask import Flask
    from flask.ctx import RequestContext


def watch(app: Flask) -> Callable[[], None]:
    """Let *app* tell the current exchange its request and its unhandled exceptions.

    Returns:
        A function that takes it back.
    """
    original = app.request_context

    def request_context(environ: dict[str, Any]) -> RequestContext:
        made = original(environ)
        exchange = current_request()
        # a second context inside the request (a test client, a job) is not its route
        if type(exchange) is Exchange and (exchange.request is None or exchange.environ is environ):
            exchange.request = made.request
        return made

    def unwatch() -> None:
        app.__dict__.pop("request_context", None)
        got_request_exception.disconnect(_unhandled, app)

    app.request_context = request_context  # type: ignore[method-assign]  # the point of this module
    got_request_exception.connect(_unhandled, app, weak=False)
    return unwatch


def _unhandled(_app: Flask, exception: BaseException, **_: Any) -> None:
    exchange = current_request()
    if type(exchange) is Exchange:
        exchange.failed(exception)


def route_of(request: Any) -> str | None:
    """The template of the rule that matched, if one did."""
    rule = request.url_rule
    return None if rule is None else rule.rule
