"""A record as one line of JSON: the fields of `conventions.LOG_FIELDS`, then its facts.

Most of a line is the same for all records of one call or one request; those parts are kept.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.exceptions import ExceptionFacts
from proletto_otel.logs.record.call_site import CallSite, this_process
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.record.timestamp import utc

_APPEND_NEWLINE = orjson.OPT_APPEND_NEWLINE
MAX_MESSAGES = 4096
MAX_THREADS = 1024
MAX_KEPT = 200
"""Characters of a message whose quoted form is kept: short ones are mostly literals."""


def json_line(record: Record) -> bytes:
    """*record* as a line of JSON, with its newline."""
    place, message, moment = record.place, record.message, record.time_ns // 1_000_000
    start, middle = place.json or _prepare(place)
    known, when = _now
    if known != moment:
        when = _when(moment)
    words = _messages[message] if len(message) <= MAX_KEPT else quoted(message).encode()
    who = this_process.json.get(record.thread_id) or _who(record.thread_id)
    request_id, trace_id, span_id, whose = _owner
    if (
        request_id is not record.request_id
        or span_id is not record.span_id
        or trace_id is not record.trace_id
    ):
        whose = _whose(record)
    blame = _blame(record) if record.fingerprint or record.exception is not None else b""
    facts = b"," + encode(record.fields)[1:] if record.fields else b"}\n"
    return b"".join((when, start, words, middle, who, whose, blame, facts))


_now: tuple[int, bytes] = (-1, b"")


def _when(moment: int) -> bytes:
    """The beginning of lines of this millisecond."""
    global _now
    when = f'{{"timestamp":"{utc(moment * 1_000_000)}",'.encode()
    _now = (moment, when)  # one store: they belong together
    return when


def _prepare(place: CallSite) -> tuple[bytes, bytes]:
    """What stands before the message, and between it and the process's number."""
    code = {"module": place.code.module, "function": place.code.function, "line": place.line}
    before = f'{members({"level": place.level_name, "logger": place.logger})},"message":'
    place.json = made = (before.encode(), f",{members(code)},".encode())
    return made


def _who(thread_id: int) -> bytes:
    """Process, thread and environment; bounded, since programs start threads without end."""
    facts = {
        "process_id": this_process.id,
        "thread_id": thread_id,
        "environment": this_process.environment,
    }
    if len(this_process.json) >= MAX_THREADS:
        this_process.json = {}
    who = this_process.json[thread_id] = members(facts).encode()
    return who


_Owner = tuple[str, str, str, bytes]
_owner: _Owner = ("", "", "", b"")


def _whose(record: Record) -> bytes:
    """The members that say whose request it was: the same for all records of a request's span."""
    global _owner
    request_id, trace_id, span_id = record.request_id, record.trace_id, record.span_id
    said = f',"request_id":{quoted_text(request_id)}' if request_id else ""
    if trace_id:
        said += f',"trace_id":"{trace_id}","span_id":"{span_id}"'
    whose = said.encode()
    _owner = (request_id, trace_id, span_id, whose)  # one store: they belong together
    return whose


def _blame(record: Record) -> bytes:
    """The members that only errors have."""
    said = f',"fingerprint":"{record.fingerprint}"'.encode() if record.fingerprint else b""
    return said if record.exception is None else said + record.exception.form("json", _exception)


def quoted_text(text: str) -> str:
    """A text as JSON: most need no more than quotes."""
    return f'"{text}"' if needs_no_quoting(text) else quoted(text)


def needs_no_quoting(text: str) -> bool:
    """Whether a text in quotes is JSON as it stands."""
    odd = "\\" in text or '"' in text
    return not odd and text.isascii() and text.isprintable()


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


def _exception(facts: ExceptionFacts) -> bytes:
    return b"," + encode({"exception": exception_member(facts)})[1:-2]


_messages: BoundedCache[bytes] = BoundedCache(lambda text: quoted(text).encode(), MAX_MESSAGES)
