"""A Flask application under the middleware alone: what it emits is kept, nothing is sent."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from opentelemetry.sdk.trace import TracerProvider
from werkzeug.test import EnvironBuilder

from proletto_otel.core import config as settings
from proletto_otel.core.metrics.registry import Histogram, Registry
from proletto_otel.export.memory import MemoryExporter
from proletto_otel.request import flask_adapter
from proletto_otel.request.attributes import RequestFacts
from proletto_otel.request.completion import Recorder
from proletto_otel.request.exchange import Exchange
from proletto_otel.request.middleware import Exclusions, TelemetryMiddleware
from proletto_otel.request.otel_setup import build_tracer_provider
from proletto_otel.request.propagators import set_propagators
from proletto_otel.request.request_id_propagator import RequestIdPropagator
from proletto_otel.request.route_stats import RouteStats
from proletto_otel.request.span_start import RequestTracer


class Access:
    """What the access log was given: read at once, because the exchange is emptied afterwards."""

    def __init__(self, exchange: Exchange) -> None:
        self.request_id = exchange.request_id
        self.status = exchange.status
        self.route = exchange.route
        self.duration_s = exchange.duration_s
        self.exception = exchange.exception


class Reply:
    """What the server got for one request."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [v for k, v in self.headers if k.lower() == name.lower()]


class Rig:
    """The application, what surrounds it, and what came out."""

    def __init__(self, app: Flask, **environment: str) -> None:
        self.app = app
        self.registry = Registry()
        self.exporter = MemoryExporter()
        self.access: list[Access] = []
        self.reports: list[tuple[BaseException, str]] = []
        self.config, _ = settings.load({}, {}, environment)
        facts = RequestFacts()
        queue = self.exporter.traces
        self.tracer = RequestTracer(
            queue.put_many, facts.values_at_start, trust_inbound=self.config.trust_inbound_trace
        )
        self.provider: TracerProvider = build_tracer_provider(
            self.config, queue, {"service.name": "shop"}, self.tracer
        )
        self.route_stats = RouteStats()
        self.recorder = Recorder(
            queue.put_many, facts, flask_adapter.route_of, self.route_stats, source=self.registry,
            access=lambda e: self.access.append(Access(e)),
            report=lambda error, e: self.reports.append((error, e.request_id)),
        )  # fmt: skip
        self.plain_wsgi = app.wsgi_app
        self.middleware = self.wrap(app.wsgi_app)
        app.wsgi_app = self.middleware  # type: ignore[method-assign]
        self.unwatch = flask_adapter.watch(app)

    def wrap(self, wsgi_app: Callable[..., Any]) -> TelemetryMiddleware:
        """The middleware around any WSGI application."""
        exclusions = Exclusions(["/metrics"], self.config.excluded_urls)
        return TelemetryMiddleware(wsgi_app, self.tracer, self.recorder, exclusions=exclusions)

    def call(
        self, path: str = "/", method: str = "GET", wsgi: Callable[..., Any] | None = None,
        close: bool = True, environ: dict[str, Any] | None = None, **headers: str,
    ) -> Reply:  # fmt: skip
        """Serve one request as a server does: call, iterate, close."""
        made = EnvironBuilder(path, "http://shop.example", method=method).get_environ()
        made |= {f"HTTP_{k.upper()}": v for k, v in headers.items()} | (environ or {})
        made["wsgi.input"] = io.BytesIO()
        got: list[Any] = ["", []]

        def start_response(status: str, fields: Any, exc_info: Any = None) -> Any:
            got[:] = [status, fields]
            return lambda data: None

        body = (wsgi or self.app.wsgi_app)(made, start_response)
        try:
            content = b"".join(body)
        finally:
            if close and hasattr(body, "close"):
                body.close()
        return Reply(got[0], got[1], content)

    @property
    def spans(self) -> list[dict[str, Any]]:
        """Finished spans, decoded from their bytes."""
        return self.exporter.spans()

    @property
    def span(self) -> dict[str, Any]:
        """The only span."""
        (only,) = self.spans
        return only

    def series(self, name: str = "http.server.request.duration") -> dict[tuple[Any, ...], float]:
        """Counts of a metric by its attribute values."""
        return {
            tuple(v for k, v in p.attributes if k != "url.scheme"): p.value.count
            if isinstance(p.value, Histogram)
            else p.value
            for f in self.registry.collect()
            if f.name == name
            for p in f.points
        }


@pytest.fixture
def app() -> Flask:
    """A small application; tests add routes."""
    app = Flask("shop")
    app.add_url_rule("/", "index", lambda: "hello")
    app.add_url_rule("/orders/<int:number>", "order", lambda number: {"number": number})
    return app


@pytest.fixture
def rig(app: Flask) -> Iterator[Rig]:
    """The application with default settings."""
    rig = Rig(app)
    yield rig
    rig.unwatch()


@pytest.fixture
def propagator(rig: Rig) -> Iterator[RequestIdPropagator]:
    """The process's propagators as set-up makes them, put back afterwards."""
    from opentelemetry import propagate

    before = propagate.get_global_textmap()
    own = RequestIdPropagator(rig.config.propagate_hosts)
    set_propagators(rig.config, rig.tracer, own)
    yield own
    propagate.set_global_textmap(before)
