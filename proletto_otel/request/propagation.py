"""What comes in with a request: the caller's span and request ID, read without the API's parsers.

What goes out is in `request.request_id_propagator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context

from proletto_otel.core import trace_context
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.record import record

if TYPE_CHECKING:
    from opentelemetry import trace

SAMPLED = 1
RANDOM = 2
"""W3C trace flags: the trace is kept; the trace ID is random."""

_TRACEPARENT = lazy_pattern(
    r"[ \t]*([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?[ \t]*"
)
_REQUEST_ID = lazy_pattern(r"[A-Za-z0-9._-]{1,128}")
_TRACE_STATE_MEMBER = lazy_pattern(
    r"([a-z][_0-9a-z*/-]{0,255}|[a-z0-9][_0-9a-z*/-]{0,240}@[a-z][_0-9a-z*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
MAX_MEMBERS = 32
"""Members of a tracestate, as W3C and the API say: https://www.w3.org/TR/trace-context/#list"""
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
MAX_TRACEPARENT = 512
"""Longest traceparent that is parsed; version 00 has 55 characters."""

matches_request_id = _REQUEST_ID.fullmatch
"""Whether a text may be a request ID: short, and harmless in a log line, header and page."""


@record(slots=True)
class Parent:
    """The caller's span."""

    trace_id: str
    span_id: str
    flags: int
    trace_state: str = ""
    remote: bool = True

    # Written out, as many requests have a caller.
    def __init__(
        self, trace_id: str, span_id: str, flags: int, trace_state: str = "", remote: bool = True
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.trace_state = trace_state
        self.remote = remote


def parse_traceparent(header: str) -> Parent | None:
    """Read a W3C traceparent; anything malformed is no parent.

    >>> parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").span_id
    '00f067aa0ba902b7'
    """
    # the length first: a header may be as long as the server allows, with gunicorn 8,190 bytes
    found = _TRACEPARENT.fullmatch(header) if len(header) <= MAX_TRACEPARENT else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN or version == "ff":
        return None
    # W3C: a later version may add fields after the flags; version 00 has none
    if more is not None and version == "00":
        return None
    return Parent(trace_id, span_id, int(flags, 16) & (SAMPLED | RANDOM))


def accept_or_generate(header: str | None, fresh: str) -> str:
    """The caller's request ID when it is safe to repeat, else *fresh*.

    Two headers reach WSGI joined with a comma, which no safe ID has, so they are replaced too.
    """
    if header is not None and matches_request_id(header) is not None:
        return header
    return fresh


def valid_trace_state(header: str) -> str:
    """A tracestate as the API would give it on; empty when it breaks the rules of W3C.

    Its own parser would have to be imported while a request waits.
    """
    members = [member for part in header.split(",") if (member := part.strip(" \t"))]
    found = [_TRACE_STATE_MEMBER.fullmatch(member) for member in members]
    keys = {match.group(1) for match in found if match is not None}
    # a member that is none, or a key that came twice
    if len(keys) != len(members) or len(members) > MAX_MEMBERS:
        return ""
    return ",".join(members)


def parent_of(context: Context) -> Parent | None:
    """The span that is current in *context*, as a parent."""
    span: Any = context.get(trace_context.span_key)
    if span is None:
        return None
    found = span.get_span_context()
    if not found.is_valid:
        return None
    state = found.trace_state.to_header() if found.trace_state else ""
    return Parent(
        f"{found.trace_id:032x}", f"{found.span_id:016x}",
        int(found.trace_flags), state, found.is_remote,
    )  # fmt: skip


def span_context(parent: Parent) -> trace.SpanContext:
    """*parent* as the API knows it."""
    from opentelemetry import trace

    state = trace.TraceState.from_header([parent.trace_state]) if parent.trace_state else None
    return trace.SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), parent.remote,
        trace.TraceFlags(parent.flags), state,
    )  # fmt: skip


def context_of(parent: Parent, base: Context | None = None) -> Context:
    """A context in which *parent* is the current span."""
    from opentelemetry import trace

    span = trace.NonRecordingSpan(span_context(parent))
    return trace.set_span_in_context(span, Context() if base is None else base)
