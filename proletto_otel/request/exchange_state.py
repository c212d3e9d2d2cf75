"""What is known of one request while it is answered: the slots of an exchange.

What happens to it lives in `request.exchange`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context

from proletto_otel.core.context import RequestContext
from proletto_otel.core.metrics.registry import Cell
from proletto_otel.request.wsgi import Body, Environ, StartResponse

if TYPE_CHECKING:
    from proletto_otel.request.attributes import ConnectionKey
    from proletto_otel.request.completion import Recorder, RequestSeries


class ExchangeState(RequestContext):
    """The attributes of an `Exchange`, in the order of a request's life."""

    # Slots: no dictionary per request, and the garbage collector has one object less to walk
    # through while the request waits for `Recorder.complete`.
    __slots__ = (  # noqa: RUF023  in the order of a request's life
        "__weakref__",
        # set by the middleware before the application runs
        "recorder", "epoch", "environ", "respond", "otel", "active", "start_ns", "_began",
        # set while the application answers
        "_route", "request", "status", "response_size", "exception", "caught", "streams",
        # the body on its way to the server
        "body", "ready", "rest", "_close",
        # set once, by `finish` and `Recorder.finished`; read by `Recorder.complete` and the access
        # line, on another thread perhaps
        "done", "duration_s", "end_ns", "series", "connection_key", "client", "query", "thread_id",
        "raw_ids",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, environ: Environ, respond: StartResponse) -> None:
        self.done = True
        """Nothing to count: not begun yet, or counted already."""
        self._route: str | None = None
        # as RequestContext.__init__, without the call: every request pays for it
        self.request_id = self.trace_id = self.span_id = ""
        self.sampled = True
        self.span = self.user_id = self.facts = self.breadcrumbs = self.error = None
        self.recorder = recorder
        self.epoch = recorder.epoch
        self.environ = environ
        self.respond = respond
        """The server's `start_response`."""
        self.otel: Context
        """The OpenTelemetry context in which the request's span is current."""
        self.body: Body | None = None
        self.ready: tuple[bytes, ...] = ()
        """What was taken out of the body already."""
        self.rest: Iterator[bytes] | None = None
        """What still comes out of it; none: nothing."""
        self._close: Callable[[], object] | None = None
        """The body's own `close`, where ours took its place."""
        self.request: Any = None
        """The framework's request object, from which the route is read."""
        self.active: Cell | None = None
        """The count of requests being served; none for excluded paths, which nobody counts."""
        self.status = 0
        """Status code of the response; 0: none was sent."""
        self.response_size: int | None = None
        """Bytes of the body as the Content-Length header says."""
        self.exception: BaseException | None = None
        """What the application failed with: nobody handled it, or the answer was 5xx."""
        self.caught: BaseException | None = None
        """What was raised and handled on the way; counts once the answer is 5xx."""
        self.streams = False
        """Whether the response is an event stream: its duration is no latency."""
        self.duration_s = 0.0
        self.end_ns = 0
        self.series: RequestSeries
        """What it shares with requests of its kind; known at its end, as are these four."""
        self.connection_key: ConnectionKey
        """What the environ says in the same words each time; see `request.attributes`."""
        self.client: str
        """Address of the client, or empty."""
        self.query: str
        self.thread_id: int
        """The thread in which the request ended."""
        self.raw_ids: bytes
        """Trace ID and span ID, 16 and 8 bytes; set by `Recorder.complete`."""
        self.start_ns = time.time_ns()
        """Unix time in nanoseconds."""
        self._began = time.perf_counter()

    # the route is known only after routing: looked up when somebody asks
    @property
    def route(self) -> str | None:
        """The route's template, such as `/orders/<int:order_id>`."""
        found = self._route
        if found is None and self.request is not None:
            self._route = found = self.recorder.route_of(self.request)
        return found

    @route.setter
    def route(self, value: str | None) -> None:
        self._route = value
