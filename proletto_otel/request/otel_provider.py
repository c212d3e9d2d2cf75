"""The SDK provider of child spans, and the processor that turns them into bytes.

Imported only when a process activates, because it imports the SDK. Settings become its arguments
in `request.otel_setup`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Protocol, cast

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from proletto_otel.core.conventions import EXCEPTION_STACKTRACE
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.redaction import sanitise
from proletto_otel.export.encoding import otlp
from proletto_otel.export.encoding.envelope import any_scope
from proletto_otel.request.span_encoding import clean_attributes

SCOPE = "proletto_otel"


class Queue(Protocol):
    """What a finished span is handed to: the queue of traces in `export`."""

    def put(self, item: bytes, scope: bytes = b"") -> None:
        """Take an encoded span; never blocks, never raises."""


class EncodingProcessor(SpanProcessor):
    """Cleans and encodes a finished SDK span at once: no queue of objects, no thread."""

    def __init__(self, queue: Queue | None, flush: Callable[[float], bool]) -> None:
        self._queue = queue
        self._flush = flush

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span's bytes if its trace is kept."""
        queue, context = self._queue, span.context
        if queue is not None and context is not None and context.trace_flags.sampled:
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
