"""A record as one line of JSON: the fields of `conventions.LOG_FIELDS`, then its facts.

Most of a line is the same for all records of one call or one request; those parts are kept.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from proletto_otel.core.exceptions import ExceptionFacts
from proletto_otel.core.remembered import Remembered
from proletto_otel.logs.clock import utc
from proletto_otel.logs.record import Record

_APPEND_NEWLINE = orjson.OPT_APPEND_NEWLINE
MAX_PLACES = 4096
MAX_MESSAGES = 4096
MAX_KEPT = 200
"""Characters of a message whose quoted form is kept: short ones are mostly literals."""


def json_line(record: Record) -> bytes:
    """*record* as a line of JSON, with its newline."""
    start, middle, end = _places[
        record.level_name, record.logger, record.module, record.function, record.line,
        record.process_id, record.environment,
    ]  # fmt: skip
    message = record.message
    words = _messages[message] if len(message) <= MAX_KEPT else quoted(message)
    request_id, trace_id, span_id, whose = _owner
    if (
        request_id is not record.request_id
        or span_id is not record.span_id
        or trace_id is not record.trace_id
    ):
        whose = _whose(record)
    when, thread = utc(record.time_ns), record.thread_id
    line = f'{{"timestamp":"{when}",{start}{words}{middle}{thread}{end}{whose}'
    if record.fingerprint:
        line += f',"fingerprint":"{record.fingerprint}"'
    if record.exception is not None:
        line += record.exception.form("json", _exception)
    if record.fields:
        line += f",{members(record.fields)}"
    return (line + "}\n").encode()


def _place(key: tuple[Any, ...]) -> tuple[str, str, str]:
    """What stands before the message, between it and the thread, and behind that."""
    level, logger, module, function, line, process_id, environment = key
    code = {"module": module, "function": function, "line": line, "process_id": process_id}
    return (
        f'{members({"level": level, "logger": logger})},"message":',
        f',{members(code)},"thread_id":',
        f",{members({'environment': environment})}",
    )


_Owner = tuple[str, str, str, str]
_owner: _Owner = ("", "", "", "")


def _whose(record: Record) -> str:
    """The members that say whose request it was: the same for all records of a request's span."""
    global _owner
    request_id, trace_id, span_id = record.request_id, record.trace_id, record.span_id
    whose = f',"request_id":{quoted(request_id)}' if request_id else ""
    if trace_id:
        whose += f',"trace_id":"{trace_id}","span_id":"{span_id}"'
    _owner = (request_id, trace_id, span_id, whose)  # one store: they belong together
    return whose


def quoted(value: object) -> str:
    """A value as JSON."""
    return encode({"": value})[4:-2].decode()


def members(facts: dict[str, Any]) -> str:
    """Members of a JSON object, without its braces."""
    return encode(facts)[1:-2].decode()


def encode(facts: dict[str, Any]) -> bytes:
    """A JSON object and a newline; what orjson refuses (an integer of 30 digits) the slow encoder
    takes."""
    try:
        return orjson.dumps(facts, option=_APPEND_NEWLINE)
    except TypeError:
        separators = (",", ":")  # as orjson
        return json.dumps(facts, default=str, separators=separators).encode("ascii") + b"\n"


def exception_member(facts: ExceptionFacts) -> dict[str, Any]:
    """The member `exception` of a JSON line."""
    member: dict[str, Any] = {
        "type": facts.type,
        "message": facts.message,
        "traceback": facts.lines,
    }
    return member if facts.locals is None else {**member, "locals": facts.locals}


def _exception(facts: ExceptionFacts) -> str:
    return f",{members({'exception': exception_member(facts)})}"


_places: Remembered[tuple[str, str, str]] = Remembered(_place, MAX_PLACES)
_messages: Remembered[str] = Remembered(quoted, MAX_MESSAGES)
