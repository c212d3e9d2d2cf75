"""The access log: one INFO line per request on the logger `<APP_NAME>.access`.

Every request pays for it, so it skips what an ordinary record needs: its fields are made here and
only path and client are foreign. Measuring the request lives in `request`.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from proletto_otel.core import sanitise
from proletto_otel.core.context import RequestContext
from proletto_otel.core.conventions import (
    ACCESS_DURATION_MS,
    CLIENT_ADDRESS,
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_BODY_SIZE,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    URL_PATH,
)
from proletto_otel.core.silence import silence
from proletto_otel.export.encode import log_attribute
from proletto_otel.logs.behind import Ways
from proletto_otel.logs.building import Builder, this_process
from proletto_otel.logs.pipeline import Pipeline
from proletto_otel.logs.record import NOWHERE, Record
from proletto_otel.logs.rendering import encode, utc

QUIET_PATHS = ("/livez", "/readyz", "/health", "/healthz", "/metrics")
"""Probes and scrapes: a line each would bury the others. A failure (5xx) still gets its line."""
MAX_KNOWN = 4096
"""Paths and clients whose clean forms are kept."""
INFO = logging.INFO
NO_FRAME = ("", "", "")
_MODULE = "access"
_double = struct.Struct("<d").pack
_DURATION = log_attribute(ACCESS_DURATION_MS, 0.5)[:-8]
"""The attribute without the eight bytes of its number, which come last."""


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

    @property
    def route(self) -> str | None: ...


class Part:
    """A fact, or a few that go together, clean in every form a sink needs."""

    __slots__ = ("attributes", "escaped", "facts", "json", "json_after", "text")

    def __init__(self, facts: Mapping[str, Any], text: str = "") -> None:
        self.text = text
        escaped = encode({"": text})[5:-3].decode()
        self.escaped = text if escaped == text else escaped
        """The text as JSON, without its quotes."""
        self.facts = {name: value for name, value in facts.items() if value is not None}
        self.json = encode(self.facts)[1:-2].decode()
        self.json_after = f",{self.json}" if self.json else ""
        self.attributes = b"".join([log_attribute(*fact) for fact in self.facts.items()])


class Parts(dict[Any, Part]):
    """The parts of values seen before; full, it begins anew."""

    def __init__(self, make: Callable[[Any], Part]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, value: Any) -> Part:
        if len(self) >= MAX_KNOWN:
            self.clear()
        made = self[value] = self._make(value)
        return made


def kind_part(kind: tuple[str, str | None, int]) -> Part:
    """What few requests differ in: method, route, status."""
    method, route, status = kind
    facts = {HTTP_REQUEST_METHOD: method, HTTP_ROUTE: route, HTTP_RESPONSE_STATUS_CODE: status}
    return Part(facts, str(status))


NOBODY = Part({})


def text_part(name: str) -> Callable[[str], Part]:
    """Make the function that makes a part of a text from outside."""

    def part(text: str) -> Part:
        clean = sanitise.get().text(text)
        return Part({name: clean}, clean)

    return part


def path_part(path: str) -> Part:
    """The part of a path; many are new with each request, so a harmless one is quickly made."""
    clean = sanitise.get().path(path)
    if (
        clean is not path
        or "\\" in clean
        or '"' in clean
        or not (clean.isascii() and clean.isprintable())
    ):
        return Part({URL_PATH: clean}, clean)
    made = Part.__new__(Part)
    made.text = made.escaped = clean
    made.facts = {URL_PATH: clean}
    made.json = f'"{URL_PATH}":"{clean}"'
    made.json_after = "," + made.json
    made.attributes = log_attribute(URL_PATH, clean)
    return made


class AccessRecord(Record):
    """A record whose message says it all: text lines do not repeat its facts.

    Its facts stay in parts until a sink asks for them in its form. What is the same in every
    access line belongs to the class.
    """

    __slots__ = ("client", "duration_ms", "frame", "kind", "path", "shown", "size", "user")

    facts_in_line = False
    level = INFO
    level_name = "INFO"
    module = _MODULE
    function = ""
    line = 0
    code = NOWHERE
    exception = None
    fingerprint = ""
    breadcrumbs = ()

    def __init__(
        self, logger: str, kind: Part, path: Part, client: Part, size: int | None,
        duration_ms: float, time_ns: int,
    ) -> None:  # fmt: skip
        self.time_ns = time_ns
        self.logger = logger
        self.kind = kind
        """Method, route, status."""
        self.path = path
        self.client = client
        self.size = size
        self.user: Part | None = None
        method, text, escaped = kind.facts[HTTP_REQUEST_METHOD], path.text, path.escaped
        self.message = self.shown = f"{method} {text} {kind.text}"
        if escaped is not text:
            self.shown = f"{method} {escaped} {kind.text}"
        """The message as JSON, without its quotes."""
        self.duration_ms = duration_ms
        self.frame = NO_FRAME
        """The JSON members before the message, before the thread, behind it."""
        self.request_id = self.trace_id = self.span_id = ""
        self.flags = 0
        self._json = self._text_line = None

    @property
    def fields(self) -> dict[str, Any]:
        """The facts of the request."""
        facts = {ACCESS_DURATION_MS: self.duration_ms, **self.kind.facts, **self.path.facts}
        facts |= self.client.facts
        if self.size is not None:
            facts[HTTP_RESPONSE_BODY_SIZE] = self.size
        return facts if self.user is None else {**facts, **self.user.facts}

    @fields.setter
    def fields(self, _: dict[str, Any]) -> None:
        """Taken from the parts."""

    @property
    def json(self) -> bytes:
        """The line as `logs.rendering` would make it."""
        line = self._json
        if line is None:
            ids = f'"request_id":"{self.request_id}",' if self.request_id else ""
            if self.trace_id:
                ids += f'"trace_id":"{self.trace_id}","span_id":"{self.span_id}",'
            facts = self.path.json + self.client.json_after
            if self.size is not None:
                facts += f',"{HTTP_RESPONSE_BODY_SIZE}":{self.size}'
            if self.user is not None:
                facts += self.user.json_after
            start, middle, end = self.frame
            line = self._json = (
                f'{{"timestamp":"{utc(self.time_ns)}",{start}{self.shown}{middle}{self.thread_id}'
                f'{end}{ids}"{ACCESS_DURATION_MS}":{self.duration_ms},{self.kind.json},'
                f"{facts}}}\n"
            ).encode()
        return line

    def otlp_fields(self) -> bytes:
        """The facts as OTLP attributes."""
        size = b"" if self.size is None else log_attribute(HTTP_RESPONSE_BODY_SIZE, self.size)
        if self.user is not None:
            size += self.user.attributes
        return b"%b%b%b%b%b%b" % (
            self.kind.attributes, self.path.attributes, self.client.attributes, size,
            _DURATION, _double(self.duration_ms),
        )  # fmt: skip


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
        self._kinds = Parts(kind_part)
        self._paths = Parts(path_part)
        self._clients = Parts(text_part(CLIENT_ADDRESS))
        self._users = Parts(text_part("user_id"))
        self._framed: tuple[int, Builder | None] = (0, None)
        self._frame = NO_FRAME

    def finished(self, request: Finished, context: RequestContext | None = None) -> None:
        """Write the line of *request*, which usually is its own context; never raises."""
        try:
            record, _ = self.made(request, context)
            if record is not None:
                self._pipeline.behind.first(record)
                self._pipeline.fan_out(record)
        except Exception:
            with silence("logs.access"):
                raise

    def made(
        self, request: Finished, context: RequestContext | None = None
    ) -> tuple[Record | None, Ways]:
        """The line of *request*, unless it gets none, and where it goes together with others."""
        path, status, client = request.path, request.status, request.client
        if self._pipeline.level > INFO or (path in self.quiet and status < 500):
            return None, ()
        route = request.route
        varies = route is None or "<" in route  # hardly the same path again
        record = AccessRecord(
            self._logger, self._kinds[request.method, route, status],
            path_part(path) if varies else self._paths[path],
            self._clients[client] if client else NOBODY, request.response_size,
            round(request.duration_s * 1000, 3), request.end_ns,
        )  # fmt: skip
        record.thread_id = request.thread_id
        if context is None and isinstance(request, RequestContext):
            context = request
        self._place(record, context)
        return record, self._pipeline.together(INFO)

    def _place(self, record: AccessRecord, context: RequestContext | None) -> None:
        """The process, and whose request it was."""
        build = self._pipeline.build
        record.environment = build.environment
        record.process_id = pid = this_process.id
        if self._framed[0] != pid or self._framed[1] is not build:
            self._frame = self._new_frame(record)
            self._framed = (pid, build)
        record.frame = self._frame
        if context is None:
            return
        if context.user_id is not None:
            record.user = self._users[str(context.user_id)]
        record.request_id = context.request_id
        record.trace_id, record.span_id = context.trace_id, context.span_id
        record.flags = 1 if context.sampled and context.trace_id else 0

    def _new_frame(self, record: Record) -> tuple[str, str, str]:
        start = Part({"level": "INFO", "logger": self._logger}).json
        middle = {"module": _MODULE, "function": "", "line": 0, "process_id": record.process_id}
        end = Part({"environment": record.environment}).json
        return f'{start},"message":"', f'",{Part(middle).json},"thread_id":', f",{end},"
