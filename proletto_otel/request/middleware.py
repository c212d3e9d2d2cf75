"""The outermost WSGI layer: it sees every request first and its body last.

It opens an `Exchange`, makes it the current one while the application runs, and gives the server
an iterable that ends it. Nothing of ours that fails changes the response.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from proletto_otel.core.conventions import HTTP_SERVER_ACTIVE_REQUESTS
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.core.metrics.registry import Cell
from proletto_otel.core.trace_context import enter_trace, leave_trace
from proletto_otel.request.attributes import METHODS, method_of, path_of
from proletto_otel.request.completion import Recorder
from proletto_otel.request.exchange import (
    Body,
    Exchange,
    StartResponse,
    enter_request,
    leave_request,
)
from proletto_otel.request.propagation import accept_or_generate
from proletto_otel.request.span_start import RequestTracer

WsgiApp = Callable[[dict[str, Any], StartResponse], Body]


class Exclusions:
    """Paths that are neither traced nor counted: exact ones of ours, patterns of the user.

    A pattern of `OTEL_PYTHON_FLASK_EXCLUDED_URLS` is tried at the start of the path, with or
    without its first slash: `health` excludes `/health` and `/healthz`, not `/a/health`.
    """

    def __init__(self, paths: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        self.paths = frozenset(paths)
        self.patterns = [p for p in patterns if _compiles(p)]
        joined = "|".join(f"(?:{p})" for p in self.patterns)
        self._matches = re.compile(f"/?(?:{joined})").match if self.patterns else None

    def covers(self, path: str) -> bool:
        """Whether *path* (without the mount point) is excluded."""
        if path in self.paths:
            return True
        return self._matches is not None and self._matches(path) is not None


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error as error:
        log_rate_limited(
            f"excluded:{pattern}", "excluded URLs: %r is no regular expression (%s)", pattern, error
        )
        return False
    return True


class TelemetryMiddleware:
    """Wraps `app.wsgi_app`.

    Args:
        wsgi_app: the application's WSGI callable.
        tracer: starts the request's span.
        recorder: ends the request.
        ensure: makes sure that this process is active; called at each request, so cheap.
        exclusions: paths that get a request ID and nothing else.
        trust_request_id: whether a caller's X-Request-ID is kept.
    """

    def __init__(
        self,
        wsgi_app: WsgiApp,
        tracer: RequestTracer,
        recorder: Recorder,
        *,
        ensure: Callable[[], None] = lambda: None,
        exclusions: Exclusions | None = None,
        trust_request_id: bool = True,
    ) -> None:
        self.wsgi_app = wsgi_app
        self.tracer = tracer
        self.recorder = recorder
        self.ensure = ensure
        self.exclusions = found = exclusions or Exclusions()
        self._is_excluded = found.covers if found.patterns else found.paths.__contains__
        self.trust_request_id = trust_request_id
        self._open: weakref.WeakSet[Exchange] | None = None
        self._active = recorder.source.updown(HTTP_SERVER_ACTIVE_REQUESTS)
        self._cells: dict[str, Cell] = {}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Body:
        """Serve one request."""
        try:
            exchange = self.open(environ, start_response)
        except Exception:
            with suppressed("request.start"):
                raise
            return self.wsgi_app(environ, start_response)
        token, attached = enter_request(exchange), enter_trace(exchange.otel)
        try:
            body = self.wsgi_app(environ, exchange.start_response)
            return exchange.over(body, environ.get("wsgi.file_wrapper"))
        except BaseException as error:
            exchange.broke(error)
            raise
        finally:
            leave_trace(attached)
            leave_request(token)

    def open(self, environ: dict[str, Any], start_response: StartResponse) -> Exchange:
        """Give the request its IDs and its span, and count it as active."""
        self.ensure()
        if self.recorder.abandoned:
            self.recorder.gather()
        exchange = Exchange(self.recorder, environ, start_response)
        method = exchange.method = METHODS.get(environ["REQUEST_METHOD"]) or method_of(environ)
        below = environ.get("PATH_INFO", "")
        is_simple = below and below.isascii() and not environ.get("SCRIPT_NAME")
        exchange.path = below if is_simple else path_of(environ)
        if self._is_excluded(below):
            self.tracer.start_unsampled(exchange, environ)
        else:
            self.tracer.start(exchange, environ)
            exchange.active = active = self._cells.get(method) or self._cell(method)
            active.value += 1
        inbound = environ.get("HTTP_X_REQUEST_ID") if self.trust_request_id else None
        exchange.request_id = accept_or_generate(inbound, exchange.trace_id)
        exchange.done = False
        if self._open is not None:
            self._open.add(exchange)
        return exchange

    def _cell(self, method: str) -> Cell:
        return self._cells.setdefault(method, self._active.cell((method,)))

    def remember_open(self) -> None:
        """For tests: keep track of requests whose response was not closed yet."""
        self._open = weakref.WeakSet()

    def end_open_requests(self) -> None:
        """For tests: end every request that is still open; test clients often leave them so."""
        for exchange in list(self._open or ()):
            exchange.finish()
        self.recorder.gather()
