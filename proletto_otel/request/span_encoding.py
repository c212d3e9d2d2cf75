"""What a span is made of: limits, events, clean attributes, and the fields that we write ourselves.

Field numbers: https://github.com/open-telemetry/opentelemetry-proto, `trace.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from proletto_otel.core.conventions import (
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
)
from proletto_otel.core.exceptions import ExceptionFacts
from proletto_otel.core.record import record
from proletto_otel.core.redaction import sanitise
from proletto_otel.export.encoding import otlp
from proletto_otel.export.encoding.protobuf import field, text

LOST_ATTRIBUTES, LOST_EVENTS, LOST_LINKS = b"\x50", b"\x60", b"\x70"
"""Tags of OTLP's `dropped_*_count` fields."""


# Fields of OTLP's Span: 16 flags (fixed32), 4 parent; 7 and 8 start and end (fixed64).
ROOT = b"\x85\x01" + struct.pack("<I", otlp.REMOTE_KNOWN)
REMOTE = b"\x85\x01" + struct.pack("<I", otlp.REMOTE_KNOWN | otlp.REMOTE_PARENT) + b'"\x08'
# Four fields with their tags in one call of `pack`, not a call and a piece of bytes for each.
_identity = struct.Struct("<2s16s2s8sBQBQ").pack


def identity(raw_ids: bytes, start_ns: int, end_ns: int) -> bytes:
    """IDs (16 and 8 bytes) and times of a span."""
    trace_id, span_id = raw_ids[:16], raw_ids[16:]
    return _identity(b"\x0a\x10", trace_id, b"\x12\x08", span_id, 0x39, start_ns, 0x41, end_ns)


def heading(name: str) -> bytes:
    """Name and kind of a server span: the same for all requests of a route."""
    return field(b"\x2a", text(name)) + b"\x30\x02"


@record(frozen=True, slots=True)
class Limits:
    """How much one span may hold; the SDK's defaults, but with a length."""

    attributes: int = 128
    length: int = 32_768
    """Characters of a text value."""
    events: int = 128
    links: int = 128


@record(frozen=True, slots=True)
class Event:
    """Something that happened within the span."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]
    exception: ExceptionFacts | None = None
    """What it tells of beside its attributes; clean already."""

    def encoded_attributes(self, longest: int) -> bytes:
        """Its attributes as OTLP, clean, of *longest* characters a text at most."""
        facts, own = self.exception, self.attributes
        if facts is None:
            return _event_attributes(cut_attributes(own, longest))
        # Encoded once per error and cached with it; errors of one place share the traceback's text
        if not own:
            return facts.form(
                f"span event of {longest}",
                lambda facts: _event_attributes(_exception(facts, longest)),
            )
        return _event_attributes(_exception(facts, longest) | cut_attributes(own, longest))


def _event_attributes(values: Mapping[str, Any]) -> bytes:
    return otlp.attributes(values, otlp.event_attribute)


def _exception(facts: ExceptionFacts, longest: int) -> dict[str, Any]:
    """The attributes of an exception's event; the end of a traceback says most."""
    return {
        EXCEPTION_TYPE: facts.type[:longest],
        EXCEPTION_MESSAGE: facts.message[:longest],
        EXCEPTION_STACKTRACE: facts.traceback[-longest:],
    }


def clean_text(text: str) -> str:
    """*text* redacted and printable; the last few are remembered, for errors tend to repeat."""
    return _cleaned(sanitise.get(), text)


@lru_cache(32)
def _cleaned(sanitiser: sanitise.Sanitiser, text: str) -> str:
    return sanitiser.text(text)


def cut_attributes(attributes: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """As `clean_attributes`, texts cut to *longest* characters."""
    clean = clean_attributes(attributes)
    return {k: v[:longest] if isinstance(v, str) else v for k, v in clean.items()}


def clean_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes redacted and printable, however many; without those that have no value."""
    clean = sanitise.get()
    fields = clean.fields(attributes)
    if len(attributes) > clean.max_keys:  # that limit is for one value, ours is the span's
        fields = {}
        for name, value in attributes.items():
            fields.update(clean.fields({name: value}))
    return {name: value for name, value in fields.items() if value is not None}
