"""opentelemetry-instrumentation-flask on an application that is ours too: one of them must rest.

`opentelemetry-instrument` and `FlaskInstrumentor` wrap the application and register functions of
their own. With both active a request has two spans and is counted twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proletto_otel.core.internal_errors import log_rate_limited, suppressed

if TYPE_CHECKING:
    from flask import Flask

MARK = "_is_instrumented_by_opentelemetry"
"""Their own mark on an application; `instrument_app` leaves one alone that has it, and says so."""
MODULE = "opentelemetry.instrumentation.flask"
MAX_LAYERS = 20
LAYERS = ("app", "wsgi_app", "wsgi", "application")
"""Names under which WSGI middleware keeps what it wraps."""


def switch_off(app: Flask) -> None:
    """Take their instrumentation off *app*, and say in one line what happened."""
    if not getattr(app, MARK, False):
        return
    removed = False
    with suppressed("setup.foreign"):
        removed = _removed(app)
    log_rate_limited(
        "setup.foreign",
        "%s is active on the application too: it is switched off there, or spans and metrics of"
        " requests would be doubled"
        if removed
        else "%s is active on the application too and cannot be switched off: spans and metrics of"
        " requests are doubled until it is removed",
        MODULE,
    )


def keep_off(app: Flask) -> None:
    """Let an `instrument_app` that comes after us do nothing but warn."""
    setattr(app, MARK, True)


def _removed(app: Any) -> bool:
    """Whether their wrapper was found, also below other middleware, and taken out."""
    holder, name = app, "wsgi_app"
    for _ in range(MAX_LAYERS):
        layer = getattr(holder, name)
        if getattr(layer, "__module__", "") == MODULE:
            setattr(holder, name, app.__dict__.pop("_original_wsgi_app"))
            # `uninstrument_app` drops middleware put on since, and fails on an app of their class
            for registered in (app.before_request_funcs, app.teardown_request_funcs):
                registered[None][:] = [
                    f for f in registered[None] if getattr(f, "__module__", "") != MODULE
                ]
            setattr(app, MARK, False)
            return True
        below = next((n for n in LAYERS if callable(getattr(layer, n, None))), None)
        if below is None:
            return False
        holder, name = layer, below
    return False
