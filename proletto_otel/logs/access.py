"""The access log: one INFO line per request on the logger `<APP_NAME>.access`.

Every request pays for it, so it skips what an ordinary record needs: its fields are made here and
only path and client are foreign. Measuring the request lives in `request`.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from proletto_otel.core import sanitise
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
from proletto_otel.core.silence import silence
from proletto_otel.export.encode import log_attribute, log_line, log_owner, severity
from proletto_otel.logs.behind import Made
from proletto_otel.logs.building import Builder, this_process
from proletto_otel.logs.pipeline import Pipeline
from proletto_otel.logs.record import NOWHERE, Record
from proletto_otel.logs.rendering import MILLISECONDS, encode, local, utc

QUIET_PATHS = ("/livez", "/readyz", "/health", "/healthz", "/metrics")
"""Probes and scrapes: a line each would bury the others. A failure (5xx) still gets its line."""
MAX_KNOWN = 4096
"""Paths and clients whose clean forms are kept."""
INFO = logging.INFO
_MODULE = "access"
_double = struct.Struct("<d").pack
_DURATION_OTLP = log_attribute(ACCESS_DURATION_MS, 0.5)[:-8]
"""The attribute without the eight bytes of its number, which come last."""
_DURATION_JSON = f'"{ACCESS_DURATION_MS}":'
_SEVERITY = severity(9, "INFO")


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
    sampled: bool
    user_id: str | None

    @property
    def route(self) -> str | None: ...


class Part:
    """A fact, or a few that go together, clean in every form a sink needs."""

    __slots__ = ("escaped", "facts", "json", "json_after", "otlp", "text")

    def __init__(self, facts: Mapping[str, Any], text: str = "") -> None:
        self.text = text
        escaped = encode({"": text})[5:-3].decode()
        self.escaped = text if escaped == text else escaped
        """The text as JSON, without its quotes."""
        self.facts = {name: value for name, value in facts.items() if value is not None}
        self.json = encode(self.facts)[1:-2].decode()
        self.json_after = f",{self.json}" if self.json else ""
        self.otlp = b"".join([log_attribute(*fact) for fact in self.facts.items()])


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
    part = Part(facts, str(status))
    part.escaped = method  # begins the message
    return part


def size_part(size: int) -> Part:
    """The part of a body's size."""
    return Part({HTTP_RESPONSE_BODY_SIZE: size})


NOTHING = Part({})


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
    made.otlp = log_attribute(URL_PATH, clean)
    return made


class AccessRecord(Record):
    """A record whose message says it all: text lines do not repeat its facts.

    Its facts stay in parts until a sink asks for them in its form. What is the same in every
    access line belongs to the class.
    """

    __slots__ = ("client", "frame", "kind", "microseconds", "path", "shown", "size", "user")

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
        self, frame: Frame, kind: Part, path: Part, client: Part, size: Part, user: Part,
        request: Finished,
    ) -> None:  # fmt: skip
        self.frame = frame
        self.logger = frame.logger
        self.environment = frame.environment
        self.process_id = frame.process_id
        self.kind = kind
        """Method, route, status."""
        self.path = path
        self.client = client
        self.size = size
        self.user = user
        text, escaped = path.text, path.escaped
        self.message = self.shown = f"{kind.escaped} {text} {kind.text}"
        if escaped is not text:
            self.shown = f"{kind.escaped} {escaped} {kind.text}"
        """The message as JSON, without its quotes."""
        self.time_ns = request.end_ns
        self.thread_id = request.thread_id
        self.microseconds = int(request.duration_s * 1e6 + 0.5)
        self.request_id = request.request_id
        self.trace_id = trace_id = request.trace_id
        self.span_id = request.span_id
        self.flags = 1 if trace_id and request.sampled else 0
        self._json = self._text_line = None

    @property
    def fields(self) -> dict[str, Any]:
        """The facts of the request."""
        facts = {ACCESS_DURATION_MS: self.microseconds / 1000, **self.kind.facts}
        for part in (self.path, self.client, self.size, self.user):
            facts |= part.facts
        return facts

    @fields.setter
    def fields(self, _: dict[str, Any]) -> None:
        """Taken from the parts."""

    @property
    def json(self) -> bytes:
        """The line as `logs.rendering` would make it."""
        line = self._json
        if line is None:
            frame, took = self.frame, self.microseconds
            ids = f'"request_id":"{self.request_id}",' if self.request_id else ""
            if self.trace_id:
                ids += f'"trace_id":"{self.trace_id}","span_id":"{self.span_id}",'
            line = self._json = (
                f'{{"timestamp":"{utc(self.time_ns)}",{frame.start}{self.shown}{frame.middle}'
                f"{self.thread_id}{frame.end}{ids}{_DURATION_JSON}{took // 1000}."
                f"{MILLISECONDS[took % 1000]},{self.kind.json},{self.path.json}"
                f"{self.client.json_after}{self.size.json_after}{self.user.json_after}}}\n"
            ).encode()
        return line

    @property
    def text_line(self) -> bytes:
        """The line as `logs.rendering` would make it."""
        line = self._text_line
        if line is None:
            if self.renderer.plain and self.request_id:
                line = (
                    f"{local(self.time_ns)} - {self.logger} - INFO - {self.message}"
                    f" request_id={self.request_id}\n"
                ).encode()
            else:
                line = self.renderer.text_line(self)
            self._text_line = line
        return line

    @property
    def otlp(self) -> bytes:
        """The record as OTLP, as `logs.sinks.otlp` would make it."""
        return log_line(
            self.time_ns, _SEVERITY, self.flags, self.message, self.frame.otlp, self.kind.otlp,
            self.path.otlp, self.client.otlp, self.size.otlp, self.user.otlp, _DURATION_OTLP,
            _double(self.microseconds / 1000),
            log_owner(self.request_id, self.trace_id, self.span_id),
        )  # fmt: skip


class Frame:
    """What all access lines of a process share."""

    def __init__(self, logger: str, build: Builder) -> None:
        self.logger = logger
        self.build = build
        self.environment = build.environment
        self.process_id = this_process.id
        first = Part({"level": "INFO", "logger": logger}).json
        code = {"module": _MODULE, "function": "", "line": 0, "process_id": self.process_id}
        self.start = f'{first},"message":"'
        """The JSON members before the message."""
        self.middle = f'",{Part(code).json},"thread_id":'
        """Those between the message and the thread's number."""
        self.end = f",{Part({'environment': self.environment}).json},"
        """Those behind it."""
        self.otlp = log_attribute(LOGGER_NAME, logger)


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
        self._sizes = Parts(size_part)
        self._users = Parts(text_part("user_id"))
        self._known = Frame(self._logger, to.build)

    def finished(self, request: Finished) -> None:
        """Write the line of *request*; never raises."""
        for record in self.made((request,))[0]:
            if record is not None:
                self._pipeline.behind.first(record)
                self._pipeline.fan_out(record)

    def made(self, requests: Sequence[Finished]) -> Made:
        """The lines of *requests*, `None` for one that gets none, and where they go together."""
        if self._pipeline.level > INFO:
            return (), ()
        frame = self._frame()
        return [self._made(request, frame) for request in requests], self._pipeline.together(INFO)

    def _made(self, request: Finished, frame: Frame) -> AccessRecord | None:
        try:
            path, status, client = request.path, request.status, request.client
            if path in self.quiet and status < 500:
                return None
            route, size, user = request.route, request.response_size, request.user_id
            varies = route is None or "<" in route  # hardly the same path again
            return AccessRecord(
                frame,
                self._kinds[request.method, route, status],
                path_part(path) if varies else self._paths[path],
                self._clients[client] if client else NOTHING,
                self._sizes[size] if size is not None else NOTHING,
                self._users[str(user)] if user is not None else NOTHING,
                request,
            )
        except Exception:
            with silence("logs.access"):
                raise
            return None

    def _frame(self) -> Frame:
        known, build = self._known, self._pipeline.build
        if known.build is not build or known.process_id != this_process.id:
            known = self._known = Frame(self._logger, build)
        return known
