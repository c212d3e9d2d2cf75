"""No error goes unseen, and what is none is not reported: whoever caught it, whatever it became."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest
from flask import Flask, abort, jsonify
from werkzeug.exceptions import InternalServerError

from tests.request.conftest import Rig


def fail() -> None:
    raise ZeroDivisionError("boom")


def catch_all(app: Flask) -> None:
    """Answers JSON, whatever was raised."""

    @app.errorhandler(Exception)
    def answer(error: Exception) -> Any:
        return jsonify(error="sorry"), 500

    app.add_url_rule("/x", "x", fail)


def aborts(app: Flask) -> None:
    """Catches in the view, and gives up."""

    def view() -> None:
        try:
            fail()
        except ZeroDivisionError:
            abort(500)

    app.add_url_rule("/x", "x", view)


def wraps_it(app: Flask) -> None:
    """Names the exception itself, outside of any `except`."""

    def view() -> None:
        try:
            fail()
        except ZeroDivisionError as caught:
            error = caught
        raise InternalServerError(original_exception=error)

    app.add_url_rule("/x", "x", view)


def chains(app: Flask) -> None:
    """Through two answers: 503 because of 500 because of the error."""

    def view() -> None:
        try:
            try:
                fail()
            except ZeroDivisionError:
                abort(500)
        except InternalServerError as error:
            abort(503, response=None) if error is None else abort(503)

    app.add_url_rule("/x", "x", view)


def blueprint(app: Flask) -> None:
    """A handler of one exception, of one blueprint."""
    from flask import Blueprint

    part = Blueprint("part", __name__)
    part.register_error_handler(ZeroDivisionError, lambda error: ("sorry", 502))
    part.add_url_rule("/x", "x", fail)
    app.register_blueprint(part)


def nobody(app: Flask) -> None:
    """Flask answers."""
    app.add_url_rule("/x", "x", fail)


def restful(app: Flask) -> None:
    """Flask-RESTful answers by itself."""
    import flask_restful

    class Thing(flask_restful.Resource):
        def get(self) -> None:
            fail()

    flask_restful.Api(app).add_resource(Thing, "/x")


def restx(app: Flask) -> None:
    """Flask-RESTX, too."""
    import flask_restx

    api = flask_restx.Api(app)

    @api.route("/x")
    class Thing(flask_restx.Resource):
        def get(self) -> None:
            fail()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize(
    "does", [catch_all, aborts, wraps_it, chains, blueprint, nobody, restful, restx]
)
def test_a_5xx_with_an_exception_on_the_way_is_reported_once(
    does: Callable[[Flask], None], ours_first: bool
) -> None:
    """With that exception, wherever it was caught; the span and the count tell of it too."""
    app = Flask("shop")
    rig = Rig(app) if ours_first else None
    does(app)
    rig = rig or Rig(app)
    reply = rig.call("/x")
    rig.unwatch()

    assert "5" == reply.status[0]
    assert ["boom"] == [str(error) for error, _ in rig.reports]
    assert ["ZeroDivisionError"] == [key[-1] for key in rig.series()]
    assert ["boom"] == [e["attributes"]["exception.message"] for e in rig.span["events"]]


def turned_into_404(app: Flask) -> None:
    @app.errorhandler(ZeroDivisionError)
    def answer(error: Exception) -> Any:
        return "no such thing", 404

    app.add_url_rule("/x", "x", fail)


def aborted_404(app: Flask) -> None:
    def view() -> None:
        try:
            fail()
        except ZeroDivisionError:
            abort(404)

    app.add_url_rule("/x", "x", view)


def deliberate(app: Flask) -> None:
    """A 503 that nothing caused."""
    app.add_url_rule("/x", "x", lambda: abort(503))


def restful_404(app: Flask) -> None:
    import flask_restful

    class Thing(flask_restful.Resource):
        def get(self) -> None:
            flask_restful.abort(404, message="none")

    flask_restful.Api(app).add_resource(Thing, "/x")


def restx_404(app: Flask) -> None:
    import flask_restx

    api = flask_restx.Api(app)

    @api.route("/x")
    class Thing(flask_restx.Resource):
        def get(self) -> None:
            api.abort(404, "none")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("does", [turned_into_404, aborted_404, deliberate, restful_404, restx_404])
def test_what_is_no_error_is_not_reported(does: Callable[[Flask], None]) -> None:
    """4xx, and a 5xx that no exception led to."""
    app = Flask("shop")
    rig = Rig(app)
    does(app)
    rig.call("/x")
    rig.unwatch()

    assert [] == rig.reports


@pytest.mark.parametrize("kind", [asyncio.CancelledError, CancelledError, GeneratorExit])
def test_cancelled_is_no_error(rig: Rig, kind: type[BaseException]) -> None:
    """Whoever asked has gone."""

    def wsgi(environ: Any, start_response: Any) -> Any:
        raise kind

    with pytest.raises(kind):
        rig.call("/", wsgi=rig.wrap(wsgi))

    assert [] == rig.reports


def test_metrics_tell_the_scheme(rig: Rig) -> None:
    """`url.scheme` is required by the conventions on both metrics of HTTP servers."""
    rig.call("/", environ={"wsgi.url_scheme": "https"})
    families = {f.name: f for f in rig.registry.collect()}

    for name in ("http.server.request.duration", "http.server.active_requests"):
        assert ["https"] == [dict(p.attributes)["url.scheme"] for p in families[name].points]


def test_an_event_stream_is_counted_but_no_latency(rig: Rig) -> None:
    """How long somebody listened says nothing about how fast the service is."""
    from flask import Response

    rig.app.add_url_rule(
        "/events", "events", lambda: Response(iter(["data: 1\n\n"]), mimetype="text/event-stream")
    )
    rig.call("/events")

    assert {} == rig.series()
    assert {("GET", "/events", 200): 1} == rig.series("proletto.http.server.stream.duration")
    assert "/events" == rig.span["attributes"]["http.route"]
    assert ({}, 1) == (
        rig.route_stats.section()[0]["older"],
        rig.route_stats.section()[0]["minutes"][0][1],
    )
    assert [] == rig.route_stats.section()[0]["slowest"]


def test_a_websocket_that_closes_is_no_error(rig: Rig) -> None:
    """Flask-Sock tells gunicorn with a StopIteration that it took the connection over."""

    def wsgi(environ: Any, start_response: Any) -> Any:
        raise StopIteration

    with pytest.raises(StopIteration):
        rig.call("/", wsgi=rig.wrap(wsgi), upgrade="websocket")

    assert [] == rig.reports
    assert {("GET", 101): 1} == rig.series("proletto.http.server.stream.duration")
    assert {} == rig.series()


def test_a_mounted_application_counts_once_with_its_mount(rig: Rig) -> None:
    """A dispatcher of which both applications are set up; the route begins with the mount point."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from proletto_otel.request import flask_adapter

    inner = Flask("inner")
    inner.add_url_rule("/orders/<int:number>", "order", lambda number: str(number))
    inner.wsgi_app = rig.wrap(inner.wsgi_app)  # type: ignore[method-assign]
    unwatch = flask_adapter.watch(inner)
    both = rig.wrap(DispatcherMiddleware(rig.plain_wsgi, {"/b": inner.wsgi_app}))
    rig.call("/b/orders/7", wsgi=both)
    rig.call("/b/metrics", wsgi=both)
    rig.call("/orders/7", wsgi=both)
    unwatch()

    assert {
        ("GET", "/b/orders/<int:number>", 200): 1,
        ("GET", "/orders/<int:number>", 200): 1,
    } == rig.series()
    assert 2 == len(rig.spans)
    assert {("GET",): 0} == rig.series("http.server.active_requests")


def test_labels_of_the_application_are_added_by_name(rig: Rig) -> None:
    """A tenant beside method, route and status; what cannot be one is left out."""
    from proletto_otel.request.labels import RequestLabels

    rig.recorder.request_labels = RequestLabels(
        lambda environ: {"tenant": environ["HTTP_X_TENANT"], "http.route": "/forged", "no name": 1}
    )
    rig.call("/", x_tenant="acme")
    (point,) = next(f for f in rig.registry.collect() if f.kind == "histogram").points

    assert {
        "http.request.method": "GET", "http.route": "/", "http.response.status_code": 200,
        "url.scheme": "http", "tenant": "acme",
    } == dict(point.attributes)  # fmt: skip


def test_labels_beyond_the_limit_are_counted_together(rig: Rig) -> None:
    """A label that somebody outside chooses makes no series without end; no request is lost."""
    from proletto_otel.request.labels import MAX_SETS, RequestLabels

    tenants = iter(range(2 * MAX_SETS))
    rig.recorder.request_labels = RequestLabels(lambda environ: {"tenant": next(tenants)})
    for _ in range(2 * MAX_SETS):
        rig.call("/")
    counts = rig.series()

    assert MAX_SETS + 1 == len(counts)
    assert MAX_SETS == counts["GET", "/", 200, True]
    assert 2 * MAX_SETS == sum(counts.values())


def test_labels_that_fail_cost_the_labels(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is counted without them."""
    from proletto_otel.core import internal_errors
    from proletto_otel.request.labels import RequestLabels

    monkeypatch.setattr(internal_errors, "strict", False, raising=False)
    monkeypatch.delenv("PROLETTO_STRICT", raising=False)
    rig.recorder.request_labels = RequestLabels(lambda environ: 1 / 0)  # type: ignore[arg-type,return-value]
    rig.call("/")

    assert {("GET", "/", 200): 1} == rig.series()
