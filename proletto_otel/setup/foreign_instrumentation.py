"""Instrumentation of OpenTelemetry on an application that is ours too: one of them must rest.

`opentelemetry-instrument` and `FlaskInstrumentor` wrap the application and register functions of
their own; others wrap it by hand in `OpenTelemetryMiddleware`. With both active a request has two
spans and is counted twice.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from proletto_otel.core.internal_errors import log_rate_limited, suppressed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask

MARK = "_is_instrumented_by_opentelemetry"
"""Their own mark on an application; `instrument_app` leaves one alone that has it, and says so."""
MODULE = "opentelemetry.instrumentation.flask"
WSGI_MODULE = "opentelemetry.instrumentation.wsgi"
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


def step_aside() -> None:
    """Let `OpenTelemetryMiddleware` only pass on the requests of applications that are ours.

    The class is changed, once, as the applications that it wraps cannot be found from here:
    `app = OpenTelemetryMiddleware(app)` is known to the server alone. Others keep their spans.
    """
    middleware: Any = getattr(sys.modules.get(WSGI_MODULE), "OpenTelemetryMiddleware", None)
    if middleware is None or hasattr(middleware.__call__, MARK):
        return
    theirs = middleware.__call__

    def call(self: Any, environ: WSGIEnvironment, answer: StartResponse) -> Iterable[bytes]:
        is_ours = vars(self).get(MARK)
        if is_ours is None:
            is_ours = self.__dict__[MARK] = _leads_to_ours(self)
        response: Iterable[bytes] = (self.wsgi if is_ours else theirs.__get__(self))(
            environ, answer
        )
        return response

    setattr(call, MARK, True)
    middleware.__call__ = call


def _leads_to_ours(layer: Any) -> bool:
    """Whether an application of ours is below *layer*, a WSGI middleware; says so if it is."""
    for _ in range(MAX_LAYERS):
        if getattr(layer, MARK, False) or getattr(getattr(layer, "__self__", None), MARK, False):
            log_rate_limited(
                "setup.foreign.wsgi",
                "OpenTelemetryMiddleware wraps the application, too: it only passes requests on,"
                " or spans of requests would be doubled; it can be removed",
            )
            return True
        layer = next((x for n in LAYERS if callable(x := getattr(layer, n, None))), None)
    return False


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
