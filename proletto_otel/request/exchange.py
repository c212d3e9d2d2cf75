"""One request, from the call of the WSGI application to the close of its body.

The object is at once the request's context, the `start_response` the application sees and the
iterable the server gets. Its attributes are listed in `request.exchange_state`; what is counted and
sent at the end lives in `request.completion`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.context import Context

from proletto_otel.core.context import _current
from proletto_otel.core.conventions import REQUEST_ID_HEADER
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.trace_context import enter_trace, leave_trace
from proletto_otel.request.exchange_state import ExchangeState
from proletto_otel.request.wsgi import (
    CANCELLED,
    COMPLETE,
    GONE,
    STREAMS,
    Body,
    Failing,
    Headers,
    is_websocket,
    start_nothing,
)

NO_CONTEXT = Context()
"""In place of the trace context of a request that is closed."""

# Bound here without a function around them: one request enters and leaves its contexts four times.
enter_request = _current.set
leave_request = _current.reset

_ID_HEADER = REQUEST_ID_HEADER.lower()


class Exchange(ExchangeState):
    """One request from its first byte to the end of its body.

    One object on purpose. As three (what the application sees, what the server gets, what is
    counted at the end) every request would pay for two more objects, 0.4 to 1.0 µs, and for a step
    more at each attribute that all three need.
    """

    __slots__ = ()  # all of them are in `ExchangeState`

    # --- the application's side ---------------------------------------------------------------

    def start_response(
        self, status: str, headers: Headers, exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Read status and size, add the request ID, and pass on to the server."""
        try:
            self.status = int(status[:3]) if status[:3].isdecimal() else 0
            if exc_info is not None and exc_info[1] is not None:
                self.failed(exc_info[1])
            elif self.caught is not None and self.status >= 500:
                self.failed(self.caught)
            # One pass over the headers for all that is read of them, in place and without a call:
            # `start_response`, headers and body are the second largest part of a request's cost.
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
            headers = own
        except Exception:
            with suppressed("request.start_response"):
                raise
        if exc_info is None:
            return self.respond(status, headers)
        return self.respond(status, headers, exc_info)

    def failed(self, error: BaseException) -> None:
        """The application ends with *error*, unhandled; reported once per exception."""
        if self.exception is error or type(error).__name__ in CANCELLED:
            return
        if self.exception is None:
            self.exception = error
        # `self.error` was reported already, by a handler that raised it again
        if self.error is not error and not isinstance(error, KeyboardInterrupt):
            try:
                self.recorder.failed(self, error)
            except Exception:
                with suppressed("request.report"):
                    raise

    def broke(self, error: BaseException) -> None:
        """The application raised instead of returning a body."""
        if isinstance(error, StopIteration) and is_websocket(self.environ, self.status):
            self.status = 101  # so Flask-Sock tells gunicorn that the connection was taken over
            self.finish()
            return
        self.failed(error)
        if isinstance(error, Exception):
            # what every WSGI server answers now, whatever the application began to say
            self.status, self.response_size = 500, None
        self.finish()

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

    def _is_file(self, body: Any, wrapper: Any) -> bool:
        """Leave a file to the server, which sends it with sendfile(2) if it is still itself."""
        if isinstance(wrapper, type):
            if not isinstance(body, wrapper):
                return False
            file: Any = body
            close = getattr(file, "close", None)
            try:
                file.close = self.close  # the server calls it when the file is sent
            except AttributeError:  # it takes no attribute: treated as any other body
                return False
            self._close = close
            return True
        if hasattr(body, "fileno") and hasattr(body, "read"):  # uWSGI: the file itself comes back
            self.finish()
            return True
        return False

    # --- the server's side --------------------------------------------------------------------

    def __iter__(self) -> Iterator[bytes]:
        """Give the server the body, piece by piece."""
        return iter(self.ready) if self.rest is None else self._stream(self.rest)

    def _stream(self, rest: Iterator[bytes]) -> Iterator[bytes]:
        """While the application runs for its body, this is the current request."""
        yield from self.ready
        # Entered and left around each piece, because the server's code runs between two pieces and
        # may serve another request in the same thread or greenlet.
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
        # elapsed by the clock that nobody sets; the end is derived, so that both always agree
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
            self.respond = start_nothing

    def __del__(self) -> None:
        # A server that never closes the body: the request is over when nobody holds it any more.
        # The collector may run between any two instructions, even inside a lock of ours or a
        # `ContextVar.set`, which CPython 3.10 and 3.11 survive only if no variable is set here: put
        # it aside, no more.
        if not self.done:
            self.recorder.abandoned.append((self, time.perf_counter()))
