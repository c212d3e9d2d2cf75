"""What travels between services: traceparent in, X-Request-ID in and out, and to which hosts.

A propagator does not see where a call goes. The client instrumentations (requests, httpx, urllib3,
aiohttp …) inject while their client span is current, and that span carries the address, so
`RequestIdPropagator` reads the host there. Where no such span is to be seen (the trace is sampled
out, a client without instrumentation) `outgoing_headers(url)` does it by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.propagators import textmap
from opentelemetry.propagators.textmap import CarrierT, Getter, Setter

from proletto_otel.core import context as contexts
from proletto_otel.core import trace_context
from proletto_otel.core.conventions import REQUEST_ID_HEADER, SERVER_ADDRESS
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


class WsgiGetter(Getter[Mapping[str, Any]]):
    """Reads headers from a WSGI environ."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        """The header's value, if it came."""
        value = carrier.get("HTTP_" + key.upper().replace("-", "_"))
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        """The names of the headers that came."""
        return [k[5:].lower().replace("_", "-") for k in carrier if k.startswith("HTTP_")]


wsgi_getter = WsgiGetter()


def host_matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Build the allow-list test: exact names, `*.example.com`, or `*` for every host."""
    if "*" in patterns:
        return lambda host: True
    joined = "|".join(re.escape(p.strip().lower()).replace(r"\*", ".*") for p in patterns)
    matches = re.compile(joined).fullmatch
    return lambda host: bool(patterns) and matches(host.lower()) is not None


class RequestIdPropagator(textmap.TextMapPropagator):
    """Carries X-Request-ID beside the trace context, never in baggage, which everyone forwards."""

    def __init__(self, hosts: tuple[str, ...] = ("*",)) -> None:
        self.everywhere = "*" in hosts
        self.allows = host_matcher(hosts)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = textmap.default_getter,
    ) -> Context:
        """Put a safe inbound ID into *context*, for consumers that are no Flask request."""
        base = context if context is not None else context_api.get_current()
        values = getter.get(carrier, REQUEST_ID_HEADER) or getter.get(carrier, _LOWER)
        if not values or len(values) != 1 or matches_request_id(values[0]) is None:
            return base
        return context_api.set_value(_KEY, values[0], base)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = textmap.default_setter,
    ) -> None:
        """Add the current request's ID when the call goes to an allowed host."""
        # the request's own first; the context's is that of a message that a consumer works on
        request_id = contexts.request_id() or context_api.get_value(_KEY, context)
        if request_id and (self.everywhere or self.allows(_host_of_client_span(context))):
            setter.set(carrier, REQUEST_ID_HEADER, str(request_id))

    @property
    def fields(self) -> set[str]:
        """The header this propagator writes."""
        return {REQUEST_ID_HEADER}


_KEY = context_api.create_key("proletto-request-id")
_LOWER = REQUEST_ID_HEADER.lower()


def _host_of_client_span(context: Context | None) -> str:
    """Where the current client span goes; empty when it does not say (then nothing is sent)."""
    found = context_api.get_value(trace_context.span_key, context)
    attributes = getattr(found, "attributes", None) or {}
    # The stable and the old names, as `OTEL_SEMCONV_STABILITY_OPT_IN` of the instrumentation says
    for key in (SERVER_ADDRESS, "net.peer.name"):
        if attributes.get(key):
            return str(attributes[key])
    for key in ("url.full", "http.url"):
        if attributes.get(key):
            return urlsplit(str(attributes[key])).hostname or ""
    return ""


def outgoing_headers(url: str, propagator: RequestIdPropagator) -> dict[str, str]:
    """The headers a call to *url* should carry: trace context, and the request ID if allowed.

    Args:
        url: where the call goes; its host is checked against `PROLETTO_PROPAGATE_HOSTS`.
        propagator: the one of the process (see `telemetry.outgoing_headers`).
    """
    from opentelemetry import propagate  # as a rule, somebody was faster: `request.propagators`

    headers: dict[str, str] = {}
    propagate.inject(headers)
    request_id = contexts.request_id()
    if request_id and propagator.allows(urlsplit(url).hostname or ""):
        headers[REQUEST_ID_HEADER] = request_id
    else:
        headers.pop(REQUEST_ID_HEADER, None)
    return headers
