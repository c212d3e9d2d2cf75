"""The access log: one INFO line per request on the logger `<APP_NAME>.access`.

Every request pays for it, so it skips what an ordinary record needs: its fields are made here and
only path and client are foreign. Measuring the request lives in `request`.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.conventions import (
    ACCESS_DURATION_MS,
    CLIENT_ADDRESS,
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_BODY_SIZE,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    LOGGER_NAME,
    URL_PATH,
)
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.redaction import sanitise
from proletto_otel.export.encoding.otlp import (
    log_attribute,
    log_attributes,
    log_body,
    log_owner,
    log_start,
    severity,
)
from proletto_otel.logs.deferred_writer import Made
from proletto_otel.logs.format.json import members, needs_no_quoting, quoted
from proletto_otel.logs.pipeline import Pipeline
from proletto_otel.logs.record.builder import Builder
from proletto_otel.logs.record.call_site import CallSite, CodeLocation, this_process
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.record.timestamp import MILLISECONDS, local, utc

QUIET_PATHS = ("/livez", "/readyz", "/health", "/healthz", "/metrics")
"""Probes and scrapes: a line each would bury the others. A failure (5xx) still gets its line."""
MAX_KINDS = 1024
"""Kinds of requests whose lines are kept ready, with so many paths each:"""
MAX_PATHS = 64
MAX_KNOWN = 4096
"""Clients, sizes and users that are kept ready."""
INFO = logging.INFO
_CODE = CodeLocation("", "", "")
_CODE.module = "access"
_double = struct.Struct("<d").pack
_DURATION_OTLP = log_attribute(ACCESS_DURATION_MS, 0.5)[:-8]
"""The attribute without the eight bytes of its number, which come last."""
_DURATION_JSON = f'"{ACCESS_DURATION_MS}":'
_SEVERITY = severity(9, "INFO")

Key = tuple[str, str | None, int]
"""Method, route, status."""


class Finished(Protocol):
    """A request that is over, as the request path knows it."""

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


class Frame:
    """What all access lines of a process share."""

    def __init__(self, logger: str, build: Builder) -> None:
        self.build = build
        self.place = CallSite(logger, INFO, _CODE)
        self.process_id = this_process.id
        code = {"module": _CODE.module, "function": "", "line": 0, "process_id": self.process_id}
        self.start = f'",{members({"level": "INFO", "logger": logger})},"message":'
        """The JSON members before the message."""
        self.middle = f',{members(code)},"thread_id":'
        """Those between the message and the thread's number."""
        self.end = f",{members({'environment': this_process.environment})},"
        """Those behind it."""
        self.otlp = log_attribute(LOGGER_NAME, self.place.logger)


class Line:
    """All but times, numbers and IDs of an access line, clean, in every form a sink needs."""

    __slots__ = ("facts", "frame", "json_end", "json_start", "message", "otlp", "text")

    def __init__(self, kind: Kind, frame: Frame, path: str) -> None:
        clean = sanitise.get().path(path)
        self.frame = frame
        self.facts = {URL_PATH: clean, **kind.facts}
        self.message = message = f"{kind.method} {clean} {kind.status}"
        if clean is path and needs_no_quoting(clean):
            named, words = f'"{URL_PATH}":"{clean}"', f'"{message}"'
        else:
            named, words = members({URL_PATH: clean}), quoted(message)
        self.json_start = f"{frame.start}{words}{frame.middle}"
        """The JSON line between its timestamp and the thread's number."""
        self.json_end = f",{named},{kind.json}"
        """The JSON line behind the duration."""
        self.text = f"{frame.place.text}{message} request_id="
        path_otlp = log_attribute(URL_PATH, clean)
        self.otlp = b"".join((log_body(message), kind.otlp, path_otlp, _DURATION_OTLP))
        """The OTLP record between its flags and the number of the duration."""


class Part:
    """A fact that few requests differ in, clean in every form a sink needs."""

    __slots__ = ("facts", "json", "otlp")

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.json = f",{members(facts)}" if facts else ""
        self.otlp = log_attributes(facts)


def parts(name: str) -> BoundedCache[Part]:
    """The parts of one fact's values; what is not known has no part in a line."""

    def make(value: str | int | None) -> Part:
        if value is None or value == "":
            return Part({})
        return Part({name: value if type(value) is int else sanitise.get().text(str(value))})

    return BoundedCache(make, MAX_KNOWN)


class Kind:
    """What few requests differ in: method, route, status."""

    def __init__(self, frame: Frame, key: Key) -> None:
        method, route, status = key
        self.method, self.status = method, status
        facts = {HTTP_REQUEST_METHOD: method, HTTP_ROUTE: route, HTTP_RESPONSE_STATUS_CODE: status}
        self.facts = {name: value for name, value in facts.items() if value is not None}
        self.json = members(self.facts)
        self.otlp = _SEVERITY + frame.otlp + log_attributes(self.facts)
        self._frame = frame
        self.varies = route is None or "<" in route
        """Whether the path is hardly the same again."""
        self.lines = BoundedCache(self.line, MAX_PATHS)
        """The lines by path."""

    def line(self, path: str) -> Line:
        """The line of a request to *path*."""
        return Line(self, self._frame, path)


class AccessRecord(Record):
    """A record whose message says it all: text lines do not repeat its facts.

    It is made into a sink's form when a sink asks.
    """

    __slots__ = ("parts", "ready", "took_us", "whose")

    facts_in_line = False

    def __init__(self, ready: Line, parts: tuple[Part, Part, Part], request: Finished) -> None:
        self.place = ready.frame.place
        self.ready = ready
        self.parts = parts
        """Client, size, user."""
        self.message = ready.message
        self.time_ns = request.end_ns
        self.thread_id = request.thread_id
        self.took_us = int(request.duration_s * 1e6 + 0.5)
        """How long the request took, microseconds."""
        self.request_id = request.request_id
        self.trace_id = trace_id = request.trace_id
        self.span_id = request.span_id
        self.whose = request.raw_ids
        self.flags = 1 if trace_id and request.sampled else 0
        self._json = self._text_line = None

    @property
    def fields(self) -> dict[str, Any]:
        """The facts of the request."""
        client, size, user = self.parts
        took = {ACCESS_DURATION_MS: self.took_us / 1000}
        return {**took, **self.ready.facts, **client.facts, **size.facts, **user.facts}

    @fields.setter
    def fields(self, _: dict[str, Any]) -> None:
        """Known already."""

    @property
    def json(self) -> bytes:
        """The line as `logs.format.text` would make it."""
        line = self._json
        if line is None:
            ready, took = self.ready, self.took_us
            client, size, user = self.parts
            ids = f'"request_id":"{self.request_id}",' if self.request_id else ""
            if self.trace_id:
                ids += f'"trace_id":"{self.trace_id}","span_id":"{self.span_id}",'
            line = self._json = (
                f'{{"timestamp":"{utc(self.time_ns)}{ready.json_start}{self.thread_id}'
                f"{ready.frame.end}{ids}{_DURATION_JSON}{took // 1000}."
                f"{MILLISECONDS[took % 1000]}{ready.json_end}{client.json}{size.json}{user.json}"
                "}\n"
            ).encode()
        return line

    @property
    def text_line(self) -> bytes:
        """The line as `logs.format.text` would make it."""
        line = self._text_line
        if line is None:
            if self.renderer.plain and self.request_id:
                line = f"{local(self.time_ns)}{self.ready.text}{self.request_id}\n".encode()
            else:
                line = self.renderer.text_line(self)
            self._text_line = line
        return line

    @property
    def otlp(self) -> bytes:
        """The record as OTLP, as `logs.sinks.otlp` would make it."""
        client, size, user = self.parts
        took = _double(self.took_us / 1000)
        start, whose = log_start(self.time_ns, self.flags), log_owner(self.request_id, self.whose)
        ready = self.ready.otlp
        return b"".join((start, ready, took, client.otlp, size.otlp, user.otlp, whose))


class AccessLog:
    """Called by the request path when a response is closed.

    Args:
        to: The pipeline.
        app_name: Names the logger.
        quiet: Paths without a line, unless they fail (5xx).
    """

    def __init__(self, to: Pipeline, app_name: str, *, quiet: Iterable[str] = QUIET_PATHS) -> None:
        self._pipeline = to
        self._logger = f"{app_name}.access"
        self.quiet = frozenset(quiet)
        self._begin()
        self._clients = parts(CLIENT_ADDRESS)
        self._sizes = parts(HTTP_RESPONSE_BODY_SIZE)
        self._users = parts("user_id")

    def finished(self, request: Finished) -> None:
        """Write the line of *request* at once; never raises."""
        for record in self.made((request,))[0]:
            if record is not None:
                self._pipeline.fan_out_at_once(record)

    def made(self, requests: Sequence[Finished]) -> Made:
        """The lines of *requests*, `None` for one that gets none, and where they go together."""
        if self._pipeline.level > INFO:
            return (), ()
        self._look()
        return [self._made(request) for request in requests], self._pipeline.together(INFO)

    def _made(self, request: Finished) -> AccessRecord | None:
        try:
            path, status = request.path, request.status
            if path in self.quiet and status < 500:
                return None
            kind = self._kinds[request.method, request.route, status]
            parts = (
                self._clients[request.client],
                self._sizes[request.response_size],
                self._users[request.user_id],
            )
            ready = kind.line(path) if kind.varies else kind.lines[path]
            return AccessRecord(ready, parts, request)
        except Exception:
            with suppressed("logs.access"):
                raise
            return None

    def _look(self) -> None:
        """Begin anew in another process, or after another set-up."""
        frame = self._frame
        if frame.build is not self._pipeline.build or frame.process_id != this_process.id:
            self._begin()

    def _begin(self) -> None:
        self._frame = frame = Frame(self._logger, self._pipeline.build)
        self._kinds: BoundedCache[Kind] = BoundedCache(lambda key: Kind(frame, key), MAX_KINDS)
