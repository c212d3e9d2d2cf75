"""`PROLETTO_INSTRUMENTATION=contrib`: the request span of opentelemetry-instrumentation-flask.

Request ID, duration, counts, access line and error report stay ours; only the span is theirs, and
with it their limits: no span when an earlier `before_request` answers, and none that sees the
body. Their metrics are off, because ours have the same names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider

from proletto_otel.core.context import current_request
from proletto_otel.core.conventions import REQUEST_ID
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.request.completion import Recorder, RequestSeries
from proletto_otel.request.exchange import Exchange
from proletto_otel.request.id_generator import IdGenerator, new_ids
from proletto_otel.request.middleware import Exclusions
from proletto_otel.request.span_start import RequestTracer
from proletto_otel.request.wsgi import Environ

if TYPE_CHECKING:
    from flask import Flask

    from proletto_otel.request.otel_setup import Tracing

NOTHING = trace.NoOpTracer()
OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"


class ContribTracer(RequestTracer):
    """Chooses the IDs; the span follows when Flask's `before_request` runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ids = ContribIds()

    def start(self, exchange: Exchange, environ: Environ) -> None:
        """Give *exchange* the caller's trace ID or a fresh one, and no span yet."""
        if not self.trust_inbound:
            environ.pop("HTTP_TRACEPARENT", None)  # theirs would join it
        _, parent = self._inbound(environ, Context())
        # Chosen before their span exists, because the request ID and early log lines need it
        exchange.trace_id = parent.trace_id if parent is not None else new_ids()[0]
        exchange.span_id = ""
        exchange.span = trace.INVALID_SPAN
        exchange.otel = context_api.get_current()


class ContribRecorder(Recorder):
    """Counts and logs; naming, failing and ending the span is theirs."""

    def failed(self, exchange: Exchange, error: BaseException) -> None:
        """Report; the exception becomes an event when theirs leaves its context."""
        self.report(error, exchange)
        exchange.error = error

    def end_span(self, exchange: Exchange, series: RequestSeries) -> bytes | None:
        """Nothing: the span ended at Flask's teardown."""
        return None


class ContribIds(IdGenerator):
    """Gives the request's new trace the ID that was already returned and logged for it."""

    def generate_trace_id(self) -> int:
        """The trace ID of a request that waits for its span, else a fresh one."""
        exchange = current_request()
        if type(exchange) is Exchange and exchange.span is trace.INVALID_SPAN:
            return int(exchange.trace_id, 16)
        return super().generate_trace_id()


class LateProvider(trace.TracerProvider):
    """Stands for our provider, which exists only once the process serves."""

    def __init__(self, tracing: Tracing) -> None:
        self.tracing = tracing

    def get_tracer(self, *names: Any, **more: Any) -> trace.Tracer:
        """A tracer that becomes real with the provider."""
        return LateTracer(self.tracing, names, more)


class LateTracer(trace.Tracer):
    """Asks for the real tracer at each span; the provider caches it."""

    def __init__(self, tracing: Tracing, names: Any, more: Any) -> None:
        self._tracing, self._names, self._more = tracing, names, more

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        """Start a span with our provider; before it exists, one that records nothing."""
        return self._real().start_span(*args, **kwargs)

    # the API's own type for the result is private
    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        """Start a span and make it current."""
        return self._real().start_as_current_span(*args, **kwargs)

    def _real(self) -> trace.Tracer:
        provider = self._tracing.provider
        return NOTHING if provider is None else provider.get_tracer(*self._names, **self._more)


def instrument(app: Flask, tracing: Tracing, exclusions: Exclusions) -> None:
    """Let opentelemetry-instrumentation-flask trace *app* with the stable HTTP conventions."""
    os.environ.setdefault(OPT_IN, "http")
    # reads the variable once per process, at the first instrumentation of any library
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    instrument_app: Callable[..., None] = FlaskInstrumentor.instrument_app
    instrument_app(
        app,
        request_hook=_adopt,
        tracer_provider=LateProvider(tracing),
        meter_provider=NoOpMeterProvider(),
        excluded_urls=",".join(url_patterns(exclusions)),
        enable_commenter=False,
    )
    _check_conventions()


def _adopt(span: trace.Span, environ: Environ) -> None:
    """Make their span the exchange's; it raises nothing, as theirs would answer 500."""
    exchange = current_request()
    if type(exchange) is not Exchange:
        return
    with suppressed("request.contrib"):
        found = span.get_span_context()
        exchange.span = span
        exchange.trace_id, exchange.span_id = f"{found.trace_id:032x}", f"{found.span_id:016x}"
        exchange.sampled = found.trace_flags.sampled
        span.set_attribute(REQUEST_ID, exchange.request_id)


def url_patterns(exclusions: Exclusions) -> list[str]:
    """Our exclusions as theirs: expressions searched for in the full URL."""
    host = "^[a-z]+://[^/]*"
    exact = [f"{host}{path}(?:$|[?])" for path in sorted(exclusions.paths)]
    below = [f"{host}{exclusions.below}/"] if exclusions.below else []
    # a comma separates patterns there and cannot be escaped
    return exact + below + [p for p in exclusions.patterns if "," not in p]


def _check_conventions() -> None:
    """Say so when somebody instrumented earlier and the old names won."""
    from opentelemetry.instrumentation import _semconv

    stability = _semconv._OpenTelemetrySemanticConventionStability
    mode = stability._get_opentelemetry_stability_opt_in_mode(
        _semconv._OpenTelemetryStabilitySignalType.HTTP
    )
    if mode is _semconv._StabilityMode.DEFAULT:
        log_rate_limited(
            "contrib.conventions",
            "spans have the old HTTP names: set %s=http before any other instrumentation starts",
            OPT_IN,
        )
