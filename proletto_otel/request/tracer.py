"""Which span a request gets: our own, a stock one, or one that is not kept.

Own: the default. Stock: when somebody added a span processor to the provider, who must see an SDK
span. Not kept: the sampler says no, or traces are not exported; IDs exist all the same.
The provider itself is built in `request.tracing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind

from proletto_otel.request.ids import new_ids, new_span_id
from proletto_otel.request.propagation import (
    RANDOM,
    SAMPLED,
    Parent,
    context_of,
    parent_of,
    parse_traceparent,
    span_context,
)
from proletto_otel.request.span import Limits, RequestSpan

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.sampling import Sampler

Environ = Mapping[str, Any]
Put = Callable[[bytes], None]
Extract = Callable[[Environ, Context], Context]
Facts = Callable[[Environ, str], Mapping[str, str | int]]


LIMITS = Limits()


class Started(NamedTuple):
    """The span of a request that begins, and the context in which it is current."""

    span: Span
    trace_id: str
    span_id: str
    sampled: bool
    context: Context


class Birth(NamedTuple):
    """What is known of a span before it begins."""

    environ: Environ
    method: str
    path: str
    start_ns: int
    parent: Parent | None
    kind: SpanKind
    untrusted: Parent | None
    """A caller whose trace is not joined but linked."""


class RequestTracer:
    """Starts request spans.

    Args:
        put: takes a finished span's bytes; `None`: traces are not exported.
        facts: the request's attributes, for samplers and stock spans.
        trust_inbound: whether the caller's trace is joined; else it becomes a link.
        limits: how much a span may hold.
    """

    def __init__(
        self,
        put: Put | None,
        facts: Facts,
        *,
        trust_inbound: bool = True,
        limits: Limits = LIMITS,
    ) -> None:
        self.put = put
        self.facts = facts
        self.trust_inbound = trust_inbound
        self.limits = limits
        self.reads_traceparent = True
        self.extract: Extract | None = None
        """Reads the caller's context when it may come in another format than traceparent."""
        self.sampler: Sampler | None = None
        """Asked for each request; `None` keeps what the caller keeps, and every new trace."""
        self.stock: trace.Tracer | None = None
        """The SDK's tracer, once a foreign span processor has to be served."""

    def start(self, environ: Environ, method: str, path: str, start_ns: int) -> Started:
        """Begin the span of one request."""
        base = context_api.get_current()
        kind, untrusted = SpanKind.SERVER, None
        # a non-empty context: an outer instrumentation, or a call within the same process
        parent = parent_of(base) if base else None
        if parent is not None:
            kind = SpanKind.INTERNAL
        else:
            base, parent = self._inbound(environ, base)
            if parent is not None and not self.trust_inbound:
                base, parent, untrusted = Context(), None, parent
        birth = Birth(environ, method, path, start_ns, parent, kind, untrusted)
        if self.stock is not None:
            return self._stock_span(self.stock, birth, base)
        span = self._own_span(birth)
        context = trace.set_span_in_context(span, base)
        return Started(span, span.trace_id, span.span_id, span.sampled, context)

    def silent(self, environ: Environ) -> Started:
        """A span that is never kept, nor are its children: for excluded paths."""
        _, parent = self._inbound(environ, Context())
        trace_id, span_id = new_ids()
        if parent is not None and self.trust_inbound:
            trace_id = parent.trace_id
        span = RequestSpan("", trace_id, span_id, RANDOM, None, 0, False, self.limits)
        context = trace.set_span_in_context(span, context_api.get_current())
        return Started(span, trace_id, span_id, False, context)

    def _inbound(self, environ: Environ, base: Context) -> tuple[Context, Parent | None]:
        if self.extract is not None:
            base = self.extract(environ, base)
            return base, parent_of(base)
        header = environ.get("HTTP_TRACEPARENT")
        if header is None or not self.reads_traceparent:
            return base, None
        parent = parse_traceparent(header)
        state = environ.get("HTTP_TRACESTATE")
        if parent is not None and state and len(state) <= MAX_TRACE_STATE:
            parsed = trace.TraceState.from_header([state])
            parent = parent._replace(trace_state=parsed.to_header())
        return base, parent

    def _own_span(self, birth: Birth) -> RequestSpan:
        _, method, _, start_ns, parent, kind, untrusted = birth
        if parent is None:
            trace_id, span_id = new_ids()
            flags = SAMPLED | RANDOM
        else:
            trace_id, span_id, flags = parent.trace_id, new_span_id(), parent.flags
        recording = flags & SAMPLED == SAMPLED and self.put is not None
        span = RequestSpan(
            method, trace_id, span_id, flags, parent, start_ns, recording, self.limits, kind
        )
        if self.sampler is not None:
            self._ask(self.sampler, span, birth)
        if untrusted is not None:
            span.add_link(span_context(untrusted))
        return span

    def _ask(self, sampler: Sampler, span: RequestSpan, birth: Birth) -> None:
        """Let the provider's sampler decide about *span*."""
        environ, method, path, _, parent, kind, untrusted = birth
        facts = dict(self.facts(environ, path))
        context = context_of(parent) if parent is not None else Context()
        result = sampler.should_sample(
            context, int(span.trace_id, 16), method, kind, facts, _links(untrusted)
        )
        span.flags = span.flags & RANDOM | (SAMPLED if result.decision.is_sampled() else 0)
        span.recording = result.decision.is_recording() and self.put is not None
        if result.trace_state is not None:
            span.trace_state = result.trace_state.to_header()
        # samplers hand back the attributes that they were given, with theirs
        span.set_attributes({k: v for k, v in result.attributes.items() if facts.get(k) != v})

    def _stock_span(self, stock: trace.Tracer, birth: Birth, base: Context) -> Started:
        environ, method, path, start_ns, parent, kind, untrusted = birth
        context = base if parent is None or kind is SpanKind.INTERNAL else context_of(parent, base)
        facts = dict(self.facts(environ, path))
        span = stock.start_span(method, context, kind, facts, _links(untrusted), start_ns)
        found = span.get_span_context()
        trace_id, span_id = f"{found.trace_id:032x}", f"{found.span_id:016x}"
        current = trace.set_span_in_context(span, base)
        return Started(span, trace_id, span_id, found.trace_flags.sampled, current)


MAX_TRACE_STATE = 512
"""Characters of tracestate that travel on: what W3C trace context guarantees to carry."""


def _links(untrusted: Parent | None) -> Sequence[Link]:
    return () if untrusted is None else (Link(span_context(untrusted)),)
