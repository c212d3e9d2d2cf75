"""One log record on its way to the sinks: clean, and rendered at most once per format.

How it looks as text and JSON lives in `logs.rendering`, as OTLP bytes in `logs.sinks.otlp`.
"""

from __future__ import annotations

import logging
from types import CodeType
from typing import Any, ClassVar, Protocol

from proletto_otel.core.exceptions import ExceptionFacts
from proletto_otel.export.encode import log_attributes


class Renderer(Protocol):
    """Makes the lines of a record; `logs.rendering.Renderer` is the one."""

    plain: bool
    """Whether `LOG_FORMAT` is the default one."""

    def json(self, record: Record) -> bytes: ...

    def text_line(self, record: Record) -> bytes: ...


class Record:
    """What happened, who says so, and whose request it was.

    Every text in it is already sanitised and redacted; sinks hand it on as it is.
    """

    __slots__ = (
        "_json", "_text_line", "breadcrumbs", "code", "environment", "exception", "fields",
        "fingerprint", "flags", "function", "level", "level_name", "line", "logger", "message",
        "module", "process_id", "request_id", "span_id", "thread_id", "time_ns", "trace_id",
    )  # fmt: skip

    renderer: ClassVar[Renderer]
    facts_in_line: ClassVar[bool] = True
    """Whether text lines show the facts behind the message."""
    otlp: ClassVar[Any] = b""
    """The record as OTLP bytes where its kind knows them; else `logs.sinks.otlp` makes them."""

    def __init__(
        self,
        time_ns: int,
        level: int,
        logger: str,
        message: str,
        fields: dict[str, Any],
    ) -> None:
        self.time_ns = time_ns
        """Unix time."""
        self.level = level
        self.level_name = LEVEL_NAMES.get(level) or logging.getLevelName(level)
        self.logger = logger
        self.message = message
        """The event, without the facts."""
        self.fields = fields
        """The caller's facts: plain JSON types, never a reserved name."""
        self.module = ""
        self.function = ""
        self.line = 0
        self.code: Code = NOWHERE
        """Where the call stands in the source."""
        self.process_id = 0
        self.thread_id = 0
        self.environment = ""
        self.exception: ExceptionFacts | None = None
        self.fingerprint = ""
        """16 hex digits on errors, else empty."""
        self.request_id = ""
        self.trace_id = ""
        """32 hex digits or empty."""
        self.span_id = ""
        """16 hex digits or empty."""
        self.flags = 0
        """1 when the trace is sampled."""
        self.breadcrumbs: tuple[Record, ...] = ()
        """On errors: the log events of the same request before this one, oldest first."""
        self._json: bytes | None = None
        self._text_line: bytes | None = None

    @property
    def json(self) -> bytes:
        """The record as one line of JSON with its newline."""
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

    def otlp_fields(self) -> bytes:
        """The facts as OTLP attributes."""
        return log_attributes(self.fields)

    def forget_lines(self) -> None:
        """Render anew when asked (the format or the environment became known)."""
        self._json = self._text_line = None

    @property
    def text(self) -> str:
        """`text_line` as text without the newline at its end."""
        return self.text_line.decode()[:-1]


class Code:
    """A function in the source, resolved once per code object."""

    __slots__ = ("function", "module", "path", "qualified")

    def __init__(self, path: str, function: str, qualified: str) -> None:
        self.path = path
        self.module = path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or path
        self.function = function
        self.qualified = qualified

    @classmethod
    def of(cls, code: CodeType) -> Code:
        """The place of *code*; dozens of ns when it was seen before."""
        found = _codes.get(code)
        if found is None:
            if len(_codes) > MAX_CODES:
                _codes.clear()
            qualified = getattr(code, "co_qualname", code.co_name)  # since Python 3.11
            found = _codes[code] = cls.named(code.co_filename, code.co_name, qualified)
        return found

    @classmethod
    def named(cls, path: str, function: str, qualified: str = "") -> Code:
        """A place known by its names only."""
        return cls(*(ascii_if_odd(name) for name in (path, function, qualified or function)))


def ascii_if_odd(name: str) -> str:
    """*name*, its odd characters escaped: code made at run time can be called anything."""
    return name if name.isprintable() else name.encode("ascii", "backslashreplace").decode()


MAX_CODES = 10_000
"""Functions that are remembered; programs that make code at run time stay bounded."""
_codes: dict[CodeType, Code] = {}
NOWHERE = Code("", "", "")
LEVEL_NAMES = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
