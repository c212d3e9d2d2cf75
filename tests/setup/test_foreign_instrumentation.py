"""The real FlaskInstrumentor beside us: one span and one count for each request, and one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from proletto_otel import setup_telemetry
from proletto_otel.testing import TelemetryCapture

DURATION = "http.server.request.duration"
INSTRUMENTATION = "opentelemetry.instrumentation.flask"


@pytest.fixture(autouse=True)
def their_own_middleware() -> Iterator[None]:
    """Their class is as it was before the test."""
    before = OpenTelemetryMiddleware.__call__
    yield
    OpenTelemetryMiddleware.__call__ = before


@pytest.fixture
def instrumented_everywhere() -> Iterator[None]:
    """As `opentelemetry-instrument` does: every `flask.Flask()` is born instrumented."""
    instrumentor = FlaskInstrumentor()
    instrumentor.instrument(skip_dep_check=True)
    yield
    instrumentor.uninstrument()


def made() -> Any:
    """An application of whatever class `flask.Flask` is now."""
    app = flask.Flask("shop")
    app.add_url_rule("/", view_func=lambda: "hello")
    return app


def born(**more: Any) -> Any:
    """Instrumented before the set-up."""
    app = made()
    FlaskInstrumentor.instrument_app(app, **more)
    setup_telemetry(app)
    return app


def below_a_proxy_fix() -> Any:
    """Instrumented, wrapped, then set up."""
    app = made()
    FlaskInstrumentor.instrument_app(app)
    app.wsgi_app = ProxyFix(app.wsgi_app)
    setup_telemetry(app)
    assert isinstance(app.wsgi_app.wsgi_app, ProxyFix)
    return app


def after_the_setup() -> Any:
    """Set up, then instrumented."""
    app = made()
    setup_telemetry(app)
    FlaskInstrumentor.instrument_app(app)
    return app


def with_contrib() -> Any:
    """Instrumented before a set-up that asks for their spans."""
    app = made()
    FlaskInstrumentor.instrument_app(app)
    setup_telemetry(app, instrumentation="contrib")
    return app


def seen_once(capture: TelemetryCapture, app: Any) -> bool:
    """Whether a request made one server span and one count, and nothing of theirs beside it."""
    answer = app.test_client().get("/")
    servers = [span for span in capture.spans if span["kind"] == "SERVER"]
    names = {metric["name"] for metric in capture.metrics}
    return (
        answer.data == b"hello"
        and len(servers) == 1
        and len(capture.spans) == 1
        and capture.metric(DURATION, http_route="/") == 1
        and "http.server.duration" not in names
    )


@pytest.mark.parametrize("make", [born, below_a_proxy_fix, after_the_setup, with_contrib])
def test_request_is_seen_once(telemetry_capture: TelemetryCapture, make: Callable[[], Any]) -> None:
    """In whichever order the two came."""
    assert seen_once(telemetry_capture, make())


def wrapped_inside() -> Any:
    """Wrapped by hand, then set up: theirs is below ours."""
    app = made()
    app.wsgi_app = OpenTelemetryMiddleware(app.wsgi_app)
    setup_telemetry(app)
    return app.wsgi_app


def wrapped_around() -> Any:
    """Set up, then wrapped: theirs is above ours."""
    app = made()
    setup_telemetry(app)
    app.wsgi_app = ProxyFix(OpenTelemetryMiddleware(app.wsgi_app))
    return app.wsgi_app


def wrapped_for_the_server() -> Any:
    """As gunicorn gets it: the application itself knows nothing of what is around it."""
    app = made()
    setup_telemetry(app)
    return OpenTelemetryMiddleware(ProxyFix(app))


@pytest.mark.parametrize("make", [wrapped_inside, wrapped_around, wrapped_for_the_server])
def test_their_middleware_passes_requests_on(
    telemetry_capture: TelemetryCapture, make: Callable[[], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrapped by hand, on whichever side of ours."""
    client = Client(make())
    assert "hello" == client.get("/").text
    assert "hello" == client.get("/").text

    servers = [span for span in telemetry_capture.spans if span["kind"] == "SERVER"]
    assert (2, 2) == (len(servers), len(telemetry_capture.spans))
    assert 2 == telemetry_capture.metric(DURATION, http_route="/")
    assert 1 == capsys.readouterr().out.count("OpenTelemetryMiddleware wraps the application")


def test_their_middleware_around_other_applications_works(
    telemetry_capture: TelemetryCapture,
) -> None:
    """What is not ours keeps the spans that its author asked for."""

    def other(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"other"]

    app = made()
    setup_telemetry(app)
    Client(app).get("/")
    both = DispatcherMiddleware(app, {"/other": OpenTelemetryMiddleware(other)})
    Client(both).get("/other")

    servers = [span["name"] for span in telemetry_capture.spans if span["kind"] == "SERVER"]
    assert ["GET", "GET /"] == sorted(servers)


def test_application_born_instrumented_is_seen_once(
    telemetry_capture: TelemetryCapture, instrumented_everywhere: None
) -> None:
    """The class that `opentelemetry-instrument` puts in the place of `flask.Flask`."""
    app = made()
    setup_telemetry(app)

    assert "_InstrumentedFlask" == type(app).__name__
    assert seen_once(telemetry_capture, app)


def test_it_is_said_in_one_line(
    telemetry_capture: TelemetryCapture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever started it learns why its spans are missing."""
    born()
    born()

    assert 1 == capsys.readouterr().out.count(f"{INSTRUMENTATION} is active")


def test_spans_of_a_provider_of_theirs_end(telemetry_capture: TelemetryCapture) -> None:
    """A provider that was set before us exports to the same collector: no span goes there."""
    theirs = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    app = born(tracer_provider=provider)

    assert seen_once(telemetry_capture, app)
    assert () == theirs.get_finished_spans()
