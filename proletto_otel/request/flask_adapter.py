"""What only Flask knows: the route of a request, and exceptions that it turned into a 500.

With `error_pages` and `contrib` the only module below `web/` that touches Flask.

*Route.* `Flask.wsgi_app` makes its context through `app.request_context(environ)`. That method is
wrapped on the application object, and the request it carries is kept on the `Exchange`. Its
`url_rule` is read when the request is over (or when a log line asks), so routing, `before_request`
functions that answer early, 404, 405 and redirects to the slash need no hook of their own, and
nothing runs in the request itself. It holds for Flask 3.0 and 3.1, for blueprints, and for
middleware below ours that copies the environ or answers late.

*Errors.* `app.handle_exception` runs for each exception that no error handler of the application
took, before Flask writes its own log line and answers 500 or lets it propagate (debug, testing);
so the report comes first and that line is recognised as the same error.
`app.handle_user_exception` runs for every exception on the way, also for those that a handler turns
into a response; extensions that answer by themselves (Flask-RESTful, RESTX) send the signal
`got_request_exception`. Both are remembered, and reported when the request ends with 5xx: a
catch-all that answers 500 hides no error, and a 404 is none. What a view itself catches and answers
is never seen here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask.signals import got_request_exception
from werkzeug.exceptions import HTTPException

from proletto_otel.core.context import current_request
from proletto_otel.request.exchange import Exchange

if TYPE_CHECKING:
    from flask import Flask
    from flask.ctx import RequestContext

WRAPPED = ("request_context", "handle_user_exception", "handle_exception")


def watch(app: Flask) -> Callable[[], None]:
    """Let *app* tell the current exchange its request and its exceptions.

    Returns:
        A function that takes it back.
    """
    before = {name: app.__dict__.get(name) for name in WRAPPED}
    make_context = app.request_context
    handle_user_exception, handle_exception = app.handle_user_exception, app.handle_exception

    def request_context(environ: dict[str, Any]) -> RequestContext:
        made = make_context(environ)
        exchange = current_request()
        # a second context inside the request (a test client, a job) is not its route
        if type(exchange) is Exchange and (exchange.request is None or exchange.environ is environ):
            exchange.request = made.request
        return made

    def on_any(error: Exception) -> Any:
        _note(app, error)
        return handle_user_exception(error)

    def on_unhandled(error: Exception) -> Any:
        exchange = current_request()
        if type(exchange) is Exchange:
            exchange.failed(error)
        return handle_exception(error)

    def unwatch() -> None:
        # what stood on the object before, such as the wrapper of another extension, comes back
        for name, value in before.items():
            if value is None:
                app.__dict__.pop(name, None)
            else:
                app.__dict__[name] = value
        got_request_exception.disconnect(_note, app)

    # On the object, not on its class: another application of the process stays as it is.
    for name, wrapper in zip(WRAPPED, (request_context, on_any, on_unhandled), strict=True):
        setattr(app, name, wrapper)
    # no closure: the signal would keep it, and with it the application, for ever
    got_request_exception.connect(_note, app)
    return unwatch


def _note(app: Flask, exception: BaseException, **_: Any) -> None:
    """Remember what went wrong until the status is known."""
    exchange = current_request()
    if type(exchange) is Exchange:
        found = _cause(exception)
        if found is not None:
            exchange.caught = found


def _cause(error: BaseException) -> BaseException | None:
    """The exception that led to an answer: `abort(500)` in an `except` is about what was caught."""
    if not isinstance(error, HTTPException):
        return error
    if error.code is not None and error.code < 500:
        return None
    cause = getattr(error, "original_exception", None) or error.__cause__ or error.__context__
    return _cause(cause) if cause is not None else None


def route_of(request: Any) -> str | None:
    """The template of the rule that matched, if one did, below the mount point."""
    rule = request.url_rule
    if rule is None:
        return None
    mount: str = request.environ.get("SCRIPT_NAME", "")
    return f"{mount}{rule.rule}" if mount else rule.rule
