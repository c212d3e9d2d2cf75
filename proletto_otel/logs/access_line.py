"""The lines of the access log in every form: JSON, text, OTLP.

Hand-tuned, since every request pays for it: all of a line but times, numbers and IDs is encoded
once per (method, route, status), path, client, size and user. `logs.access_log` writes the lines.
"""

from __future__ import annotations

import logging
import struct
from typing import Any, Protocol

from proletto_otel.core import conventions as names
from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.redaction import sanitise
from proletto_otel.export.encoding.otlp import (
    log_attribute,
    log_attributes,
    log_body,
    log_owner,
    log_start,
    severity,
)
from proletto_otel.logs.format.json import members, needs_no_quoting, quoted
from proletto_otel.logs.record.builder import Builder
from proletto_otel.logs.record.call_site import CallSite, CodeLocation, this_process
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.record.timestamp import MILLISECONDS, local, utc

MAX_PATHS = 64
"""Paths with cached lines, for each kind of request."""
MAX_KNOWN = 4096
"""Clients, sizes and users in the cache."""
INFO = logging.INFO
_CODE = CodeLocation("", "", "")
_CODE.module = "access"
# OTLP stores a double as eight bytes at the end of its attribute: they are replaced, not encoded.
_double = struct.Struct("<d").pack
_DURATION_OTLP = log_attribute(names.ACCESS_DURATION_MS, 0.5)[:-8]
"""The attribute without the eight bytes of its number, which come last."""
_DURATION_JSON = f'"{names.ACCESS_DURATION_MS}":'
_ID_JSON = f'"{names.REQUEST_ID}":"'
_TRACE_JSON, _SPAN_JSON = f'"{names.TRACE_ID}":"', f'"{names.SPAN_ID}":"'
_TIME_JSON = f'{{"{names.TIMESTAMP}":"'
_SEVERITY = severity(9, "INFO")

Key = tuple[str, str | None, int]
"""Method, route, status."""


class Finished(Protocol):
    """A finished request, as `request` describes it."""

    method: str
    path: str
    status: int
    duration_s: float
    response_size: int | None
    client: str
    end_ns: int
    thread_id: int
    request_id: str
    trace_id: str
    span_id: str
    raw_ids: bytes
    """Trace ID and span ID: 16 and 8 bytes, or none."""
    sampled: bool
    user_id: str | None

    @property
    def route(self) -> str | None: ...


class ProcessPart:
    """What all access lines of a process share."""

    def __init__(self, logger: str, build: Builder) -> None:
        self.build = build
        self.call_site = CallSite(logger, INFO, _CODE)
        self.process_id = this_process.id
        code = {
            names.MODULE: _CODE.module,
            names.FUNCTION: "",
            names.LINE: 0,
            names.PROCESS_ID: self.process_id,
        }
        self.start = (
            f'",{members({names.LEVEL: "INFO", names.LOGGER_NAME: logger})},"{names.MESSAGE}":'
        )
        """The JSON fields before the message."""
        self.middle = f',{members(code)},"{names.LOG_THREAD_ID}":'
        """Those between the message and the thread's ID."""
        self.end = f",{members({names.ENVIRONMENT: this_process.environment})},"
        """Those after the thread's ID."""
        self.otlp = log_attribute(names.LOGGER_NAME, self.call_site.logger)


class Line:
    """All but times, numbers and IDs of an access line, clean, in every form a sink needs."""

    __slots__ = ("facts", "json_end", "json_start", "message", "otlp", "process", "text")

    def __init__(self, kind: Kind, process: ProcessPart, path: str) -> None:
        # cleaned once per path, not per request
        clean = sanitise.get().path(path)
        self.process = process
        self.facts = {names.URL_PATH: clean, **kind.facts}
        self.message = message = f"{kind.method} {clean} {kind.status}"
        # method and status hold nothing to quote, so the path decides for the message, too
        if clean is path and needs_no_quoting(clean):
            named, words = f'"{names.URL_PATH}":"{clean}"', f'"{message}"'
        else:
            named, words = members({names.URL_PATH: clean}), quoted(message)
        self.json_start = f"{process.start}{words}{process.middle}"
        """The JSON line between its timestamp and the thread's number."""
        self.json_end = f",{named},{kind.json}"
        """The JSON line after the duration."""
        self.text = f"{process.call_site.text}{message} {names.REQUEST_ID}="
        path_otlp = log_attribute(names.URL_PATH, clean)
        self.otlp = b"".join((log_body(message), kind.otlp, path_otlp, _DURATION_OTLP))
        """The OTLP record between its flags and the number of the duration."""


class Part:
    """A fact that takes few values (client, size, user), encoded in every form a sink needs."""

    __slots__ = ("facts", "json", "otlp")

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.json = f",{members(facts)}" if facts else ""
        self.otlp = log_attributes(facts)


def parts(name: str) -> BoundedCache[Part]:
    """The parts of one fact by its value; a value that is not known gives an empty part."""

    def make(value: str | int | None) -> Part:
        if value is None or value == "":
            return Part({})
        # cleaned here, once per value: address and user come from outside
        return Part({name: value if type(value) is int else sanitise.get().text(str(value))})

    return BoundedCache(make, MAX_KNOWN)


class Kind:
    """Method, route and status of a request: most requests are of one of a few kinds."""

    def __init__(self, process: ProcessPart, key: Key) -> None:
        method, route, status = key
        self.method, self.status = method, status
        facts = {
            names.HTTP_REQUEST_METHOD: method,
            names.HTTP_ROUTE: route,
            names.HTTP_RESPONSE_STATUS_CODE: status,
        }
        self.facts = {name: value for name, value in facts.items() if value is not None}
        self.json = members(self.facts)
        self.otlp = _SEVERITY + process.otlp + log_attributes(self.facts)
        self._process = process
        self.varies = route is None or "<" in route
        """Whether the path is rarely the same again, so that caching its line is not worth it."""
        self.lines = BoundedCache(self.line, MAX_PATHS)
        """The lines by path."""

    def line(self, path: str) -> Line:
        """The line of a request to *path*."""
        return Line(self, self._process, path)


class AccessRecord(Record):
    """The record of one request; text lines show its message without the facts.

    It is rendered when a sink asks for a form.
    """

    __slots__ = ("parts", "raw_ids", "ready", "took_us")

    facts_in_line = False

    def __init__(self, ready: Line, parts: tuple[Part, Part, Part], request: Finished) -> None:
        # Copies only, no text is made: this may run in the request's thread, and the line is made
        # where it is written. All of an access line is 7 us; of it 1.0 are these objects, 1.7 the
        # JSON line, 1.4 the OTLP bytes.
        self.call_site = ready.process.call_site
        self.ready = ready
        self.parts = parts
        """Client, size, user."""
        self.message = ready.message
        self.time_ns = request.end_ns
        self.thread_id = request.thread_id
        # microseconds as a whole number: its JSON needs a division and a table, no float's repr
        self.took_us = int(request.duration_s * 1e6 + 0.5)
        """How long the request took, microseconds."""
        self.request_id = request.request_id
        self.trace_id = trace_id = request.trace_id
        self.span_id = request.span_id
        self.raw_ids = request.raw_ids
        self.flags = 1 if trace_id and request.sampled else 0
        self._json = self._text_line = None

    @property
    def fields(self) -> dict[str, Any]:
        """The facts of the request."""
        client, size, user = self.parts
        took = {names.ACCESS_DURATION_MS: self.took_us / 1000}
        return {**took, **self.ready.facts, **client.facts, **size.facts, **user.facts}

    @fields.setter
    def fields(self, _: dict[str, Any]) -> None:
        """Known already."""

    @property
    def json(self) -> bytes:
        """The line as `logs.format.json` would make it."""
        line = self._json
        if line is None:
            ready, took = self.ready, self.took_us
            client, size, user = self.parts
            # one f-string over ready parts: only IDs, times and numbers are new
            ids = f'{_ID_JSON}{self.request_id}",' if self.request_id else ""
            if self.trace_id:
                ids += f'{_TRACE_JSON}{self.trace_id}",{_SPAN_JSON}{self.span_id}",'
            line = self._json = (
                f"{_TIME_JSON}{utc(self.time_ns)}{ready.json_start}{self.thread_id}"
                f"{ready.process.end}{ids}{_DURATION_JSON}{took // 1000}."
                f"{MILLISECONDS[took % 1000]}{ready.json_end}{client.json}{size.json}{user.json}"
                "}\n"
            ).encode()
        return line

    @property
    def text_line(self) -> bytes:
        """The line as `logs.format.text` would make it."""
        line = self._text_line
        if line is None:
            if self.renderer.is_default and self.request_id:
                line = f"{local(self.time_ns)}{self.ready.text}{self.request_id}\n".encode()
            else:
                line = self.renderer.text_line(self)
            self._text_line = line
        return line

    @property
    def otlp(self) -> bytes:
        """The record as OTLP, as `logs.sinks.otlp` would make it."""
        client, size, user = self.parts
        # The same parts as bytes, joined once. The SDK takes 15.8 us to encode such a record.
        took = _double(self.took_us / 1000)
        start = log_start(self.time_ns, self.flags)
        ids = log_owner(self.request_id, self.raw_ids)
        ready = self.ready.otlp
        return b"".join((start, ready, took, client.otlp, size.otlp, user.otlp, ids))
