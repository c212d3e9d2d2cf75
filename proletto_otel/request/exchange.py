"""One request, from the call of the WSGI application to the close of its body.

The object is at once the request's context, the `start_response` the application sees and the
iterable the server gets. What is counted and sent at the end lives in `request.completion`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context

from proletto_otel.core.context import RequestContext, _current
from proletto_otel.core.conventions import REQUEST_ID_HEADER
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.registry import Cell
from proletto_otel.core.trace_context import enter_trace, leave_trace

if TYPE_CHECKING:
    from proletto_otel.request.attributes import ConnectionKey
    from proletto_otel.request.completion import Recorder, RequestSeries

StartResponse = Callable[..., Callable[[bytes], object]]
Body = Iterable[bytes]
Headers = list[tuple[str, str]]
Environ = dict[str, Any]

NO_CONTEXT = Context()
"""In place of the trace context of a request whose body is closed."""
GONE: Environ = {}
"""In place of the environ of a request that is over."""
STREAMS = ("text/event-stream", "multipart/x-mixed-replace")
"""Types of responses that go on for as long as somebody listens."""
CANCELLED = frozenset(("GeneratorExit", "CancelledError", "GreenletExit"))
"""By name, for asyncio and gevent may not be there: whoever waited for the answer has gone."""
COMPLETE = (list, tuple)
"""Bodies that are there as a whole."""

# without a call in between: one request enters and leaves its contexts four times
enter_request = _current.set
leave_request = _current.reset

_ID_HEADER = REQUEST_ID_HEADER.lower()


def _over(*_: Any) -> Callable[[bytes], object]:
    """Stands for the server once a request is over: nothing of it is held any longer."""
    return bool


class Failing:
    """A body that fails where the server asks for it, as it would have."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        raise self._error


class Exchange(RequestContext):
    """A request being answered.

    One object on purpose. As three (what the application sees, what the server gets, what is
    counted at the end) every request would pay for two more objects, 0.4 to 1.0 µs, and for a step
    more at each attribute that all three need.
    """

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
        """How a body is closed whose own `close` we replaced."""
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

    # --- the application's side ---------------------------------------------------------------

    def start_response(
        self, status: str, headers: Headers, exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Note the status, add the request ID, and pass on to the server."""
        try:
            self.status = int(status[:3]) if status[:3].isdecimal() else 0
            if exc_info is not None and exc_info[1] is not None:
                self.failed(exc_info[1])
            elif self.caught is not None and self.status >= 500:
                self.failed(self.caught)
            headers = self._noted(headers)
        except Exception:
            with suppressed("request.start_response"):
                raise
        if exc_info is None:
            return self.respond(status, headers)
        return self.respond(status, headers, exc_info)

    def _noted(self, headers: Headers) -> Headers:
        size, own = None, []
        for header in headers:
            name = header[0].lower()
            if name != _ID_HEADER:
                own.append(header)
                if name == "content-length":
                    size = header[1]
                elif name == "content-type" and header[1].startswith(STREAMS):
                    self.streams = True
        self.response_size = int(size) if size is not None and size.isdecimal() else None
        own.append((REQUEST_ID_HEADER, self.request_id))
        return own

    def failed(self, error: BaseException) -> None:
        """The application ends with *error*, unhandled; reported once per exception."""
        if self.exception is error or type(error).__name__ in CANCELLED:
            return
        if self.exception is None:
            self.exception = error
        if self.error is not error and not isinstance(error, KeyboardInterrupt):
            try:
                self.recorder.failed(self, error)
            except Exception:
                with suppressed("request.report"):
                    raise

    def broke(self, error: BaseException) -> None:
        """The application raised instead of returning a body."""
        if isinstance(error, StopIteration) and self.is_websocket():
            self.status = 101  # so Flask-Sock tells gunicorn that the connection was taken over
            self.finish()
            return
        self.failed(error)
        if isinstance(error, Exception):
            # what every WSGI server answers now, whatever the application began to say
            self.status, self.response_size = 500, None
        self.finish()

    def exclude(self) -> None:
        """Neither count nor trace this request after all."""
        if self.active is not None:
            self.active.value -= 1
            self.active = None

    def is_websocket(self) -> bool:
        """Whether the client asked to speak WebSocket from here on, and was not refused."""
        upgrade = self.environ.get("HTTP_UPGRADE", "")
        return bool(upgrade) and upgrade.lower() == "websocket" and self.status in (0, 101, 200)

    def over(self, body: Body, wrapper: Any) -> Body:
        """The application returned *body*: give the server what ends this request with it."""
        if type(body) in COMPLETE:
            self.finish()  # nothing runs any more, and the server may ask for its length
            return body
        if wrapper is not None and self._is_file(body, wrapper):
            return body
        self.body = body
        self.rest = iter(body)
        if self.response_size is not None and self._take():
            self.finish()  # before the server answers: a killed process counted what it answered
        return self

    def _take(self) -> bool:
        """Take a body of known size while the application's context is current; whether it is all.

        Most come in one piece: then nothing runs for them later. The first piece of a long one
        waits until the server asks; it sends no header before it has that piece either.
        """
        rest = self.rest
        assert rest is not None  # `over` set it
        try:
            self.ready = first = (next(rest),)
            if len(first[0]) == self.response_size:
                self.ready = (*first, next(rest))
        except StopIteration:
            self.rest = None
            return True
        except Exception as error:
            self.failed(error)
            self.rest = Failing(error)
        return False

    def _is_file(self, body: Body, wrapper: Any) -> bool:
        """Leave a file to the server, which sends it with sendfile(2) if it is still itself."""
        if isinstance(wrapper, type):
            return isinstance(body, wrapper) and self._hook(body)
        if hasattr(body, "fileno") and hasattr(body, "read"):  # uWSGI: the file itself comes back
            self.finish()
            return True
        return False

    def _hook(self, body: Any) -> bool:
        """Be told when *body* is closed; a wrapper that takes no attribute is wrapped as usual."""
        close = getattr(body, "close", None)
        try:
            body.close = self.close
        except AttributeError:
            return False
        self._close = close
        return True

    # --- the server's side --------------------------------------------------------------------

    def __iter__(self) -> Iterator[bytes]:
        """Hand out the body."""
        return iter(self.ready) if self.rest is None else self._stream(self.rest)

    def _stream(self, rest: Iterator[bytes]) -> Iterator[bytes]:
        """While the application runs for its body, this is the current request."""
        yield from self.ready
        advance = rest.__next__
        while True:
            token, attached = enter_request(self), enter_trace(self.otel)
            try:
                item = advance()
            except StopIteration:
                return
            except BaseException as error:
                self.failed(error)
                raise
            finally:
                leave_trace(attached)
                leave_request(token)
            yield item

    def close(self) -> None:
        """Close the application's body, then count the request."""
        close = self._close or getattr(self.body, "close", None)
        self.body = self._close = self.rest = None
        token, attached = enter_request(self), enter_trace(self.otel)
        try:
            if close is not None:
                close()
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            self.finish()
            leave_trace(attached)
            leave_request(token)
            # Nobody reads these any more, and the garbage collector need not walk through them
            # while the request waits for `Recorder.complete`.
            self.otel, self.ready, self.breadcrumbs = NO_CONTEXT, (), None

    def finish(self, ended: float = 0.0) -> None:
        """Count the request and send its span; the second call does nothing.

        Args:
            ended: When it was over, by `time.perf_counter`; 0 is now.
        """
        if self.done:
            return
        self.done = True
        self.duration_s = (ended or time.perf_counter()) - self._began
        self.end_ns = self.start_ns + int(self.duration_s * 1e9)
        try:
            self.recorder.finished(self)
        except Exception:
            with suppressed("request.finish"):
                raise
        finally:
            self.environ = GONE
            # its traceback holds our own frame, and that this object
            self.request = self.caught = None
            self.respond = _over

    def finish_late(self, ended: float) -> None:
        """Finish a request that nobody closed, as the current one."""
        token = enter_request(self)
        try:
            self.finish(ended)
        finally:
            leave_request(token)

    def __del__(self) -> None:
        # A server that never closes the body: the request is over when nobody holds it any more.
        # The collector comes at any moment, even inside a lock of ours or a `ContextVar.set`, which
        # CPython 3.10 and 3.11 survive only if no variable is set here: put it aside, no more.
        if not self.done:
            self.recorder.abandoned.append((self, time.perf_counter()))
