"""What is known at the end of a request: duration, counts, span, access line, error report.

All that depends only on (method, route, status, error type) is prepared once per combination
and cached. Statistics beyond the histogram live in `request.route_stats`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from threading import get_ident as _get_ident
from typing import Any

from proletto_otel.core import exceptions
from proletto_otel.core.conventions import (
    HTTP_SERVER_REQUEST_DURATION,
    HTTP_SERVER_STREAM_DURATION,
    REQUEST_ID,
)
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.registry import MAX_CELLS, Attributes, Registry, registry
from proletto_otel.export.encoding import otlp
from proletto_otel.request.attributes import OTHER, OWN_KEYS, RequestFacts, connection_key
from proletto_otel.request.exchange import Exchange, enter_request, leave_request
from proletto_otel.request.labels import RequestLabels
from proletto_otel.request.route_stats import RouteStats
from proletto_otel.request.span import RequestSpan
from proletto_otel.request.span_encoding import clean_text, heading
from proletto_otel.request.span_start import Put
from proletto_otel.request.tail_sampling import TailSampling
from proletto_otel.request.wsgi import is_websocket

Access = Callable[[Exchange], None]
Report = Callable[[BaseException, Exchange], None]
Key = tuple[str, str | None, int, str | None, str, bool, Attributes]
"""Method, route, status code (0: none), error type, scheme, whether it streams, further labels."""


def nothing(*_: object) -> None:
    """Do nothing: the default where nobody wants finished requests."""


def never(_: Exchange) -> bool:
    """Say that nothing can be deferred."""
    return False


class RequestSeries:
    """What all requests with the same method, route, status and labels share."""

    __slots__ = ("attributes", "cell", "facts", "failed", "heading", "name", "stats", "varies")

    def __init__(self, key: Key, source: Registry, route_stats: RouteStats) -> None:
        method, route, status, error_type, scheme, streams, labels = key
        self.failed = error_type is not None
        self.name = span_name(method, route)
        self.varies = route is None or "<" in route
        """Whether the path is hardly the same again."""
        values = (method, route, status or None, error_type, scheme)
        metric = HTTP_SERVER_STREAM_DURATION if streams else HTTP_SERVER_REQUEST_DURATION
        self.cell = source.histogram(metric).cell(values, labels)
        self.stats = route_stats.stats(method, route)
        named = zip(NAMES, values, strict=True)
        self.attributes: dict[str, str | int] = {k: v for k, v in named if v is not None}
        self.facts = otlp.attributes(self.attributes, otlp.span_attribute)
        self.heading = heading(self.name) + self.facts
        """Name, kind and attributes of their spans."""


NAMES = HTTP_SERVER_REQUEST_DURATION.attributes


def span_name(method: str, route: str | None) -> str:
    """`GET /orders/<int:id>`; without a route the bare method, never the path."""
    word = "HTTP" if method == OTHER else method
    return word if route is None else f"{word} {route}"


class Recorder:
    """Counts finished requests and completes their spans.

    Args:
        put: takes finished spans, encoded; `None`: traces are not exported.
        facts: tables of request attributes.
        route_of: reads the route's template from the framework's request.
        route_stats: statistics per route.
        access: called with each finished request, unless it was deferred.
        defer: takes a finished request for `complete` and its line a little later; false if that
            cannot wait.
        report: called once with each unhandled exception.
        callers: counts finished requests by who asked.
        tail: decides which traces are sent; `None`: all that were sampled at their start.
        source: where the histogram lives.
    """

    def __init__(
        self,
        put: Put | None,
        facts: RequestFacts,
        route_of: Callable[[Any], str | None],
        route_stats: RouteStats,
        *,
        access: Access = nothing,
        defer: Callable[[Exchange], bool] = never,
        report: Report = nothing,
        callers: Callable[[Iterable[Exchange]], None] = nothing,
        tail: TailSampling | None = None,
        source: Registry = registry,
    ) -> None:
        self.put = put
        self.facts = facts
        self.route_of = route_of
        self.route_stats = route_stats
        self.access = access
        self.defer = defer
        self.report = report
        self.callers = callers
        self.tail = tail
        self.epoch = 0
        """Grows with each fork; a request of the parent is not counted again by its child."""
        self.source = source
        self.known: dict[Key, RequestSeries] = {}
        self.request_labels: RequestLabels | None = None
        """Further attributes of the duration, chosen by the application."""
        self.abandoned: deque[tuple[Exchange, float]] = deque()
        """Requests that the garbage collector ended, and when; see `gather`."""

    def gather(self) -> None:
        """Finish the requests that the garbage collector found before any server closed them."""
        while self.abandoned:
            try:
                exchange, ended = self.abandoned.popleft()
            except IndexError:  # another thread was faster
                return
            token = enter_request(exchange)  # so that its access line carries its own IDs
            try:
                exchange.finish(ended)
            finally:
                leave_request(token)

    def forked(self) -> None:
        """Begin again in a child: no numbers and no open requests of the parent."""
        self.epoch += 1
        self.route_stats.reset()

    def failed(self, exchange: Exchange, error: BaseException) -> None:
        """Put an unhandled exception on the span and report it, once."""
        exchange.span.record_exception(error)
        self.report(error, exchange)
        exchange.error = error

    def exclude(self, exchange: Exchange) -> None:
        """Count a request that is being served no more, and send no span of it."""
        if exchange.active is not None:
            exchange.active.value -= 1
            exchange.active = None
            if self.tail is not None and type(exchange.span) is RequestSpan:
                self.tail.close(exchange.trace_id)

    def finished(self, exchange: Exchange) -> None:
        """Count a finished request; its span and its line may follow a little later."""
        active = exchange.active
        if active is None or exchange.epoch != self.epoch:
            return
        # The part that runs in the request's own thread, 6 µs: what must be counted when the server
        # answers, and what only the environ knows. The rest waits for `complete`, where many
        # requests at once cost half as much: code that ran a microsecond ago is still in the
        # processor's cache.
        active.value -= 1
        exchange.series = series = self.series(exchange)
        if self.tail is not None:  # first: no exemplar may lead to a trace that is not sent
            self.tail.finish(exchange, series.failed)
        try:
            trace_id = exchange.trace_id if exchange.sampled else ""
            series.cell.observe(exchange.duration_s, trace_id, exchange.span_id)
        except Exception:
            with suppressed("request.measure"):
                raise
        # copied out of the environ, which belongs to the server again after this call
        environ = exchange.environ
        exchange.connection_key = connection_key(environ)
        exchange.client = environ.get("REMOTE_ADDR", "")
        exchange.query = environ.get("QUERY_STRING", "")
        exchange.thread_id = _get_ident()
        span = exchange.span
        own = type(span) is RequestSpan  # an SDK one is encoded at once, where others see it
        if own and span.recording:
            span.recording, span.end_ns = False, exchange.end_ns
        if series.failed or not own or not self.defer(exchange):
            self.complete((exchange,))
            self.access(exchange)

    def complete(self, exchanges: Sequence[Exchange]) -> None:
        """Count finished requests and hand in their spans."""
        # One list for all of them: handing over spans takes the queue's lock once for each call.
        spans = []
        for exchange in exchanges:
            series = exchange.series
            exchange.raw_ids = bytes.fromhex(exchange.trace_id + exchange.span_id)
            try:
                series.stats.add(exchange, series.failed)
            except Exception:
                with suppressed("request.route_stats"):
                    raise
            try:
                span = self.end_span(exchange, series)
                if span is not None:
                    spans.append(span)
            except Exception:
                with suppressed("request.span"):
                    raise
        if self.put is not None and spans:
            self.put(spans)
        with suppressed("request.callers"):
            self.callers(exchanges)

    def series(self, exchange: Exchange) -> RequestSeries:
        """The shared part of requests like this one."""
        status = exchange.status
        error_type: str | None
        if exchange.exception is not None:
            error_type = exceptions.describe(exchange.exception).type
        else:
            error_type = None if status < 500 else str(status)
        environ = exchange.environ
        scheme = "https" if environ.get("wsgi.url_scheme") == "https" else "http"
        labels = self.request_labels(environ) if self.request_labels is not None else ()
        upgrade = "HTTP_UPGRADE" in environ and is_websocket(environ, status)
        exchange.streams = streams = exchange.streams or upgrade
        if streams and status == 0:
            status = exchange.status = 101
        # One dictionary look-up for what stock OpenTelemetry does anew for each request: attribute
        # set, histogram cell, span name (10 to 18 µs for the histogram alone; a cell 0.13 µs).
        key = (exchange.method, exchange.route, status, error_type, scheme, streams, labels)
        found = self.known.get(key)
        if found is None:
            found = RequestSeries(key, self.source, self.route_stats)
            if len(self.known) < MAX_CELLS:  # beyond it the histogram has one cell for all others
                self.known[key] = found
        return found

    def end_span(self, exchange: Exchange, series: RequestSeries) -> bytes | None:
        """Name the span after its route and complete it; its bytes, if they are ours to send."""
        span = exchange.span
        if type(span) is not RequestSpan:
            self._end_sdk_span(exchange, series)
        elif self.put is not None and exchange.sampled and span.end_ns:
            # `changed`: the application touched the span. All others are joined from cached bytes,
            # in a third of the time.
            if span.changed or series.failed:
                return self._changed(exchange, series, span)
            facts = self.facts.fragments(exchange)
            return span.untouched_bytes(exchange.raw_ids, (series.heading, *facts))
        return None

    def _changed(self, exchange: Exchange, series: RequestSeries, span: RequestSpan) -> bytes:
        error, extra = exchange.exception, span.extra
        if extra and not OWN_KEYS.isdisjoint(extra):
            # the application set one of ours: its value wins, and OTLP allows no key twice
            own = self.facts.as_values(exchange) | series.attributes
            own[REQUEST_ID] = exchange.request_id
            rest = {k: v for k, v in own.items() if k not in extra}
            facts = otlp.attributes(rest, otlp.span_attribute)
        else:
            facts = self.facts.encoded(exchange)
        message = "" if error is None else error_message(error)
        return span.encoded(series.name, facts, exchange.end_ns, series.failed, message)

    def _end_sdk_span(self, exchange: Exchange, series: RequestSeries) -> None:
        span = exchange.span
        if span.is_recording():
            if span.name == exchange.method:  # not renamed by the application
                span.update_name(series.name)
            span.set_attributes({**series.attributes, REQUEST_ID: exchange.request_id})
            if series.failed:
                error = exchange.exception
                message = error_message(error) if error is not None else None
                from opentelemetry.trace import Status, StatusCode

                span.set_status(Status(StatusCode.ERROR, message))
        span.end(exchange.end_ns)


def error_message(error: BaseException) -> str:
    """`ValueError: boom`, cleaned, for the span's status."""
    return exceptions.describe(error).form(
        "message", lambda facts: clean_text(f"{facts.type}: {facts.message}")
    )
