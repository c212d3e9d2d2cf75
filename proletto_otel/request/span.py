"""The request's span: an OpenTelemetry span to everyone around it, a few slots to us.

It costs a sixth of the SDK's span, because it validates and encodes once, at the end. Which
request gets one is decided in `request.span_start`; its bytes come from `export.encoding.otlp`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from proletto_otel.core import exceptions
from proletto_otel.core.redaction import sanitise
from proletto_otel.core.trace_context import is_a_span
from proletto_otel.export.encoding import otlp
from proletto_otel.export.encoding.protobuf import varint
from proletto_otel.request.propagation import SAMPLED, Parent
from proletto_otel.request.span_encoding import (
    LOST_ATTRIBUTES,
    LOST_EVENTS,
    LOST_LINKS,
    REMOTE,
    ROOT,
    Event,
    cut_attributes,
    identity,
)
from proletto_otel.request.span_encoding import (
    Limits as Limits,
)

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
    from opentelemetry.util import types

UNSET, OK, ERROR = 0, 1, 2
"""Values of the API's `StatusCode`."""


@is_a_span
class RequestSpan:
    """A server span. Attributes are cleaned and encoded when it ends.

    No subclass of the API's `Span`, and no member of its enumerations: most programs never ask for
    those, and need not import them.
    """

    # No `__slots__`: what most spans never change is an attribute of the class, so that a request
    # sets only what is its own.
    end_ns = 0
    extra: dict[str, Any] | None = None
    """Attributes set by the application or the sampler."""
    events: list[Event] | None = None
    links: list[tuple[SpanContext, Mapping[str, Any]]] | None = None
    changed = False
    """Whether it is more than the usual server span without anything from the application."""
    dropped: dict[bytes, int] | None = None
    internal = False
    """Whether another span within the process is the server's."""
    renamed = False
    recorded: BaseException | None = None
    """The last exception that became an event, so that it becomes one once."""
    trace_state = ""
    _context: SpanContext | None = None
    _status = UNSET
    _status_message = ""

    def __init__(
        self, name: str, trace_id: str, span_id: str, flags: int, parent: Parent | None,
        start_ns: int, recording: bool, limits: Limits, internal: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.parent = parent
        self.start_ns = start_ns
        self.recording = recording
        """Whether anything set on it is kept; false after the end."""
        self.limits = limits
        if internal:
            self.internal = self.changed = True
        if parent is not None and parent.trace_state:
            self.trace_state, self.changed = parent.trace_state, True

    # --- what the API asks for ----------------------------------------------------------------

    def get_span_context(self) -> SpanContext:
        """The span's identity, built when somebody first asks."""
        # Most requests have no child spans: then nobody asks, and no number is made of the texts.
        if self._context is None:
            from opentelemetry.trace import SpanContext, TraceFlags, TraceState

            state = TraceState.from_header([self.trace_state]) if self.trace_state else None
            self._context = SpanContext(
                int(self.trace_id, 16), int(self.span_id, 16), False, TraceFlags(self.flags), state
            )
        return self._context

    @property
    def kind(self) -> SpanKind:
        """Server, or internal when the server's span is another one of this process."""
        return span_kind(self.internal)

    def is_recording(self) -> bool:
        """Whether attributes and events are kept."""
        return self.recording

    def set_attribute(self, key: str, value: types.AnyValue) -> None:
        """Set one attribute; past the limit new keys are left out."""
        if not self.recording:
            return
        if self.extra is None:
            self.extra = {}
            self.changed = True
        # A copy of a list, which the application may change later; anything else is taken as it is
        # and checked once, when the span is encoded.
        if key in self.extra or len(self.extra) < self.limits.attributes:
            self.extra[key] = list(value) if isinstance(value, (list, tuple)) else value
        else:
            self._lost(LOST_ATTRIBUTES)

    def set_attributes(self, attributes: Mapping[str, types.AnyValue]) -> None:
        """Set several attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What was set on the span; the request's own attributes join when it ends."""
        return dict(self.extra or {})

    def add_event(
        self, name: str, attributes: types.Attributes = None, timestamp: int | None = None
    ) -> None:
        """Add an event; past the limit the oldest goes."""
        if self.recording:
            self._add(name, dict(attributes or {}), timestamp)

    def _add(
        self,
        name: str,
        attributes: Mapping[str, Any],
        timestamp: int | None,
        exception: exceptions.ExceptionFacts | None = None,
    ) -> None:
        if self.events is None:
            self.events = []
            self.changed = True
        elif len(self.events) >= self.limits.events:
            del self.events[0]  # as the SDK: what happened last explains most
            self._lost(LOST_EVENTS)
        at = timestamp or time.time_ns()
        self.events.append(Event(name, at, attributes, exception))

    def add_link(self, context: SpanContext, attributes: types.Attributes = None) -> None:
        """Link another span; past the limit further links are left out."""
        if not self.recording or not context.is_valid:
            return
        if self.links is None:
            self.links = []
            self.changed = True
        if len(self.links) < self.limits.links:
            self.links.append((context, dict(attributes or {})))
        else:
            self._lost(LOST_LINKS)

    def update_name(self, name: str) -> None:
        """Name the span; the route no longer does."""
        if self.recording:
            self.name = name
            self.renamed = self.changed = True

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status by the API's rules: OK is final, UNSET changes nothing."""
        from opentelemetry.trace import Status, StatusCode  # by whoever has one, already imported

        if isinstance(status, Status):
            description = status.description
        told = status.status_code if isinstance(status, Status) else status
        code = told.value if isinstance(told, StatusCode) else UNSET
        if not self.recording or code == UNSET or self._status == OK:
            return
        self._status = code
        self.changed = True
        self._status_message = description if description and code == ERROR else ""

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add the exception as an event, once however often it is reported."""
        if not self.recording or exception is self.recorded:
            return
        self.recorded = exception
        self._add("exception", dict(attributes or {}), timestamp, exceptions.describe(exception))

    def end(self, end_time: int | None = None) -> None:
        """End early; the span is sent when the request is over all the same."""
        if self.recording:
            self.end_ns = end_time or time.time_ns()
            self.changed = True
            self.recording = False

    def __enter__(self) -> RequestSpan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:  # fmt: skip
        self.end()

    # --- what the middleware asks for ---------------------------------------------------------

    @property
    def sampled(self) -> bool:
        """Whether the span is kept."""
        return bool(self.flags & SAMPLED)

    @property
    def has_error(self) -> bool:
        """Whether the application put an error on it."""
        return self.recorded is not None or self._status == ERROR

    def encoded(
        self, name: str, facts: bytes, end_ns: int, failed: bool = False, message: str = ""
    ) -> bytes:
        """Stop recording and give the span as OTLP.

        Args:
            name: used unless the application renamed the span.
            facts: the request's own attributes, encoded.
            end_ns: unix time; an earlier end set by the application holds.
            failed: whether the status is an error, unless the application set one.
            message: why it failed.
        """
        self.recording = False
        parent = self.parent
        rest, status = b"", 2 if failed else 0
        if self.changed:
            extra = cut_attributes(self.extra or {}, self.limits.length)
            facts += otlp.attributes(extra, otlp.span_attribute)
            rest = self._attachments()
            if self._status != UNSET:
                status, message = self._status, self._clean(self._status_message)
        return otlp.span(
            trace_id=bytes.fromhex(self.trace_id),
            span_id=bytes.fromhex(self.span_id),
            name=self._clean(self.name) if self.renamed else name,
            kind=1 if self.internal else 2,  # OTLP's server and internal
            start_ns=self.start_ns,
            end_ns=self.end_ns or end_ns,
            attributes=facts,
            parent_id=bytes.fromhex(parent.span_id) if parent is not None else b"",
            events=rest,
            status_code=status,
            status_message=message if status == 2 else "",
            flags=otlp.REMOTE_KNOWN | (otlp.REMOTE_PARENT if parent and parent.remote else 0),
            trace_state=self.trace_state,
        )

    def untouched_bytes(self, raw_ids: bytes, facts: Iterable[bytes]) -> bytes:
        """What `encoded` gives for a span that ended, did not fail and was not `changed`, in a
        third of the time; most are like that.

        Args:
            raw_ids: the span's trace and own ID, 16 and 8 bytes.
            facts: fragments of name and kind (`span_encoding.heading`) and of the attributes.
        """
        parent = self.parent
        # Everything but IDs and times was encoded with the route, the connection or the parent
        origin = ROOT if parent is None else REMOTE + bytes.fromhex(parent.span_id)
        return b"".join((identity(raw_ids, self.start_ns, self.end_ns), origin, *facts))

    def _lost(self, what: bytes) -> None:
        if self.dropped is None:
            self.dropped = {}
        self.dropped[what] = self.dropped.get(what, 0) + 1

    def _attachments(self) -> bytes:
        """Events, links and lost counts: repeated fields of the span, in any order."""
        longest = self.limits.length
        made = [
            otlp.event(self._clean(e.name), e.time_ns, e.encoded_attributes(longest))
            for e in self.events or ()
        ]
        made += [otlp.link(c, cut_attributes(a, longest)) for c, a in self.links or ()]
        # how many the limits left out, for the backend to show
        made += [tag + varint(n) for tag, n in (self.dropped or {}).items()]
        return b"".join(made)

    def _clean(self, text: str) -> str:
        return sanitise.get().text(text) if text else text


def span_kind(internal: bool) -> SpanKind:
    """The API's word for it."""
    from opentelemetry.trace import SpanKind

    return SpanKind.INTERNAL if internal else SpanKind.SERVER
