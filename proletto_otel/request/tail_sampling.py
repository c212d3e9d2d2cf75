"""Which traces are sent when not all are: decided in the process, at the end of a request.

A share of the traces is sampled at the start, by trace ID. Of the others this process holds the
spans until the request is over, and sends them if it failed or was slow. Spans of the SDK come
here from `request.otel_provider`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from proletto_otel.core.conventions import TELEMETRY_SAMPLED_OUT
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.delivery import ledger as process_ledger
from proletto_otel.core.metrics.registry import Registry, registry
from proletto_otel.request.exchange import Exchange
from proletto_otel.request.span import RequestSpan

MAX_SPANS = 512
"""Spans held for one trace; as many as go out in one export request."""
MAX_HELD = 4096
"""Spans held for all traces together."""
MAX_TRACES = 10_000
"""Traces that are open at once; of further ones only the request's own span is judged."""
MAX_KEPT = 1000
"""Traces kept for a reason, remembered for spans that end after their request."""
DIGITS = 6
"""Of the 14 hexadecimal digits of a threshold: the ratio is exact to 1/2**24."""
SPAN_LIMIT = "span_limit"


class OpenTrace:
    """A trace with requests or jobs that are not over."""

    __slots__ = ("is_kept", "left_out", "roots", "spans")

    def __init__(self) -> None:
        self.is_kept = False
        """Whether something in it failed or was slow."""
        self.roots = 1
        """Requests and jobs of it that run here."""
        self.spans: list[Any] = []
        self.left_out = 0
        """Spans beyond the limits."""


class TailSampling:
    """The open traces of a process, their spans, and what becomes of both.

    Args:
        ratio: Share of the ordinary traces that are sent.
        slow_s: A request that takes so long is sent, whatever the ratio says.
        sink: Name of the traces' queue in the ledger.
        source: Where the spans that are not sent are counted.
        ledger: Where spans beyond the limits are counted as lost.
    """

    def __init__(
        self,
        ratio: float,
        slow_s: float,
        *,
        sink: str,
        source: Registry = registry,
        ledger: Ledger = process_ledger,
    ) -> None:
        self.slow_s = slow_s
        # OpenTelemetry's consistent probability sampling: a trace is sampled if the last 56 bits of
        # its ID reach the threshold, which travels in tracestate: span metrics multiply by it.
        self._threshold: int = round((1 - ratio) * 16**DIGITS)
        digits = f"{self._threshold:0{DIGITS}x}".rstrip("0")
        self.trace_state = f"ot=th:{digits or 0}"
        self.send: Callable[[Any], None] = lambda span: None
        """Encodes and queues a span that was held."""
        self._sink = sink
        self._ledger = ledger
        self._sampled_out = source.counter(TELEMETRY_SAMPLED_OUT).cell(())
        self.forked()

    def forked(self) -> None:
        """Begin again in a child: the open traces are the parent's."""
        # Reentrant: a signal handler may log an error while its thread is in here.
        self._lock = threading.RLock()
        self._open: dict[str, OpenTrace] = {}
        self._kept: dict[str, None] = {}
        self.held = 0
        """Spans that wait for a decision."""

    @property
    def open_count(self) -> int:
        """How many traces are open."""
        return len(self._open)

    def is_in_ratio(self, trace_id: str) -> bool:
        """Whether the trace is sampled at its start: the same in each service of this ratio."""
        return int(trace_id[-14 : DIGITS - 14], 16) >= self._threshold

    def keeps(self, trace_id: str) -> bool:
        """Whether the trace is sent because something in it failed or was slow."""
        found = self._open.get(trace_id)
        return trace_id in self._kept if found is None else found.is_kept

    def knows(self, trace_id: str) -> bool:
        """Whether further spans of the trace may be sent."""
        return trace_id in self._open or trace_id in self._kept

    # --- requests -----------------------------------------------------------------------------

    def begin(self, span: RequestSpan) -> None:
        """Let the span of a request that begins record, whether it is sampled or not."""
        span.recording = True
        if span.parent is None and span.sampled:
            span.trace_state, span.changed = self.trace_state, True
        self.open(span.trace_id)

    def finish(self, exchange: Exchange, failed: bool) -> None:
        """Decide about a request that is over: sets whether its trace is sent.

        Args:
            exchange: The request.
            failed: Whether the answer was 5xx or nobody handled an exception.
        """
        span, trace_id = exchange.span, exchange.trace_id
        own = span if type(span) is RequestSpan else None
        slow = exchange.duration_s >= self.slow_s and not exchange.streams
        matters = failed or slow or (own is not None and own.has_error)
        if matters:
            self.keep(trace_id)
        if matters or self.keeps(trace_id):
            exchange.sampled = True
            if own is not None:
                own.trace_state = without_threshold(own.trace_state)
        if own is not None:  # spans of the SDK are closed and counted when they end
            self.close(trace_id)
            if not exchange.sampled:
                self._sampled_out.add(1)

    # --- traces -------------------------------------------------------------------------------

    def open(self, trace_id: str) -> None:
        """A request or a job of the trace begins."""
        with self._lock:
            found = self._open.get(trace_id)
            if found is not None:
                found.roots += 1
            elif len(self._open) < MAX_TRACES:
                self._open[trace_id] = OpenTrace()

    def keep(self, trace_id: str) -> None:
        """Something in the trace failed or was slow: send its spans, from now on at once."""
        with self._lock:
            found = self._open.get(trace_id)
            if found is None or found.is_kept:
                return
            found.is_kept = True
            spans, found.spans = found.spans, []
            count = len(spans)
            self.held -= count
        # Sent without the lock: encoding calls foreign code.
        for span in spans:
            self.send(span)
        if found.left_out:
            self._lose(found.left_out)

    def add(self, trace_id: str, span: Any) -> None:
        """Send a span that ended, hold it, or leave it out."""
        with self._lock:
            is_kept = self.keeps(trace_id)
            if not is_kept:
                self._hold(self._open.get(trace_id), span)
        if is_kept:
            self.send(span)

    def _hold(self, found: OpenTrace | None, span: Any) -> None:
        if found is None:
            self._sampled_out.add(1)
        elif len(found.spans) < MAX_SPANS and self.held < MAX_HELD:
            found.spans.append(span)
            self.held += 1
        else:
            found.left_out += 1

    def close(self, trace_id: str) -> None:
        """A request or a job of the trace is over; with the last one its spans are left out."""
        with self._lock:
            found = self._open.get(trace_id)
            if found is None:
                return
            found.roots -= 1
            if found.roots:
                return
            del self._open[trace_id]
            if found.is_kept:
                self._remember(trace_id)
            else:
                count = len(found.spans)
                self.held -= count
                self._sampled_out.add(count + found.left_out)

    def _remember(self, trace_id: str) -> None:
        if len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[trace_id] = None

    def _lose(self, spans: int) -> None:
        self._ledger.emitted(self._sink, spans)
        self._ledger.dropped(self._sink, SPAN_LIMIT, spans)


def without_threshold(trace_state: str) -> str:
    """*trace_state* for a span that is sent for certain, so that it counts as one."""
    members = trace_state.split(",")
    return ",".join(m for m in members if not m.strip().startswith("ot="))
