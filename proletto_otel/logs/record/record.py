"""One log record: clean texts, rendered at most once per format.

Its text is made in `logs.format.text`, its JSON in `logs.format.json`, its OTLP bytes in
`logs.sinks.otlp`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from proletto_otel.core.exceptions import ExceptionFacts
from proletto_otel.logs.record.call_site import CallSite, CodeLocation, this_process


class Renderer(Protocol):
    """Makes the lines of a record; `logs.format.text.Renderer` is the one."""

    is_default: bool
    """Whether `LOG_FORMAT` is the default one."""

    def json(self, record: Record) -> bytes: ...

    def text_line(self, record: Record) -> bytes: ...


class Record:
    """What happened, which logger says so, and in which request.

    Every text in it is already sanitised and redacted; sinks hand it on as it is.
    """

    __slots__ = (
        "_json", "_text_line", "call_site", "fields", "flags", "message", "request_id", "span_id",
        "thread_id", "time_ns", "trace_id",
    )  # fmt: skip

    renderer: ClassVar[Renderer]
    facts_in_line: ClassVar[bool] = True
    """Whether text lines show the facts after the message."""
    otlp: ClassVar[Any] = b""
    """The record as OTLP bytes where its kind knows them; else `logs.sinks.otlp` makes them."""

    # Class attributes, and slots in `ErrorRecord` only: building an ordinary record sets nothing
    # that it does not have.
    exception: ExceptionFacts | None = None
    fingerprint: str = ""
    """16 hex digits on errors, else empty."""
    breadcrumbs: tuple[Record, ...] = ()
    """On errors: the log events of the same request before this one, oldest first."""

    def __init__(
        self,
        time_ns: int,
        call_site: CallSite,
        message: str,
        fields: dict[str, Any],
        thread_id: int = 0,
        request_id: str = "",
        trace_id: str = "",
        span_id: str = "",
        flags: int = 0,
    ) -> None:
        self.time_ns = time_ns
        """Unix time."""
        self.call_site = call_site
        self.message = message
        """The event, without the facts."""
        self.fields = fields
        """The caller's facts: plain JSON types, never a reserved name."""
        self.thread_id = thread_id
        self.request_id = request_id
        self.trace_id = trace_id
        """32 hex digits or empty."""
        self.span_id = span_id
        """16 hex digits or empty."""
        self.flags = flags
        """1 when the trace is sampled."""
        self._json: bytes | None = None
        self._text_line: bytes | None = None

    @property
    def level(self) -> int:
        """Number of the level."""
        return self.call_site.level

    @property
    def level_name(self) -> str:
        """Name of the level."""
        return self.call_site.level_name

    @property
    def logger(self) -> str:
        """Name of the logger."""
        return self.call_site.logger

    @property
    def code(self) -> CodeLocation:
        """The calling function."""
        return self.call_site.code

    @property
    def line(self) -> int:
        """Line of the call; 0 where it is not known."""
        return self.call_site.line

    @property
    def module(self) -> str:
        """Name of the calling file, without directory and ending."""
        return self.call_site.code.module

    @property
    def function(self) -> str:
        """Name of the calling function."""
        return self.call_site.code.function

    @property
    def environment(self) -> str:
        """Of the application."""
        return this_process.environment

    @property
    def process_id(self) -> int:
        """The process: a record never leaves the one that made it."""
        return this_process.id

    @property
    def json(self) -> bytes:
        """The record as one line of JSON with its newline."""
        # Rendered by the first sink that asks; the others get the same bytes.
        line = self._json
        if line is None:
            line = self._json = self.renderer.json(self)
        return line

    @property
    def text_line(self) -> bytes:
        """The record by `LOG_FORMAT` with its newline, traceback below; UTF-8."""
        line = self._text_line
        if line is None:
            line = self._text_line = self.renderer.text_line(self)
        return line

    def forget_lines(self) -> None:
        """Render anew when asked (the format or the environment became known)."""
        self._json = self._text_line = None

    @property
    def text(self) -> str:
        """`text_line` as text without the newline at its end."""
        return self.text_line.decode()[:-1]


class ErrorRecord(Record):
    """A record with an exception, or of level ERROR and above: only these have error fields."""

    __slots__ = ("breadcrumbs", "exception", "fingerprint")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.exception = None
        self.fingerprint = ""
        self.breadcrumbs = ()
