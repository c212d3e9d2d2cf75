"""A record as text: one line by `LOG_FORMAT`.

`LOG_FORMAT` is %-style over the names of the standard library's `LogRecord`; it is compiled once.
The coloured short form for terminals lives in `logs.sinks.console`, JSON in `logs.format.json`.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from proletto_otel.core.conventions import ENVIRONMENT, REQUEST_ID, SPAN_ID, TRACE_ID
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.logs.format.json import json_line, quoted
from proletto_otel.logs.record.call_site import CallSite, ascii_if_odd
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.record.timestamp import local

DEFAULT_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
_FIELD = lazy_pattern(r"%(?:\((\w+)\)([#0\- +]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa])|(%))")
_BARE = lazy_pattern(r"[^\s\"'=]+")


class Renderer:
    """Renders records for one `LOG_FORMAT`.

    Raises:
        ValueError: the format has an unknown name or cannot be applied.
    """

    def __init__(self, log_format: str = DEFAULT_FORMAT) -> None:
        self._template, names = _compile(log_format)
        self._getters = tuple(_NAMES[name] for name in names)
        self._shows_id = REQUEST_ID in names
        self.is_default = log_format == DEFAULT_FORMAT
        """Then a line is put together from ready parts: 4 us instead of 10 us by the template."""
        # once now, so that a conversion that does not fit (`%(message)d`) is found at set-up
        self._template % tuple(get(_EXAMPLE, "") for get in self._getters)

    def text_line(self, record: Record) -> bytes:
        """The text line, facts after the message, traceback below, newline at the end."""
        message = record.message
        facts = facts_text(record) if record.facts_in_line and record.fields else ""
        request_id = record.request_id
        if request_id and not self._shows_id:
            facts += f" {REQUEST_ID}={request_id}"
        if self.is_default:
            # the clock's text of this millisecond, without a call where it is still the same
            known, when = local.latest
            if known != record.time_ns // 1_000_000:
                when = local(record.time_ns)
            text = f"{when}{record.call_site.text}{message}{facts}\n"
        else:
            message += facts
            text = self._template % tuple([get(record, message) for get in self._getters]) + "\n"
        # a lone surrogate, from a file name for example, cannot be UTF-8: written as an escape
        line = text.encode() if text.isascii() else text.encode("utf-8", "backslashreplace")
        if record.exception is not None:
            line += record.exception.form(
                "text", lambda facts: below(facts.traceback).encode("utf-8", "backslashreplace")
            )
        return line

    json = staticmethod(json_line)


def below(traceback: str) -> str:
    """Indent a traceback under its line, so that text in it cannot pass for a record."""
    return "  " + traceback.rstrip("\n").replace("\n", "\n  ") + "\n"


def facts_text(record: Record) -> str:
    """Facts as ` key=value …`, to stand after a message."""
    text = ""
    for key, value in record.fields.items():
        # The usual kinds first and without a call: numbers, and words that need no quotes.
        kind = type(value)
        if kind is int or (kind is str and value.isalnum()):
            text += f" {key}={value}"
        elif kind is bool:
            text += f" {key}=true" if value else f" {key}=false"
        else:
            text += f" {key}={fact_text(value)}"
    return text


def fact_text(value: object) -> str:
    """A value as one word; in quotes where it holds a space, a quote or `=`."""
    if type(value) is str:
        # bare as long as a reader, or `logfmt`, still finds where the value ends
        return value if value and _BARE.fullmatch(value) else quoted(value)
    if value is None or isinstance(value, (bool, dict, list, str)):
        return quoted(value)
    return str(value)


def _compile(log_format: str) -> tuple[str, list[str]]:
    """Make the format positional: `%(name)s` becomes `%s` and its name is listed."""
    names: list[str] = []

    def positional(match: re.Match[str]) -> str:
        name, conversion, percent = match.groups()
        if percent:
            return "%%"
        # refused, not left empty: a misspelt name would be missing in every line
        if name not in _NAMES:
            raise ValueError(f"unknown name %({name})s; known: {', '.join(sorted(_NAMES))}")
        names.append(name)
        return f"%{conversion}"

    template = _FIELD.sub(positional, log_format)
    if not names:
        raise ValueError("it shows nothing of the record")
    return template, names


def _process_name(_: Record, __: str) -> str:
    # Not imported for this: a program without the module has one process of this name
    running: Any = sys.modules.get("multiprocessing.process")
    return ascii_if_odd(running.current_process().name) if running else "MainProcess"


_STARTED_NS = time.time_ns()
_NAMES: dict[str, Callable[[Record, str], Any]] = {
    "asctime": lambda r, _: local(r.time_ns),
    "created": lambda r, _: r.time_ns / 1e9,
    ENVIRONMENT: lambda r, _: r.environment,
    "filename": lambda r, _: os.path.basename(r.code.path),
    "funcName": lambda r, _: r.function,
    "levelname": lambda r, _: r.level_name,
    "levelno": lambda r, _: r.level,
    "lineno": lambda r, _: r.line,
    "message": lambda _, message: message,
    "module": lambda r, _: r.module,
    "msecs": lambda r, _: r.time_ns // 1_000_000 % 1000,
    "name": lambda r, _: r.logger,
    "pathname": lambda r, _: r.code.path,
    "process": lambda r, _: r.process_id,
    "processName": _process_name,
    "relativeCreated": lambda r, _: (r.time_ns - _STARTED_NS) / 1e6,
    REQUEST_ID: lambda r, _: r.request_id or "-",
    SPAN_ID: lambda r, _: r.span_id or "-",
    "taskName": lambda _, __: "",
    "thread": lambda r, _: r.thread_id,
    "threadName": lambda _, __: ascii_if_odd(threading.current_thread().name),
    TRACE_ID: lambda r, _: r.trace_id or "-",
}
_EXAMPLE = Record(0, CallSite("example", 20), "", {})

Record.renderer = Renderer()


def configure(log_format: str) -> str:
    """Use *log_format* from now on; return a warning when it cannot be used, else an empty text."""
    try:
        Record.renderer = Renderer(log_format)
    except (ValueError, TypeError) as error:
        Record.renderer = Renderer()
        return f"LOG_FORMAT={ascii(log_format)[:100]}: {error}; using {DEFAULT_FORMAT!r}"
    return ""
