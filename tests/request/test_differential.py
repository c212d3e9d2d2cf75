"""Our request span against that of opentelemetry-instrumentation-flask, request by request.

Differences that stay, and why (everything else must be equal):

* No route (404, 405, redirect to the slash): theirs is named after the path, so a scan makes one
  span name per path; ours has the bare method.
* `server.address`, `server.port`: theirs is the Host header with its port, and the server's port;
  ours is the host alone, and the port the client asked for.
* `url.query`: ours has secret values redacted.
* `url.path`: theirs lacks the mount point of the application.
* `error.type`: theirs is the status code; ours names the exception where one was unhandled.
* Status message: ours has the qualified type and the cleaned text.
* Unhandled error with debug or testing on: theirs has no status code; ours has 500, which is what
  the client gets.
* Early answer of an earlier `before_request`: theirs has no span.
* `client.port`, `network.peer.*`: only theirs; `request_id` on a path with no span: only ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, redirect

from proletto_otel.request import contrib, flask_adapter
from proletto_otel.request.attributes import RequestFacts
from proletto_otel.request.middleware import Exclusions, TelemetryMiddleware
from proletto_otel.request.otel_setup import Tracing, build_tracer_provider
from proletto_otel.request.route_stats import RouteStats
from tests.request.conftest import Access, Rig

IGNORED = {"server.address", "server.port", "error.type", "request_id"}
ONLY_THEIRS = {"client.port", "network.peer.address", "network.peer.port"}


def shop() -> Flask:
    app = Flask("shop")
    app.register_error_handler(LookupError, lambda error: ("none", 404))
    pages = Blueprint("pages", __name__, url_prefix="/pages")
    pages.add_url_rule("/<path:name>", "page", lambda name: name)
    app.register_blueprint(pages)
    app.add_url_rule("/", "index", lambda: "hello", methods=["GET", "POST", "DELETE"])
    app.add_url_rule("/orders/<int:number>", "order", lambda number: {"number": number})
    app.add_url_rule("/fail", "fail", fail)
    app.add_url_rule("/lost", "lost", lost)
    app.add_url_rule("/away", "away", lambda: redirect("/"))
    app.add_url_rule("/teapot", "teapot", lambda: ("teapot", 418))
    app.add_url_rule("/busy", "busy", lambda: ("busy", 503))
    app.add_url_rule("/stream", "stream", lambda: Response(iter([b"a", b"b"])))
    app.add_url_rule("/list/", "list", lambda: "x")
    return app


def fail() -> str:
    raise ValueError("boom")


def lost() -> str:
    raise KeyError("x")


class ContribRig(Rig):
    """The same application with their span and our middleware."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        facts, queue = RequestFacts(), self.exporter.traces
        self.tracer = contrib.ContribTracer(queue.put_many, facts.values_at_start)
        tracing = Tracing(self.config, self.tracer, queue)
        tracing.provider = build_tracer_provider(self.config, queue, {}, self.tracer)
        self.recorder = contrib.ContribRecorder(
            queue.put_many, facts, flask_adapter.route_of, RouteStats(), source=self.registry,
            access=lambda e: self.access.append(Access(e)),
            report=lambda error, e: self.reports.append((error, e.request_id)),
        )  # fmt: skip
        app.wsgi_app = self.plain_wsgi  # type: ignore[method-assign]
        exclusions = Exclusions(["/metrics"], ["pages/hidden"])
        contrib.instrument(app, tracing, exclusions)
        app.wsgi_app = TelemetryMiddleware(  # type: ignore[method-assign]
            app.wsgi_app, self.tracer, self.recorder, exclusions=exclusions
        )


@pytest.fixture
def ours() -> Iterator[Rig]:
    rig = Rig(shop())
    yield rig
    rig.unwatch()


@pytest.fixture
def theirs() -> Iterator[Rig]:
    rig = ContribRig(shop())
    yield rig
    rig.unwatch()
    os.environ.pop(contrib.OPT_IN, None)


TABLE: list[tuple[str, dict[str, Any]]] = [
    ("/", {}),
    ("/", {"method": "POST"}),
    ("/", {"method": "HEAD"}),
    ("/", {"method": "OPTIONS"}),
    ("/", {"method": "delete"}),
    ("/orders/7", {}),
    ("/orders/7?page=2&sort=date", {}),
    ("/pages/a/b/c", {}),
    ("/fail", {}),
    ("/lost", {}),
    ("/away", {}),
    ("/teapot", {}),
    ("/busy", {}),
    ("/stream", {}),
    ("/orders/seven", {}),
    ("/", {"method": "PATCH"}),
    ("/list", {}),
    ("/", {"method": "BREW"}),
    ("/", {"user_agent": "curl/8.5", "environ": {"REMOTE_ADDR": "203.0.113.9"}}),
    ("/", {"environ": {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}}),
    ("/", {"environ": {"SERVER_PROTOCOL": "HTTP/1.0"}}),
    ("/", {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}),
    ("/", {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "tracestate": "vendor=abc"}),
    ("/", {"traceparent": "00-00000000000000000000000000000000-00f067aa0ba902b7-01"}),
    ("/", {"traceparent": "nonsense"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "request_of"), TABLE)
def test_same_span(ours: Rig, theirs: Rig, path: str, request_of: dict[str, Any]) -> None:
    """Name, kind, status, parent and stable attributes agree, but for the list above."""
    # the raw target, which theirs needs to see a query at all
    environ = {"RAW_URI": path, **request_of.get("environ", {})}
    request_of = {**request_of, "environ": environ}
    replies = [rig.call(path, **request_of) for rig in (ours, theirs)]

    mine, other = ours.span, theirs.span
    assert replies[0].body == replies[1].body
    if "http.route" in mine["attributes"]:
        assert other["name"] == mine["name"]
    else:
        assert mine["name"] in (request_of.get("method", "GET"), "HTTP")
    for part in ("kind", "status", "parent_id"):
        assert other[part] == mine[part], part
    assert _comparable(other["attributes"]) == _comparable(mine["attributes"])
    assert [e["name"] for e in other["events"]] == [e["name"] for e in mine["events"]]
    assert theirs.series() == ours.series()


def _comparable(attributes: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in attributes.items() if k not in IGNORED | ONLY_THEIRS}


def test_their_trace_has_the_id_that_was_returned(theirs: Rig) -> None:
    """A generated request ID is the trace ID there too."""
    reply = theirs.call()

    assert [theirs.span["trace_id"]] == reply.all("X-Request-ID")
    assert theirs.span["attributes"]["request_id"] == theirs.span["trace_id"]


@pytest.mark.parametrize("path", ["/metrics", "/pages/hidden"])
def test_excluded_paths_are_excluded_there_too(theirs: Rig, path: str) -> None:
    """One setting, one meaning."""
    theirs.call(path)

    assert [] == theirs.spans
    assert {} == theirs.series()


def test_paths_that_only_contain_an_excluded_word_are_kept(theirs: Rig) -> None:
    """Their search in the whole URL is anchored by us."""
    theirs.call("/pages/metrics?x=/metrics")

    assert theirs.span["name"] == "GET /pages/<path:name>"


def test_unhandled_error_is_reported_once_there_too(theirs: Rig) -> None:
    """The report, the count and the access line do not depend on who made the span."""
    theirs.call("/fail")

    assert ["boom"] == [str(e) for e, _ in theirs.reports]
    assert {("GET", "/fail", 500, "ValueError"): 1} == theirs.series()
    assert [500] == [a.status for a in theirs.access]
