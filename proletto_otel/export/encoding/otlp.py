"""Spans and log records as OTLP protobuf, without the protobuf library.

A caller encodes attributes once (`span_attribute`, `span_constant`, `log_attribute` …), keeps what
repeats, and joins the fragments. Metrics live in `export.encoding.metrics`, the request around the
items in `export.encoding.envelope`, fragments in `export.encoding.protobuf`. Field numbers: https://github.com/open-telemetry/opentelemetry-proto
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from proletto_otel.core.conventions import REQUEST_ID
from proletto_otel.export.encoding.envelope import request as request
from proletto_otel.export.encoding.envelope import scope as scope
from proletto_otel.export.encoding.metrics import metrics as metrics
from proletto_otel.export.encoding.protobuf import (
    Attribute,
    attribute,
    attribute_and_all,
    constant,
    field,
    of_name,
    text,
    varint,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

REMOTE_KNOWN = 0x100
"""Span flag: it is known whether the parent is in another process."""
REMOTE_PARENT = 0x200
"""Span flag: it is."""

resource_attribute: Attribute = attribute(b"\x0a")
span_attribute: Attribute = attribute(b"\x4a")
log_attribute, log_attributes = attribute_and_all(b"\x32")
span_constant: Attribute = constant(span_attribute)
log_constant: Attribute = constant(log_attribute)
event_attribute: Attribute = attribute(b"\x1a")
span_request_id = of_name(span_attribute, REQUEST_ID)
log_request_id = of_name(log_attribute, REQUEST_ID)
_link_attribute = attribute(b"\x22")

# Times, their tags and the flags in one call of C. "<" packs without gaps between the fields.
_span_times = struct.Struct("<QBQBBI").pack
_log_start = struct.Struct("<BQBQBI").pack
# Body is field 5 ("*"): an AnyValue with the text as field 1; both lengths are one byte below 126.
_BODIES = tuple(b"*%c\x0a%c" % (size + 2, size) for size in range(120))
"""What comes before a body of so many bytes."""
_uint64 = struct.Struct("<Q").pack
_uint32 = struct.Struct("<I").pack


def attributes(values: Mapping[str, Any] | None, encode: Attribute) -> bytes:
    """Every attribute of a mapping, through one of the encoders of this module."""
    return b"".join([encode(k, v) for k, v in values.items()]) if values else b""


@lru_cache(4096)
def _name(name: str) -> bytes:
    return field(b"\x2a", text(name))


def span(
    *,
    trace_id: bytes,
    span_id: bytes,
    name: str,
    kind: int,
    start_ns: int,
    end_ns: int,
    attributes: bytes,
    parent_id: bytes = b"",
    events: bytes = b"",
    status_code: int = 0,
    status_message: str = "",
    flags: int = REMOTE_KNOWN,
    trace_state: str = "",
) -> bytes:
    """A finished span.

    Args:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        name: Method and route; few different ones, so their bytes are cached.
        kind: OTLP number: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
        start_ns: Unix time in nanoseconds.
        end_ns: The same.
        attributes: Joined fragments of `span_attribute` and `span_constant`.
        parent_id: 8 bytes; empty for a root.
        events: Joined fragments of `event` and `link`.
        status_code: 0 unset, 1 ok, 2 error.
        status_message: Why it failed.
        flags: `REMOTE_KNOWN` plus `REMOTE_PARENT` for a parent in another process.
        trace_state: The W3C header's text.
    """
    rest = events
    if parent_id:
        rest += b'"\x08' + parent_id
    if status_code or status_message:
        status = field(b"\x12", text(status_message)) if status_message else b""
        rest += field(b"\x7a", status + b"\x18" + varint(status_code))
    if trace_state:
        rest += field(b"\x1a", text(trace_state))
    # Span: 1 trace ID, 2 span ID, 6 kind, then `_span_times`: 7 start, 8 end (0x41), 16 flags (0x85
    # 1, fixed32); 5 name. One format of fixed parts: 3.8 µs a span, 39.5 with the stock encoder.
    times = _span_times(start_ns, 0x41, end_ns, 0x85, 1, flags)
    return b"\x0a\x10%b\x12\x08%b0%c9%b%b%b%b" % (
        trace_id, span_id, kind, times, _name(name), attributes, rest,
    )  # fmt: skip


def event(name: str, time_ns: int, attributes: bytes, dropped: int = 0) -> bytes:
    """An event, ready for the `events` of `span`; *attributes* are joined `event_attribute`s."""
    content = b"\x09" + _uint64(time_ns) + field(b"\x12", text(name)) + attributes
    return field(b"\x5a", content + _count(b"\x20", dropped))


def link(context: SpanContext, values: Mapping[str, Any] | None, dropped: int = 0) -> bytes:
    """A link to another span, ready for the `events` of `span`."""
    ids = b"\x0a\x10%b\x12\x08%b" % _ids(context)
    content = ids + _state(b"\x1a", context) + attributes(values, _link_attribute)
    content += _count(b"\x28", dropped) + b"\x35" + _uint32(parent_flags(context))
    return field(b"\x6a", content)


def parent_flags(parent: SpanContext | None) -> int:
    """The flags of a span with this parent."""
    return REMOTE_KNOWN | REMOTE_PARENT if parent and parent.is_remote else REMOTE_KNOWN


def sdk_span(finished: ReadableSpan) -> bytes:
    """A span of the OpenTelemetry SDK, with all it carries."""
    context, parent, status = finished.context, finished.parent, finished.status
    if context is None:
        raise ValueError("span without a context")
    trace_id, span_id = _ids(context)
    return span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent.span_id.to_bytes(8, "big") if parent else b"",
        name=finished.name,
        kind=finished.kind.value + 1,  # the SDK counts from 0, OTLP keeps 0 for "unspecified"
        start_ns=finished.start_time or 0,
        end_ns=finished.end_time or 0,
        attributes=attributes(finished.attributes, span_attribute),
        events=_events(finished) + _state(b"\x1a", context),
        status_code=status.status_code.value,
        status_message=status.description or "",
        flags=parent_flags(parent),
    )


def _events(finished: ReadableSpan) -> bytes:
    parts = [
        event(
            e.name,
            e.timestamp,
            attributes(e.attributes, event_attribute),
            getattr(e, "dropped_attributes", 0),
        )
        for e in finished.events
    ]
    for x in finished.links:
        parts.append(link(x.context, x.attributes, getattr(x, "dropped_attributes", 0)))
    parts.append(_count(b"\x50", finished.dropped_attributes))
    parts.append(_count(b"\x60", finished.dropped_events))
    parts.append(_count(b"\x70", finished.dropped_links))
    return b"".join(parts)


def _ids(context: SpanContext) -> tuple[bytes, bytes]:
    return context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")


def _state(tag: bytes, context: SpanContext) -> bytes:
    state = context.trace_state
    if not state:
        return b""
    return field(tag, text(",".join(f"{k}={v}" for k, v in state.items())))


def _count(tag: bytes, n: int) -> bytes:
    return tag + varint(n) if n else b""


@lru_cache(256)
def severity(number: int, name: str) -> bytes:
    """A log record's severity: OTLP's number, and the level as it was named in the source."""
    return b"\x10" + varint(number) + field(b"\x1a", text(name))


def log_record(
    *,
    time_ns: int,
    severity_number: int,
    severity_text: str,
    body: str,
    attributes: bytes,
    trace_id: bytes = b"",
    span_id: bytes = b"",
    flags: int = 0,
    event_name: str = "",
) -> bytes:
    """A log record.

    Args:
        time_ns: Unix time in nanoseconds.
        severity_number: OTLP number: 5 debug, 9 info, 13 warn, 17 error, 21 fatal.
        severity_text: The level as it was named in the source.
        body: The event's text.
        attributes: Joined fragments of `log_attribute` and `log_constant`.
        trace_id: 16 bytes, or empty.
        span_id: 8 bytes, or empty.
        flags: W3C trace flags: 1 if sampled.
        event_name: Set for events of a fixed schema.
    """
    ids = b"J\x10%bR\x08%b" % (trace_id, span_id) if trace_id and span_id else b""
    if event_name:
        ids += field(b"\x62", text(event_name))
    level = severity(severity_number, severity_text)
    return b"".join((log_start(time_ns, flags), level, log_body(body), attributes, ids))


# Protobuf allows fields in any order, so a log record may be joined of ready parts: those below,
# `severity` and `log_attribute`. What repeats from record to record is encoded once.
def log_start(time_ns: int, flags: int) -> bytes:
    """The times and flags of a log record, as in `log_record`."""
    # 1 time, 11 when it was observed (the same), 8 flags.
    return _log_start(0x09, time_ns, 0x59, time_ns, 0x45, flags)


def log_body(body: str) -> bytes:
    """The text of a log record."""
    size = len(body)
    if size < len(_BODIES) and body.isascii():
        return _BODIES[size] + body.encode()
    return field(b"*", field(b"\x0a", text(body)))


def log_owner(request_id: str, raw_ids: bytes) -> bytes:
    """A log record's request ID, and the trace and span it belongs to: 16 and 8 bytes, or none."""
    request = log_request_id(request_id) if request_id else b""
    if len(raw_ids) != 24:
        return request
    return b"%bJ\x10%bR\x08%b" % (request, raw_ids[:16], raw_ids[16:])
