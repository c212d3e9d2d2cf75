"""How a record looks: one line of JSON, one line by `LOG_FORMAT`.

`LOG_FORMAT` is %-style over the names of the standard library's `LogRecord`; it is compiled once.
The coloured short form for terminals lives in `logs.sinks.console`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson

from proletto_otel.core.exceptions import ExceptionFacts
from proletto_otel.logs.record import Record, ascii_if_odd

DEFAULT_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
_FIELD = re.compile(r"%(?:\((\w+)\)([#0\- +]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa])|(%))")
_APPEND_NEWLINE = orjson.OPT_APPEND_NEWLINE
_BARE = re.compile(r"[^\s\"'=]+").fullmatch


MILLISECONDS = tuple(f"{ms:03d}" for ms in range(1000))
"""The three digits of each."""


class Clock:
    """Formats times; each part is made when it changes."""

    def __init__(self, pattern: str, split: Callable[[float], time.struct_time], dot: str) -> None:
        self._pattern = pattern
        self._split = split
        self._dot = dot
        self._second: tuple[int, str] = (-1, "")
        self._moment: tuple[int, str] = (-1, "")

    def __call__(self, time_ns: int) -> str:
        """*time_ns* with milliseconds."""
        moment = time_ns // 1_000_000
        known, text = self._moment
        if moment != known:
            text = self._begin(moment // 1000) + MILLISECONDS[moment % 1000]
            self._moment = (moment, text)  # one store: threads see a pair that belongs together
        return text

    def _begin(self, second: int) -> str:
        known, prefix = self._second
        if second != known:
            prefix = time.strftime(self._pattern, self._split(second)) + self._dot
            self._second = (second, prefix)
        return prefix


utc = Clock("%Y-%m-%dT%H:%M:%S", time.gmtime, ".")
"""`2025-05-10T06:35:12.548`: the timestamp of JSON lines."""
local = Clock("%Y-%m-%d %H:%M:%S", time.localtime, ",")
"""`2025-05-10 06:35:12,548`: `asctime` as the standard library writes it."""


class Renderer:
    """Renders records for one `LOG_FORMAT`.

    Raises:
        ValueError: the format has an unknown name or cannot be applied.
    """

    def __init__(self, log_format: str = DEFAULT_FORMAT) -> None:
        self._template, names = _compile(log_format)
        self._getters = tuple(_NAMES[name] for name in names)
        self._shows_id = "request_id" in names
        self.plain = log_format == DEFAULT_FORMAT
        self._template % tuple(get(_EXAMPLE, "") for get in self._getters)

    def text_line(self, record: Record) -> bytes:
        """The text line, facts behind the message, traceback below, newline at the end."""
        message = record.message
        if record.facts_in_line and record.fields:
            message += facts_text(record)
        if record.request_id and not self._shows_id:
            message += f" request_id={record.request_id}"
        if self.plain:
            when, level = local(record.time_ns), record.level_name
            text = f"{when} - {record.logger} - {level} - {message}\n"
        else:
            text = self._template % tuple([get(record, message) for get in self._getters]) + "\n"
        if record.exception is not None:
            return text.encode("utf-8", "backslashreplace") + record.exception.form("text", _below)
        return text.encode("utf-8", "backslashreplace")

    @staticmethod
    def json(record: Record) -> bytes:
        """The JSON line with the fields of `conventions.LOG_FIELDS`, then the facts."""
        members: dict[str, Any] = {
            "timestamp": utc(record.time_ns),
            "level": record.level_name,
            "logger": record.logger,
            "message": record.message,
            "module": record.module,
            "function": record.function,
            "line": record.line,
            "process_id": record.process_id,
            "thread_id": record.thread_id,
            "environment": record.environment,
        }
        if record.request_id:
            members["request_id"] = record.request_id
        if record.trace_id:
            members["trace_id"] = record.trace_id
            members["span_id"] = record.span_id
        if record.fingerprint:
            members["fingerprint"] = record.fingerprint
        if record.exception is not None:
            members["exception"] = record.exception.form("json", _fragment)
        if record.fields:
            members.update(record.fields)
        return encode(members)


def encode(members: dict[str, Any]) -> bytes:
    """One line of JSON; what orjson refuses (an integer of 30 digits) the slow encoder takes."""
    try:
        return orjson.dumps(members, option=_APPEND_NEWLINE)
    except TypeError:
        return json.dumps(members, default=_by_hand).encode("ascii") + b"\n"


def _by_hand(value: object) -> Any:
    return orjson.loads(value.contents) if isinstance(value, orjson.Fragment) else str(value)


def exception_member(facts: ExceptionFacts) -> dict[str, Any]:
    """The member `exception` of a JSON line."""
    member: dict[str, Any] = {
        "type": facts.type,
        "message": facts.message,
        "traceback": facts.lines,
    }
    return member if facts.locals is None else {**member, "locals": facts.locals}


def _fragment(facts: ExceptionFacts) -> orjson.Fragment:
    return orjson.Fragment(encode(exception_member(facts)).rstrip())


def _below(facts: ExceptionFacts) -> bytes:
    return below(facts.traceback).encode("utf-8", "backslashreplace")


def below(traceback: str) -> str:
    """A traceback under its line, indented: what an exception says cannot pass for a record."""
    return "  " + traceback.rstrip("\n").replace("\n", "\n  ") + "\n"


def facts_text(record: Record) -> str:
    """Facts as ` key=value …`, to stand behind a message."""
    text = ""
    for key, value in record.fields.items():
        kind = type(value)
        if kind is int or (kind is str and value.isalnum()):
            text += f" {key}={value}"
        elif kind is bool:
            text += f" {key}=true" if value else f" {key}=false"
        else:
            text += f" {key}={fact_text(value)}"
    return text


def fact_text(value: object) -> str:
    """A value as one word, quoted where it would not be one."""
    if type(value) is str:
        return value if value and _BARE(value) else orjson_text(value)
    if value is None or isinstance(value, (bool, dict, list, str)):
        return orjson_text(value)
    return str(value)


def orjson_text(value: object) -> str:
    """A value as JSON."""
    return encode({"": value})[4:-2].decode().strip()


def _compile(log_format: str) -> tuple[str, list[str]]:
    """Turn names into places: `%(name)s` becomes `%s` and its name is listed."""
    names: list[str] = []

    def place(match: re.Match[str]) -> str:
        name, conversion, percent = match.groups()
        if percent:
            return "%%"
        if name not in _NAMES:
            raise ValueError(f"unknown name %({name})s; known: {', '.join(sorted(_NAMES))}")
        names.append(name)
        return f"%{conversion}"

    template = _FIELD.sub(place, log_format)
    if not names:
        raise ValueError("it shows nothing of the record")
    return template, names


def _process_name(_: Record, __: str) -> str:
    # not imported for this: a program without the module has one process of this name
    running: Any = sys.modules.get("multiprocessing.process")
    return ascii_if_odd(running.current_process().name) if running else "MainProcess"


def _thread_name(_: Record, __: str) -> str:
    return ascii_if_odd(threading.current_thread().name)


def _task_name(_: Record, __: str) -> str:
    return ""


_STARTED_NS = time.time_ns()
_NAMES: dict[str, Callable[[Record, str], Any]] = {
    "asctime": lambda r, _: local(r.time_ns),
    "created": lambda r, _: r.time_ns / 1e9,
    "environment": lambda r, _: r.environment,
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
    "request_id": lambda r, _: r.request_id or "-",
    "span_id": lambda r, _: r.span_id or "-",
    "taskName": _task_name,
    "thread": lambda r, _: r.thread_id,
    "threadName": _thread_name,
    "trace_id": lambda r, _: r.trace_id or "-",
}
_EXAMPLE = Record(0, 20, "example", "", {})

Record.renderer = Renderer()


def configure(log_format: str) -> str:
    """Use *log_format* from now on; return a warning when it cannot be used, else an empty text."""
    try:
        Record.renderer = Renderer(log_format)
    except (ValueError, TypeError) as error:
        Record.renderer = Renderer()
        return f"LOG_FORMAT={ascii(log_format)[:100]}: {error}; using {DEFAULT_FORMAT!r}"
    return ""
