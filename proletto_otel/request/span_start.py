"""Which span a request gets: our own, an SDK one, or one that is not kept.

Own: the default. SDK: when somebody added a span processor to the provider, who must see an SDK
span. Not kept: the sampler says no, or traces are not exported; IDs exist all the same.
The provider itself is built in `request.otel_setup`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from opentelemetry import context as context_api
from opentelemetry.context import Context

from proletto_otel.core import trace_context
from proletto_otel.core.trace_context import current_trace
from proletto_otel.request.exchange import Exchange
from proletto_otel.request.id_generator import IdGenerator, new_ids, new_span_id
from proletto_otel.request.propagation import (
    RANDOM,
    SAMPLED,
    Parent,
    context_of,
    parent_of,
    parse_traceparent,
    span_context,
    valid_trace_state,
)
from proletto_otel.request.span import RequestSpan, span_kind
from proletto_otel.request.span_encoding import Limits
from proletto_otel.request.tail_sampling import TailSampling
from proletto_otel.request.wsgi import Environ

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace.sampling import Sampler

Put = Callable[[Sequence[bytes]], None]
Extract = Callable[[Environ, Context], Context]
Facts = Callable[[Environ, str], Mapping[str, str | int]]


LIMITS = Limits()


SpanStart = tuple[Parent | None, bool, Parent | None]
"""The parent; whether another span within the process is the server's; a caller that is linked,
because its trace is not joined."""


class RequestTracer:
    """Starts request spans.

    Args:
        put: takes finished spans, encoded; `None`: traces are not exported.
        facts: the request's attributes, for samplers and SDK spans.
        trust_inbound: whether the caller's trace is joined; else it becomes a link.
        limits: how much a span may hold.
        tail: decides at the end of a request which traces are sent; `None`: all that are sampled.
    """

    def __init__(
        self,
        put: Put | None,
        facts: Facts,
        *,
        trust_inbound: bool = True,
        limits: Limits = LIMITS,
        tail: TailSampling | None = None,
    ) -> None:
        self.put = put
        self.facts = facts
        self.trust_inbound = trust_inbound
        self.limits = limits
        self.tail = tail
        self.ids = IdGenerator()
        """Makes the IDs of spans that the SDK starts."""
        self.reads_traceparent = True
        self.extract: Extract | None = None
        """Reads the caller's context when it may come in another format than traceparent."""
        self.sampler: Sampler | None = None
        """Asked for each request; `None` samples what the caller samples, and every new trace."""
        self.sdk_tracer: trace.Tracer | None = None
        """The SDK's tracer, once a foreign span processor has to be served."""

    def start(self, exchange: Exchange, environ: Environ) -> None:
        """Begin the span of *exchange*: sets its span, IDs, context and whether it is kept."""
        base = current_trace()
        if (
            not base  # an outer instrumentation, or a call within the same process, left its span
            and self.sampler is None
            and self.sdk_tracer is None
            and self.tail is None
            and "HTTP_TRACEPARENT" not in environ
            and self.extract is None
        ):
            # As `_own_span` without a parent; most requests are like that. Written out, because the
            # general way takes four calls more.
            trace_id, span_id = exchange.trace_id, exchange.span_id = new_ids()
            exchange.span = span = RequestSpan(
                exchange.method, trace_id, span_id, SAMPLED | RANDOM, None, exchange.start_ns,
                self.put is not None, self.limits,
            )  # fmt: skip
            exchange.otel = Context({trace_context.span_key: span})
        else:
            self._start_within(exchange, environ, base)

    def start_unsampled(self, exchange: Exchange, environ: Environ) -> None:
        """Give *exchange* a span that is never kept, nor are its children: for excluded paths."""
        # Still the caller's trace ID: log lines of an excluded path belong to its trace
        _, parent = self._inbound(environ, Context())
        trace_id, span_id = new_ids()
        if parent is not None and self.trust_inbound:
            trace_id = parent.trace_id
        base = context_api.get_current()
        self._own(exchange, trace_id, span_id, RANDOM, None, False, base)

    def _own(
        self, exchange: Exchange, trace_id: str, span_id: str, flags: int, parent: Parent | None,
        internal: bool, base: Context,
    ) -> RequestSpan:  # fmt: skip
        sampled = flags & SAMPLED == SAMPLED
        span = RequestSpan(
            exchange.method, trace_id, span_id, flags, parent, exchange.start_ns,
            sampled and self.put is not None, self.limits, internal,
        )  # fmt: skip
        exchange.span = span
        exchange.trace_id = trace_id
        exchange.span_id = span_id
        exchange.sampled = sampled
        # A `Context` made directly: `set_span_in_context` makes and copies two
        exchange.otel = (
            Context({**base, trace_context.span_key: span})
            if base
            else Context({trace_context.span_key: span})
        )
        return span

    def _start_within(self, exchange: Exchange, environ: Environ, base: Context) -> None:
        """The general case: a parent, a sampler to ask, an SDK span to make."""
        internal, untrusted = False, None
        parent = parent_of(base) if base else None
        if parent is not None:
            # Another instrumentation, or a view that calls the application, has the server span
            internal = True
        else:
            base, parent = self._inbound(environ, base)
            if parent is not None and not self.trust_inbound:
                base, parent, untrusted = Context(), None, parent
        start = (parent, internal, untrusted)
        if self.sdk_tracer is not None:
            self._sdk_span(self.sdk_tracer, exchange, environ, start, base)
        else:
            self._own_span(exchange, environ, start, base)

    def _inbound(self, environ: Environ, base: Context) -> tuple[Context, Parent | None]:
        if self.extract is not None:
            base = self.extract(environ, base)
            return base, parent_of(base)
        header = environ.get("HTTP_TRACEPARENT")
        if header is None or not self.reads_traceparent:
            return base, None
        # Our own parser: 0.35 µs, against 4.0 of the API's propagator
        parent = parse_traceparent(header)
        state = environ.get("HTTP_TRACESTATE")
        if parent is not None and state and len(state) <= MAX_TRACE_STATE:
            parent.trace_state = valid_trace_state(state)
        return base, parent

    def _own_span(
        self, exchange: Exchange, environ: Environ, start: SpanStart, base: Context
    ) -> None:
        parent, internal, untrusted = start
        if parent is None:
            trace_id, span_id = new_ids()
            is_sampled = self.tail is None or self.tail.is_in_ratio(trace_id)
            flags = SAMPLED | RANDOM if is_sampled else RANDOM
        else:
            trace_id, span_id, flags = parent.trace_id, new_span_id(), parent.flags
        span = self._own(exchange, trace_id, span_id, flags, parent, internal, base)
        if self.tail is not None:
            self.tail.begin(span)
        if self.sampler is not None:
            self._ask(self.sampler, exchange, environ, span, start)
        if untrusted is not None:
            span.add_link(span_context(untrusted))

    def _ask(
        self, sampler: Sampler, exchange: Exchange, environ: Environ, span: RequestSpan,
        start: SpanStart,
    ) -> None:  # fmt: skip
        """Let the provider's sampler decide about *span*."""
        parent, internal, untrusted = start
        facts = dict(self.facts(environ, exchange.path))
        context = context_of(parent) if parent is not None else Context()
        result = sampler.should_sample(
            context,
            int(span.trace_id, 16),
            span.name,
            span_kind(internal),
            facts,
            _links(untrusted),
        )
        # Asked after the span exists: it needs the trace ID, and the span takes its attributes.
        decision = result.decision.value  # 0 drop, 1 record, 2 record and sample
        exchange.sampled = decision == 2
        span.flags = span.flags & RANDOM | (SAMPLED if exchange.sampled else 0)
        span.recording = decision > 0 and self.put is not None
        if result.trace_state is not None:
            span.trace_state = result.trace_state.to_header()
            span.changed = True
        # samplers hand back the attributes that they were given, with theirs
        span.set_attributes({k: v for k, v in result.attributes.items() if facts.get(k) != v})

    def _sdk_span(
        self,
        sdk_tracer: trace.Tracer,
        exchange: Exchange,
        environ: Environ,
        start: SpanStart,
        base: Context,
    ) -> None:
        parent, internal, untrusted = start
        context = base if parent is None or internal else context_of(parent, base)
        facts = dict(self.facts(environ, exchange.path))
        span = sdk_tracer.start_span(
            exchange.method,
            context,
            span_kind(internal),
            facts,
            _links(untrusted),
            exchange.start_ns,
        )
        found = span.get_span_context()
        exchange.span = span
        exchange.trace_id, exchange.span_id = f"{found.trace_id:032x}", f"{found.span_id:016x}"
        exchange.sampled = found.trace_flags.sampled
        exchange.otel = Context({**base, trace_context.span_key: span})


MAX_TRACE_STATE = 512
"""Characters of tracestate that travel on: what W3C trace context guarantees to carry."""


def _links(untrusted: Parent | None) -> Sequence[trace.Link]:
    from opentelemetry.trace import Link  # who asks has a sampler, or a tracer of the SDK

    return () if untrusted is None else (Link(span_context(untrusted)),)
