"""The way of one request through the outermost layer."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from flask import Flask, Response, copy_current_request_context, stream_with_context
from opentelemetry import context as context_api
from opentelemetry import trace
from werkzeug.test import EnvironBuilder

from proletto_otel.core import internal_errors
from proletto_otel.core.context import current_request, request_id
from proletto_otel.core.conventions import HTTP_SERVER_REQUEST_DURATION
from tests.request.conftest import Rig
from tests.waiting import PATIENCE_S

DURATION = "http.server.request.duration"


def test_one_request_leaves_one_span_one_count_one_access_line(rig: Rig) -> None:
    """A request is traced, counted and logged once, under its route's template."""
    rig.call("/orders/7")

    assert rig.span["name"] == "GET /orders/<int:number>"
    assert rig.span["kind"] == "SERVER"
    assert {("GET", "/orders/<int:number>", 200): 1} == rig.series()
    assert [200] == [a.status for a in rig.access]


def test_generated_request_id_is_the_trace_id(rig: Rig) -> None:
    """One paste finds everything."""
    reply = rig.call()

    assert [rig.span["trace_id"]] == reply.all("X-Request-ID")
    assert rig.span["trace_id"] == rig.span["attributes"]["request_id"]


def test_request_id_of_the_caller_is_kept_and_returned(rig: Rig) -> None:
    """A safe X-Request-ID is the request's ID, beside a trace ID of its own."""
    reply = rig.call(x_request_id="order-42.a_b")

    assert ["order-42.a_b"] == reply.all("X-Request-ID")
    assert rig.span["attributes"]["request_id"] == "order-42.a_b"


def test_request_id_header_of_the_application_is_replaced(rig: Rig) -> None:
    """The response carries the ID once, also when the application set its own."""

    @rig.app.get("/own")
    def own() -> Response:
        return Response("x", headers=[("x-request-id", "theirs"), ("X-Request-Id", "again")])

    reply = rig.call("/own", x_request_id="ours")

    assert ["ours"] == reply.all("X-Request-ID")


def test_header_list_of_the_application_is_left_alone(rig: Rig) -> None:
    """An application that reuses its list of headers does not see it grow."""
    shared = [("Content-Type", "text/plain")]

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", shared)
        return [b"x"]

    rig.call(wsgi=rig.wrap(wsgi))

    assert shared == [("Content-Type", "text/plain")]


def test_early_answer_of_a_before_request_is_traced(rig: Rig) -> None:
    """A request that no view saw still has its span, route and count."""
    rig.app.before_request(lambda: ("stop", 403))

    rig.call("/orders/7")

    assert {("GET", "/orders/<int:number>", 403): 1} == rig.series()
    assert rig.span["status"] == "UNSET"


@pytest.mark.parametrize("path", ["/no/such/page", "/wp-login.php"])
def test_unknown_paths_share_one_series_and_span_name(rig: Rig, path: str) -> None:
    """A scan for pages that are not there makes no series and no span name."""
    rig.call(path)

    assert {("GET", 404): 1} == rig.series()
    assert rig.span["name"] == "GET"
    assert rig.span["attributes"]["url.path"] == path


def test_wrong_method_and_slash_redirect_have_no_route(rig: Rig) -> None:
    """405 and the redirect to the slash are answered before a route matched."""
    rig.app.add_url_rule("/list/", "list", lambda: "x")

    rig.call("/orders/7", "POST")
    rig.call("/list")

    assert {("POST", 405): 1, ("GET", 308): 1} == rig.series()


def test_head_is_a_method_of_its_own(rig: Rig) -> None:
    """HEAD is counted as HEAD and sends no body."""
    reply = rig.call("/orders/7", "HEAD")

    assert reply.body == b""
    assert {("HEAD", "/orders/<int:number>", 200): 1} == rig.series()


def test_duration_reaches_to_the_close_of_the_body(rig: Rig) -> None:
    """A streamed body is measured and traced to its end, not to the return of the view."""
    seen: list[int] = []

    def stream() -> Iterator[bytes]:
        yield b"a"
        seen.append(len(rig.spans))
        yield b"b"

    rig.app.add_url_rule("/stream", "stream", lambda: Response(stream()))

    reply = rig.call("/stream")

    assert reply.body == b"ab"
    assert seen == [0]
    assert {("GET", "/stream", 200): 1} == rig.series()


def test_streamed_body_runs_within_its_request(rig: Rig) -> None:
    """Log lines and child spans of a stream belong to the request."""
    seen: list[Any] = []

    def stream() -> Iterator[bytes]:
        seen.extend((request_id(), trace.get_current_span().get_span_context().span_id))
        yield b"a"

    rig.app.add_url_rule("/stream", "stream", lambda: Response(stream()))

    reply = rig.call("/stream")

    assert [reply.all("X-Request-ID")[0], int(rig.span["span_id"], 16)] == seen


def test_body_that_the_server_never_closes_is_counted(rig: Rig) -> None:
    """The request is over when nobody holds the response any more."""
    rig.app.add_url_rule("/stream", "stream", lambda: Response(iter([b"a"])))

    rig.call("/stream", close=False)
    rig.recorder.gather()

    assert {("GET", "/stream", 200): 1} == rig.series()


def test_context_is_gone_after_the_request(rig: Rig) -> None:
    """The next request on the same thread sees nothing of this one."""
    rig.app.add_url_rule("/stream", "stream", lambda: Response(iter([b"a"])))

    for path in ("/", "/stream", "/none"):
        rig.call(path)

    assert current_request() is None
    assert context_api.Context() == context_api.get_current()


def test_context_is_gone_while_a_response_is_still_open(rig: Rig) -> None:
    """A test client that reads the body later does not make the next request a child."""
    rig.app.add_url_rule("/stream", "stream", lambda: Response(iter([b"a", b"b"])))
    client = rig.app.test_client()
    first = client.get("/stream", buffered=False)

    client.get("/orders/1").close()

    assert rig.span["parent_id"] == ""
    first.close()
    assert [2] == [len(rig.spans)]


def test_context_leaked_by_the_application_ends_with_the_request(rig: Rig) -> None:
    """An attach without detach in a view does not reach the next request."""

    @rig.app.get("/leak")
    def leak() -> str:
        span = rig.provider.get_tracer("app").start_span("left open")
        context_api.attach(trace.set_span_in_context(span))
        return "x"

    rig.call("/leak")
    rig.call("/")

    assert rig.spans[-1]["parent_id"] == ""
    assert rig.spans[-1]["kind"] == "SERVER"


def test_close_on_another_thread_is_harmless(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A body handed to another thread is finished there, without a failed detach."""
    rig.app.add_url_rule("/stream", "stream", lambda: Response(iter([b"a"])))
    thread = threading.Thread(target=lambda: rig.call("/stream"))

    thread.start()
    thread.join(PATIENCE_S)

    assert {("GET", "/stream", 200): 1} == rig.series()
    assert "detach" not in caplog.text


def test_stream_with_context_and_copied_context(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Flask's ways to carry its context leave one span and no complaint."""

    @rig.app.get("/both")
    def both() -> Response:
        @copy_current_request_context
        def work() -> None:
            seen.append(request_id())

        worker = threading.Thread(target=work)
        worker.start()
        worker.join(PATIENCE_S)
        return Response(stream_with_context(iter([b"a", b"b"])))

    seen: list[str | None] = []
    reply = rig.call("/both")

    assert reply.body == b"ab"
    assert [None] == seen  # Flask copies its own context only; `carry` takes the ID along
    assert rig.span["name"] == "GET /both"
    assert "detach" not in caplog.text


def test_test_client_inside_with_counts_once(rig: Rig) -> None:
    """Flask tears a request down twice there; it is one request."""
    with rig.app.test_client() as client:
        client.get("/").close()

    assert {("GET", "/", 200): 1} == rig.series()


def test_unhandled_exception_is_reported_once_and_answered_500(rig: Rig) -> None:
    """The error is on the span, in the count and reported once, with its request's ID."""

    @rig.app.get("/fail")
    def fail() -> str:
        raise ValueError("boom")

    reply = rig.call("/fail")

    assert reply.status.startswith("500")
    assert [("boom", reply.all("X-Request-ID")[0])] == [(str(e), i) for e, i in rig.reports]
    assert {("GET", "/fail", 500, "ValueError"): 1} == rig.series()
    assert rig.span["status"] == "ERROR"
    (event,) = rig.span["events"]
    assert event["attributes"]["exception.type"] == "ValueError"
    assert "raise ValueError" in event["attributes"]["exception.stacktrace"]


def test_propagating_exception_leaves_unchanged(rig: Rig) -> None:
    """In debug and testing the same exception object reaches the server, and is counted."""
    rig.app.testing = True
    error = ValueError("boom")

    @rig.app.get("/fail")
    def fail() -> str:
        raise error

    with pytest.raises(ValueError, match="boom") as caught:
        rig.call("/fail")

    assert error is caught.value
    assert [error] == [e for e, _ in rig.reports]
    assert {("GET", "/fail", 500, "ValueError"): 1} == rig.series()


def test_an_error_after_the_response_began_counts_as_the_500_it_is(rig: Rig) -> None:
    """A teardown that fails: the server takes the 200 back and answers 500."""
    rig.app.testing = True
    rig.app.teardown_request(lambda _: 1 / 0)

    @rig.app.get("/late")
    def late() -> str:
        return "fine"

    with pytest.raises(ZeroDivisionError):
        rig.call("/late")

    assert {("GET", "/late", 500, "ZeroDivisionError"): 1} == rig.series()
    assert 500 == rig.span["attributes"]["http.response.status_code"]
    assert [500] == [line.status for line in rig.access]


def test_base_exception_passes_and_keeps_its_route(rig: Rig) -> None:
    """A worker that exits in the middle of a request leaves a span that says where."""

    @rig.app.get("/exit")
    def leave() -> str:
        sys.exit(1)

    with pytest.raises(SystemExit):
        rig.call("/exit")

    assert rig.span["name"] == "GET /exit"
    assert rig.span["attributes"]["error.type"] == "SystemExit"
    assert current_request() is None


def test_error_handler_that_answers_is_no_error(rig: Rig) -> None:
    """An exception that the application turned into a response is its own affair."""

    @rig.app.errorhandler(KeyError)
    def handled(error: KeyError) -> tuple[str, int]:
        return "no such thing", 404

    @rig.app.get("/fail")
    def fail() -> str:
        raise KeyError("x")

    rig.call("/fail")

    assert {("GET", "/fail", 404): 1} == rig.series()
    assert [] == rig.reports


def test_error_handler_that_answers_5xx_is_an_error_by_what_was_raised(rig: Rig) -> None:
    """A handled failure counts as one, with the exception as its type."""
    rig.app.register_error_handler(Exception, lambda error: ("sorry", 503))

    @rig.app.get("/fail")
    def fail() -> str:
        raise ValueError("boom")

    rig.call("/fail")

    assert {("GET", "/fail", 503, "ValueError"): 1} == rig.series()
    assert "ERROR" == rig.span["status"]
    assert ["boom"] == [str(error) for error, _ in rig.reports]


def test_body_that_fails_midway_is_recorded(rig: Rig) -> None:
    """The client has its 200 already; the span and the count know better."""

    def stream() -> Iterator[bytes]:
        yield b"a"
        raise OSError("gone")

    rig.app.add_url_rule("/stream", "stream", lambda: Response(stream()))

    with pytest.raises(OSError, match="gone"):
        rig.call("/stream")

    assert {("GET", "/stream", 200, "OSError"): 1} == rig.series()
    assert ["gone"] == [str(e) for e, _ in rig.reports]
    assert "ERROR" == rig.span["status"]


def failing_close(content: Any) -> Response:
    def fail() -> None:
        raise OSError("close")

    response = Response(content)
    response.call_on_close(fail)
    return response


def test_failing_close_is_recorded_and_passed_on(rig: Rig) -> None:
    """An exception of the body's close reaches the server."""
    rig.app.add_url_rule("/close", "close", lambda: failing_close(iter([b"x"])))

    with pytest.raises(OSError, match="close"):
        rig.call("/close")

    assert {("GET", "/close", 200, "OSError"): 1} == rig.series()


def test_failing_close_of_a_response_that_was_counted_is_reported(rig: Rig) -> None:
    """A complete response is counted before the server sends it; what fails later is reported."""
    rig.app.add_url_rule("/close", "close", lambda: failing_close("x"))

    with pytest.raises(OSError, match="close"):
        rig.call("/close", X_Request_ID="late-1")

    assert {("GET", "/close", 200): 1} == rig.series()
    assert [("close", "late-1")] == [(str(error), request_id) for error, request_id in rig.reports]


def test_complete_response_is_counted_before_the_server_sends_it(rig: Rig) -> None:
    """A worker that is killed while it answers has counted what it answered."""
    environ = EnvironBuilder("/", "http://shop.example").get_environ()

    body = rig.app.wsgi_app(environ, lambda status, headers, exc_info=None: bool)

    assert {("GET", "/", 200): 1} == rig.series()
    assert b"".join(body)
    body.close()  # type: ignore[attr-defined]  # the server's way
    assert {("GET", "/", 200): 1} == rig.series()


def test_second_start_response_replaces_the_first(rig: Rig) -> None:
    """An application that fails after starting its answer reports the real status."""

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        try:
            raise RuntimeError("late")
        except RuntimeError:
            start_response("502 Bad Gateway", [], sys.exc_info())
        return [b"sorry"]

    reply = rig.call(wsgi=rig.wrap(wsgi))

    assert reply.status == "502 Bad Gateway"
    assert {("GET", 502, "RuntimeError"): 1} == rig.series()


def test_write_callable_reaches_the_server(rig: Rig) -> None:
    """The old way to send a body works."""
    written: list[bytes] = []

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])(b"old")
        return []

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    rig.wrap(wsgi)(environ, lambda status, headers: written.append)

    assert [b"old"] == written


def test_answer_started_while_iterating_is_seen(rig: Rig) -> None:
    """WSGI lets an application start its response with the first piece of the body."""

    def wsgi(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("202 Accepted", [])
        yield b"x"

    reply = rig.call(wsgi=rig.wrap(wsgi))

    assert len(reply.all("X-Request-ID")) == 1
    assert {("GET", 202): 1} == rig.series()


def test_complete_body_keeps_its_length(rig: Rig) -> None:
    """A server that derives Content-Length from a list of one still can."""
    body = [b"whole"]

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return body

    given = rig.wrap(wsgi)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: print)

    assert body is given
    assert {("GET", 200): 1} == rig.series()


def test_file_wrapper_of_the_server_is_left_to_it(rig: Rig, tmp_path: Any) -> None:
    """The server recognises its own wrapper, can send the file itself, and closing ends it."""
    path = tmp_path / "report.txt"
    path.write_text("content")

    def wsgi(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": FileWrapper}
    body = rig.wrap(wsgi)(environ, lambda *_: print)
    assert type(body) is FileWrapper
    assert rig.spans == []
    file = body.filelike
    body.close()

    assert file.closed
    assert {("GET", 200): 1} == rig.series()


def test_file_returned_by_uwsgi_is_left_as_it_is(rig: Rig, tmp_path: Any) -> None:
    """uWSGI's wrapper is a function that gives the file back and compares identities."""
    path = tmp_path / "report.txt"
    path.write_text("content")
    file = path.open("rb")

    def wsgi(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return file

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": lambda f: f}
    body = rig.wrap(wsgi)(environ, lambda *_: print)
    file.close()

    assert file is body
    assert {("GET", 200): 1} == rig.series()


def test_active_requests_are_counted_while_they_run(rig: Rig) -> None:
    """The number goes up with the request and down with the close of its body."""
    seen: list[Any] = []
    name = "http.server.active_requests"
    rig.app.add_url_rule("/now", "now", lambda: seen.append(rig.series(name)) or "x")

    rig.call("/now")

    assert [{("GET",): 1}] == seen
    assert {("GET",): 0} == rig.series(name)


@pytest.mark.parametrize(
    ("setting", "path", "traced"),
    [
        ("", "/metrics", False),
        ("", "/metrics/deep", True),
        ("health", "/health", False),
        ("health", "/a/health/thing?x=1", False),
        ("health$", "/a/health", False),
        ("health$", "/health/thing", True),
        ("^/health", "/health", True),
        ("shop[.]example/orders", "/orders/7", False),
        ("x=1", "/?x=1", False),
        ("client/.*/info,ping", "/client/7/info", False),
        ("client/.*/info,ping", "/ping", False),
        ("(", "/", True),
    ],
)
def test_excluded_paths(app: Flask, setting: str, path: str, traced: bool) -> None:
    """Patterns are searched in the URL, as everywhere in OpenTelemetry; a match has an ID only."""
    rig = Rig(app, OTEL_PYTHON_FLASK_EXCLUDED_URLS=setting)

    reply = rig.call(path)

    assert traced == bool(rig.spans)
    assert traced == bool(rig.series())
    assert traced == bool(rig.access)
    assert len(reply.all("X-Request-ID")) == 1
    rig.unwatch()


def test_children_of_an_excluded_path_are_not_kept(rig: Rig) -> None:
    """A probe that queries a database makes no orphan spans."""

    @rig.app.get("/metrics")
    def metrics() -> str:
        with rig.provider.get_tracer("db").start_as_current_span("query"):
            return "x"

    rig.call("/metrics")

    assert [] == rig.spans


def test_unknown_method_is_other(rig: Rig) -> None:
    """A made-up method makes no series and no span name of its own."""
    rig.call("/", "BREW")

    assert {("_OTHER", 405): 1} == rig.series()
    assert rig.span["name"] == "HTTP"
    assert rig.span["attributes"]["http.request.method_original"] == "BREW"


def test_request_context_is_readable_inside(rig: Rig) -> None:
    """Log lines find ID, trace, method, path and route of the request they belong to."""
    seen: list[Any] = []

    @rig.app.get("/see/<word>")
    def see(word: str) -> str:
        context = current_request()
        assert context is not None
        seen.append((context.request_id, context.method, context.path, context.route))
        return "x"

    rig.call("/see/this", x_request_id="abc")

    assert [("abc", "GET", "/see/this", "/see/<word>")] == seen


def test_call_within_the_process_is_a_child(rig: Rig) -> None:
    """A request made from a view through the test client nests; the outer route stays."""

    @rig.app.get("/outer")
    def outer() -> str:
        rig.app.test_client().get("/orders/1").close()
        with rig.app.test_request_context("/orders/2"):
            return "x"

    rig.call("/outer")

    inner, outer_span = rig.spans
    assert outer_span["name"] == "GET /outer"
    assert (outer_span["trace_id"], outer_span["span_id"]) == (
        inner["trace_id"], inner["parent_id"],
    )  # fmt: skip
    assert inner["kind"] == "INTERNAL"


def test_late_and_copied_environ_keep_their_route(rig: Rig) -> None:
    """A middleware that copies the environ and answers late does not hide the route."""

    def late(environ: Any, start_response: Any) -> list[bytes]:
        held: list[Any] = []
        body = b"".join(rig.plain_wsgi(dict(environ), lambda *a: held.append(a)))
        start_response(*held[0])
        return [body]

    rig.call("/orders/7", wsgi=rig.wrap(late))

    assert {("GET", "/orders/<int:number>", 200): 1} == rig.series()


@pytest.mark.parametrize(
    "step", ["tracer.start", "recorder.end_span", "recorder.series", "recorder.access"]
)
def test_failure_of_ours_leaves_the_response_unchanged(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever of ours breaks is counted; the client gets its answer."""

    def broken(*_: Any) -> None:
        raise RuntimeError("ours")

    owner, name = step.split(".")
    monkeypatch.setattr(getattr(rig, owner), name, broken)
    monkeypatch.setattr(internal_errors, "strict", False)
    caplog.set_level(logging.CRITICAL, "proletto_otel")

    reply = rig.call()

    assert (reply.status, reply.body) == ("200 OK", b"hello")


def test_failure_to_report_leaves_the_error_unchanged(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that cannot be reported is still the error the server sees."""
    monkeypatch.setattr(internal_errors, "strict", False)
    rig.recorder.report = lambda *_: 1 / 0
    rig.app.testing = True

    @rig.app.get("/fail")
    def fail() -> str:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        rig.call("/fail")


def test_forked_child_does_not_count_the_request_of_its_parent(rig: Rig) -> None:
    """A request in flight at a fork is the parent's."""

    def fork() -> str:
        rig.recorder.forked()
        return "x"

    rig.app.add_url_rule("/fork", "fork", fork)

    rig.call("/fork")

    assert {} == rig.series()
    assert [] == rig.spans


def leave_open(rig: Rig) -> None:
    """A request with a body that nobody closes, held by a cycle that only the collector ends."""
    body = rig.app.wsgi_app(EnvironBuilder("/").get_environ(), lambda *_: lambda data: None)
    cycle: list[Any] = [body]
    cycle.append(cycle)


def test_request_that_no_server_closes_is_counted(rig: Rig) -> None:
    """It is over when nobody holds its body any more, and counted with the next request."""
    began = time.perf_counter()
    leave_open(rig)
    gc.collect()
    took = time.perf_counter() - began

    rig.call("/orders/7")

    assert {("GET", "/", 200): 1, ("GET", "/orders/<int:number>", 200): 1} == rig.series()
    assert ["GET /", "GET /orders/<int:number>"] == [s["name"] for s in rig.spans]
    assert {0} == set(rig.series("http.server.active_requests").values())
    assert rig.access[0].duration_s <= took


def test_collector_inside_a_lock_of_ours_does_not_stop_the_process(rig: Rig) -> None:
    """The garbage collector comes at any time; it only puts an unfinished request aside."""
    rig.call("/")
    ((_, cell),) = rig.registry.histogram(HTTP_SERVER_REQUEST_DURATION).items()

    def collect() -> None:
        leave_open(rig)
        with cell._lock:
            gc.collect()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)

    assert not thread.is_alive()
    rig.recorder.gather()
    assert {("GET", "/", 200): 2} == rig.series()


def test_open_requests_can_be_settled(rig: Rig) -> None:
    """A test that never closes its response can still see the request's telemetry."""
    rig.app.add_url_rule("/stream", "stream", lambda: Response(iter([b"a", b"b"])))
    rig.middleware.remember_open()
    response = rig.app.test_client().get("/stream", buffered=False)
    assert [] == rig.spans

    rig.middleware.end_open_requests()

    assert "GET /stream" == rig.span["name"]
    response.close()
    assert {("GET", "/stream", 200): 1} == rig.series()
