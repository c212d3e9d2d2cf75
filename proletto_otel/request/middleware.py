"""The outermost WSGI layer: it sees every request first and its body last.

It opens an `Exchange`, makes it the current one while the application runs, and gives the server
an iterable that ends it. Nothing of ours that fails changes the response.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proletto_otel.core.context import current_request
from proletto_otel.core.conventions import HTTP_SERVER_ACTIVE_REQUESTS
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.core.metrics.registry import Cell
from proletto_otel.core.trace_context import enter_trace, leave_trace
from proletto_otel.request.attributes import METHODS, method_of, path_of
from proletto_otel.request.completion import Recorder
from proletto_otel.request.exchange import Exchange, enter_request, leave_request
from proletto_otel.request.propagation import accept_or_generate
from proletto_otel.request.span_start import RequestTracer
from proletto_otel.request.wsgi import Body, Environ, StartResponse

WsgiApp = Callable[[dict[str, Any], StartResponse], Body]
Endpoint = Callable[[dict[str, Any]], "WsgiApp | None"]
"""Says what answers a request in place of the application; None: the application does."""


class Exclusions:
    """Paths that are neither traced nor counted: ours, and patterns of the user.

    Args:
        paths: Exact paths, below the mount point.
        patterns: As OpenTelemetry's instrumentations take them (`OTEL_PYTHON_EXCLUDED_URLS`):
            searched anywhere in the URL, so `health` excludes `/a/health` too.
        below: A path that is excluded with everything below it; empty: none.
    """

    def __init__(
        self, paths: Iterable[str] = (), patterns: Iterable[str] = (), below: str = ""
    ) -> None:
        self.below = below.rstrip("/")
        self.paths = frozenset((*paths, *([self.below] if self.below else [])))
        self.patterns = [p for p in patterns if _compiles(p)]
        # one search for all patterns: each would cost a search through the URL of every request
        joined = "|".join(f"(?:{p})" for p in self.patterns)
        self._matches = re.compile(joined).search if self.patterns else None
        self._prefix = f"{self.below}/"

    def covers(self, path: str, environ: Environ) -> bool:
        """Whether the request for *path* (without the mount point) is excluded."""
        if path in self.paths or (self.below and path.startswith(self._prefix)):
            return True
        return self._matches is not None and self._matches(_url(environ)) is not None


def _url(environ: Environ) -> str:
    get = environ.get
    host = get("HTTP_HOST") or f"{get('SERVER_NAME', '')}:{get('SERVER_PORT', '')}"
    path = f"{get('SCRIPT_NAME', '')}{get('PATH_INFO', '')}"
    query = f"?{get('QUERY_STRING')}" if get("QUERY_STRING") else ""
    return f"{get('wsgi.url_scheme', 'http')}://{host}{path}{query}"


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
    """WSGI application around `app.wsgi_app`: gives each request its IDs and its span.

    Args:
        wsgi_app: the application's WSGI callable.
        tracer: starts the request's span.
        recorder: ends the request.
        ensure: makes sure that this process is active; called at each request, so cheap.
        exclusions: paths that get a request ID and nothing else.
        trust_request_id: whether a caller's X-Request-ID is kept.
        endpoints: what answers in place of the application, by path (probes, `/metrics`).
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
        endpoints: Mapping[str, Endpoint] | None = None,
    ) -> None:
        self.wsgi_app = wsgi_app
        self.tracer = tracer
        self.recorder = recorder
        self.ensure = ensure
        self.exclusions = exclusions or Exclusions()
        self.trust_request_id = trust_request_id
        self._endpoints = endpoints or {}
        self._open: weakref.WeakSet[Exchange] | None = None
        self._active = recorder.source.updown(HTTP_SERVER_ACTIVE_REQUESTS)
        self._cells: dict[tuple[str, str], Cell] = {}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Body:
        """Serve one request."""
        path = environ.get("PATH_INFO", "")
        outer = current_request()
        if type(outer) is Exchange and _is_same(outer, environ):
            # Excluded here: the outer application counts it no more either.
            if outer.active is not None and self.exclusions.covers(path, environ):
                outer.recorder.exclude(outer)
            endpoint = self._endpoints.get(path)
            app = self.wsgi_app if endpoint is None else endpoint(environ) or self.wsgi_app
            return app(environ, start_response)
        # Without telemetry the request is still answered: a failure of ours ends here.
        try:
            exchange = self.open(environ, start_response)
        except Exception:
            with suppressed("request.start"):
                raise
            return self.wsgi_app(environ, start_response)
        token, attached = enter_request(exchange), enter_trace(exchange.otel)
        # By dictionary, before routing: probes cost the application nothing and answer while its
        # own routes fail.
        endpoint = self._endpoints.get(path)
        try:
            app = self.wsgi_app if endpoint is None else endpoint(environ) or self.wsgi_app
            body = app(environ, exchange.start_response)
            return exchange.over(body, environ.get("wsgi.file_wrapper"))
        except BaseException as error:
            # Raised on: the server answers and logs as it would without us.
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
        # most paths are ASCII and below no mount point: then nothing has to be joined or decoded
        is_simple = below and below.isascii() and not environ.get("SCRIPT_NAME")
        exchange.path = below if is_simple else path_of(environ)
        if self.exclusions.covers(below, environ):
            self.tracer.start_unsampled(exchange, environ)
        else:
            self.tracer.start(exchange, environ)
            kind = method, "https" if environ.get("wsgi.url_scheme") == "https" else "http"
            active = self._cells.get(kind)
            if active is None:
                active = self._cells.setdefault(kind, self._active.cell(kind))
            # Read and written by one instruction after the other, without a lock: a thread switch
            # between them does not happen in CPython, which switches only at calls and jumps back.
            exchange.active = active
            active.value += 1
        inbound = environ.get("HTTP_X_REQUEST_ID") if self.trust_request_id else None
        # After the span: where the caller sent no request ID, the trace ID is used as one.
        exchange.request_id = accept_or_generate(inbound, exchange.trace_id)
        exchange.done = False  # last: a request that failed to open is never counted as finished
        if self._open is not None:
            self._open.add(exchange)
        return exchange

    def remember_open(self) -> None:
        """For tests: remember the requests that are not closed yet, for `end_open_requests`."""
        self._open = weakref.WeakSet()

    def end_open_requests(self) -> None:
        """For tests: end every request that is still open; test clients often leave them so."""
        for exchange in list(self._open or ()):
            exchange.finish()
        self.recorder.gather()


def _is_same(outer: Exchange, environ: Environ) -> bool:
    """Whether another application that was set up, too, mounts this one: it is one request."""
    if outer.done:
        return False
    # the input stream stays the same where a layer between copies the environ
    return outer.environ.get("wsgi.input") is environ.get("wsgi.input", environ)
