"""The SDK provider of child spans, and the processor that turns them into bytes.

Imported only when a process activates, because it imports the SDK. Settings become its arguments
in `request.otel_setup`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Protocol, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode, TraceState
from opentelemetry.util import types

from proletto_otel.core.conventions import EXCEPTION_STACKTRACE
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.redaction import sanitise
from proletto_otel.export.encoding import otlp
from proletto_otel.export.encoding.envelope import any_scope
from proletto_otel.request.span_encoding import clean_attributes
from proletto_otel.request.tail_sampling import TailSampling

SCOPE = "proletto_otel"


class Queue(Protocol):
    """What a finished span is handed to: the queue of traces in `export`."""

    def put(self, item: bytes, scope: bytes = b"") -> None:
        """Take an encoded span; never blocks, never raises."""


class EncodingProcessor(SpanProcessor):
    """Cleans and encodes a finished SDK span at once: no queue of objects, no thread."""

    def __init__(
        self,
        queue: Queue | None,
        flush: Callable[[float], bool],
        tail: TailSampling | None = None,
    ) -> None:
        self._queue = queue
        self._flush = flush
        self._tail = tail
        if tail is not None:
            tail.send = self._send

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Open the trace of a job outside of any request."""
        if self._tail is not None and _is_undecided_root(span):
            self._tail.open(f"{span.context.trace_id:032x}")

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span's bytes if its trace is sent, or give it to who decides that."""
        context = span.context
        if context is None:
            return
        if self._tail is not None:
            self._decide(self._tail, span, f"{context.trace_id:032x}")
        elif context.trace_flags.sampled:
            self._send(span)

    def _decide(self, tail: TailSampling, span: ReadableSpan, trace_id: str) -> None:
        took_s = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
        is_slow = span.kind is SpanKind.SERVER and took_s >= tail.slow_s
        if is_slow or span.status.status_code is StatusCode.ERROR:
            tail.keep(trace_id)
        if span.context.trace_flags.sampled:
            self._send(span)
        else:
            tail.add(trace_id, span)
        if _is_undecided_root(span):
            tail.close(trace_id)

    def _send(self, span: ReadableSpan) -> None:
        queue = self._queue
        if queue is not None:
            # Here, in the application's thread: bytes do not change any more, and no export thread
            # holds the interpreter for a whole batch (10 to 25 ms with the SDK's 512 spans).
            with suppressed("tracing.encode"):
                found = span.instrumentation_scope
                own = found is None or found.name == SCOPE
                scope = b"" if own else any_scope(found)
                queue.put(otlp.sdk_span(cast("ReadableSpan", cleaned(span))), scope)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is queued within that time."""
        return self._flush(timeout_millis / 1000)


def _is_undecided_root(span: ReadableSpan) -> bool:
    """Whether no other span of this process decides about *span* with its own end."""
    is_root = span.parent is None or span.parent.is_remote
    return is_root and span.context is not None and not span.context.trace_flags.sampled


class TailSampler(Sampler):
    """Samples a share of the traces, and lets the spans of others record until `tail` decides."""

    def __init__(self, tail: TailSampling) -> None:
        self._tail = tail

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: types.Attributes = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Follow the parent, or sample a new trace by its ID."""
        parent = trace.get_current_span(parent_context).get_span_context()
        text = f"{trace_id:032x}"
        if parent.is_valid:
            sampled, state = parent.trace_flags.sampled, parent.trace_state
        else:
            sampled = self._tail.is_in_ratio(text)
            state = TraceState.from_header([self._tail.trace_state] if sampled else [])
        if sampled:
            decision = Decision.RECORD_AND_SAMPLE
        elif not parent.is_valid or parent.is_remote or self._tail.knows(text):
            decision = Decision.RECORD_ONLY
        else:  # of an excluded path, or later than its request
            decision = Decision.DROP
        return SamplingResult(decision, attributes, state)

    def get_description(self) -> str:
        """Its name in the SDK's texts."""
        return "TailSampler"


class Provider(TracerProvider):
    """Notices processors that are not ours; they must see SDK spans of requests too."""

    on_foreign: Callable[[], None]

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Add a processor."""
        super().add_span_processor(span_processor)
        if not isinstance(span_processor, EncodingProcessor):
            self.on_foreign()

    def _handle_fork(self) -> None:
        # The SDK (1.45) detects its resource anew here, in a pool of threads, while the lock of
        # `concurrent.futures` may still be the one that the parent held for the fork: the child
        # would wait for ever. Ours travels with each request for export; see `export.resource`.
        self._tracers_lock = threading.Lock()


def cleaned(span: ReadableSpan) -> SimpleNamespace:
    """The span without secrets: URLs, SQL and messages of instrumentations come as they are."""
    status = span.status
    description = sanitise.get().text(status.description) if status.description else None
    return SimpleNamespace(
        name=sanitise.get().text(span.name),
        kind=span.kind,
        context=span.context,
        parent=span.parent,
        start_time=span.start_time,
        end_time=span.end_time,
        attributes=_clean(span.attributes),
        events=[_event(e) for e in span.events],
        links=[
            SimpleNamespace(
                context=link.context,
                attributes=_clean(link.attributes),
                dropped_attributes=link.dropped_attributes,
            )
            for link in span.links
        ],
        status=SimpleNamespace(status_code=status.status_code, description=description),
        dropped_attributes=span.dropped_attributes,
        dropped_events=span.dropped_events,
        dropped_links=span.dropped_links,
    )


def _event(event: Any) -> SimpleNamespace:
    values = _clean(event.attributes)
    stack = (event.attributes or {}).get(EXCEPTION_STACKTRACE)
    if isinstance(stack, str):
        # cleaned as a block: as one value of an attribute it would be cut in the middle
        values[EXCEPTION_STACKTRACE] = sanitise.get().block(stack)
    lost = event.dropped_attributes
    return SimpleNamespace(
        name=sanitise.get().text(event.name),
        timestamp=event.timestamp,
        attributes=values,
        dropped_attributes=lost,
    )


def _clean(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return clean_attributes(attributes) if attributes else {}
