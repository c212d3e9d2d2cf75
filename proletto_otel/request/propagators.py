"""OpenTelemetry's propagators: which ones carry a context in and out of this process.

Most programs never carry one out, so the API is left to whoever imports it. What travels, and to
whom, lives in `request.request_id_propagator`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from proletto_otel.core.after_import import after_import
from proletto_otel.core.config import Config
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.request.span_start import RequestTracer

if TYPE_CHECKING:
    from opentelemetry.propagators.textmap import TextMapPropagator

    from proletto_otel.request.request_id_propagator import RequestIdPropagator

API = "opentelemetry.propagate"
TRACECONTEXT = "tracecontext"


def set_when_imported(
    config: Config, tracer: RequestTracer, own: Callable[[], RequestIdPropagator]
) -> None:
    """`set_propagators`, but of the usual choice only when somebody imports the API."""
    # The tracer reads `traceparent` itself. Anything else it has to know for the first request, and
    # the API would refuse to be imported with a variable that it does not understand.
    names = {os.environ.get("OTEL_PROPAGATORS", TRACECONTEXT), *config.propagators}
    if names == {TRACECONTEXT}:
        after_import(API, lambda _: set_propagators(config, tracer, own()))
    else:
        set_propagators(config, tracer, own())


def set_propagators(config: Config, tracer: RequestTracer, own: RequestIdPropagator) -> None:
    """Set how context travels: `OTEL_PROPAGATORS`, and our X-Request-ID always."""
    from opentelemetry.propagators.composite import CompositePropagator

    propagate = import_api()
    found = [p for name in config.propagators if (p := _propagator(name)) is not None]
    propagate.set_global_textmap(CompositePropagator([*found, own]))
    tracer.reads_traceparent = config.propagators == (TRACECONTEXT,)
    if found and not tracer.reads_traceparent:
        from proletto_otel.request.request_id_propagator import wsgi_getter

        inbound = CompositePropagator(found)
        tracer.extract = lambda environ, base: inbound.extract(environ, base, wsgi_getter)


def import_api() -> ModuleType:
    """`opentelemetry.propagate`, whatever the variable is that it reads while it is imported."""
    if API in sys.modules:
        return sys.modules[API]
    try:
        # without a look for the entry points of all installed packages (2 ms)
        with _only(os.environ, "OTEL_PROPAGATORS", "none"):
            from opentelemetry import propagate
    except Exception:  # older releases know no "none"
        with _only(os.environ, "OTEL_PROPAGATORS", TRACECONTEXT):
            from opentelemetry import propagate
    return propagate


def _propagator(name: str) -> TextMapPropagator | None:
    if name == TRACECONTEXT:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        return TraceContextTextMapPropagator()
    if name == "none":
        return None
    from opentelemetry.util._importlib_metadata import entry_points

    for entry in entry_points(group="opentelemetry_propagator", name=name):
        with suppressed(f"propagator.{name}"):
            return cast("TextMapPropagator", entry.load()())
    log_rate_limited("propagators", "OTEL_PROPAGATORS: no installed package provides %s", name)
    return None


@contextmanager
def _only(environ: Any, name: str, value: str) -> Iterator[None]:
    before = environ.get(name)
    environ[name] = value
    try:
        yield
    finally:
        environ.pop(name)
        if before is not None:
            environ[name] = before
