"""Which traces are sent: a share of the ordinary ones, and every failed and slow one, whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, abort
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from proletto_otel import setup_telemetry
from proletto_otel.core.metrics.registry import Registry
from proletto_otel.error_logging import logger
from proletto_otel.request import tail_sampling
from proletto_otel.request.tail_sampling import TailSampling
from proletto_otel.testing import TelemetryCapture
from tests.waiting import PATIENCE_S

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
SLOW_MS = 600_000
"""Nothing here takes so long, on whatever machine."""


class Shop:
    """An application whose traces are sampled, and what came of them."""

    def __init__(
        self, captured: TelemetryCapture, ratio: float, slow_ms: float = SLOW_MS, **settings: Any
    ) -> None:
        self.captured = captured
        self.app = Flask("shop")
        self.sent: dict[str, str] = {}
        for rule, view in self.views().items():
            self.app.add_url_rule(rule, rule[1:], view)
        self.telemetry = setup_telemetry(
            self.app, traces_keep_ratio=ratio, traces_slow_ms=slow_ms, **settings
        )
        self.tracer = self.telemetry.tracer

    def views(self) -> dict[str, Any]:
        """The routes."""
        return {
            "/ordinary": self.child,
            "/boom": lambda: self.child() and 1 // 0,
            "/unavailable": lambda: self.child() and abort(503),
            "/missing": lambda: self.child() and abort(404),
            "/logged": lambda: self.child() and (logger.error("stock differs") or "ok"),
            "/caught": self.caught,
            "/thread": self.thread,
            "/many": lambda: [self.child() for _ in range(20)] and abort(500),
            "/events": self.events,
            "/excluded": self.child,
        }

    def child(self) -> str:
        """A span of the application, and what a call from inside it would send."""
        with self.tracer.start_as_current_span("child"):
            self.sent.clear()
            propagate.inject(self.sent)
        return "ok"

    def caught(self) -> str:
        """A span that fails, in a request that answers 200."""
        with self.tracer.start_as_current_span("child") as span:
            span.set_status(StatusCode.ERROR)
        return "ok"

    def thread(self) -> str:
        """A span in a thread, which gets OpenTelemetry's context alone."""
        here = context.get_current()

        def work() -> None:
            context.attach(here)
            self.child()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        raise ValueError("after the thread")

    def events(self) -> Any:
        """An event stream."""
        return self.app.response_class(iter(["data: x\n\n"]), mimetype="text/event-stream")

    def names(self, path: str, **headers: str) -> list[str]:
        """The names of the spans that a request leaves."""
        self.captured.clear()
        self.app.test_client().get(path, headers=headers)
        return sorted(span["name"] for span in self.captured.spans)

    @property
    def left_out(self) -> float | None:
        """How many spans were left out."""
        return self.captured.metric("proletto.telemetry.sampled_out")

    def exemplars(self) -> set[str]:
        """The trace IDs to which the request durations lead."""
        families = self.telemetry.families()
        found = [f for f in families if f.name == "http.server.request.duration"]
        return {e[0] for f in found for p in f.points for e in p.value.exemplars.values()}  # type: ignore[union-attr]


@pytest.fixture
def shop(telemetry_capture: TelemetryCapture) -> Shop:
    """An application that sends no ordinary trace."""
    return Shop(telemetry_capture, 0)


def test_ordinary_trace_is_left_out_and_counted(shop: Shop) -> None:
    """No span of it is sent, no exemplar leads to it; its lines have its ID all the same."""
    assert [] == shop.names("/ordinary")
    assert 2 == shop.left_out
    assert set() == shop.exemplars()
    (line,) = shop.captured.logs
    assert 32 == len(line["trace_id"])
    assert 1 == shop.captured.metric("http.server.request.duration", http_route="/ordinary")


@pytest.mark.parametrize("path", ["/boom", "/unavailable", "/logged", "/caught"])
def test_trace_that_matters_is_sent_whole(shop: Shop, path: str) -> None:
    """It failed, or an error was logged or recorded in it: the children come too."""
    assert ["GET " + path, "child"] == shop.names(path)
    root = next(s for s in shop.captured.spans if s["name"] != "child")
    child = next(s for s in shop.captured.spans if s["name"] == "child")
    assert (root["trace_id"], root["span_id"]) == (child["trace_id"], child["parent_id"])
    assert {root["trace_id"]} == shop.exemplars()
    assert not shop.left_out


def test_client_errors_are_ordinary(shop: Shop) -> None:
    """A 404 is nothing that the service did wrong."""
    assert [] == shop.names("/missing")


def test_slow_request_is_sent(telemetry_capture: TelemetryCapture) -> None:
    """With no time allowed every request is slow, but for an event stream: it has no latency."""
    shop = Shop(telemetry_capture, 0, slow_ms=0)

    assert ["GET /ordinary", "child"] == shop.names("/ordinary")
    assert [] == shop.names("/events")


def test_span_of_a_thread_belongs_to_the_request(shop: Shop) -> None:
    """It has OpenTelemetry's context and no request; it waits for the same decision."""
    assert ["GET /thread", "child"] == shop.names("/thread")


def test_what_the_caller_sampled_is_sent(shop: Shop) -> None:
    """The caller decided, and so can anyone who looks for one request."""
    assert ["GET /ordinary", "child"] == shop.names("/ordinary", traceparent=SAMPLED)
    assert shop.sent["traceparent"].endswith("-01")


def test_what_the_caller_did_not_sample(shop: Shop) -> None:
    """It is left out unless it matters here; the next service hears that it is not sampled."""
    assert [] == shop.names("/ordinary", traceparent=UNSAMPLED)
    assert shop.sent["traceparent"].startswith(f"00-{TRACE}")
    assert shop.sent["traceparent"].endswith("-00")
    assert ["GET /boom", "child"] == shop.names("/boom", traceparent=UNSAMPLED)


def test_untrusted_caller_forces_no_trace(telemetry_capture: TelemetryCapture) -> None:
    """Its flag says nothing, as its trace is not joined."""
    shop = Shop(telemetry_capture, 0, trust_inbound_trace=False)

    assert [] == shop.names("/ordinary", traceparent=SAMPLED)


def test_all_in_the_ratio_say_so(telemetry_capture: TelemetryCapture) -> None:
    """Threshold in tracestate, for this span and the next service: who counts spans multiplies."""
    shop = Shop(telemetry_capture, 1 - 2**-24)

    assert ["GET /ordinary", "child"] == shop.names("/ordinary")
    assert {"ot=th:000001"} == {s["trace_state"] for s in shop.captured.spans}
    assert "ot=th:000001" == shop.sent["tracestate"]


def test_trace_that_matters_counts_once(telemetry_capture: TelemetryCapture) -> None:
    """It would have been sent in any case, whatever the ratio said of it."""
    shop = Shop(telemetry_capture, 1 - 2**-24)
    shop.names("/boom")
    root = next(s for s in shop.captured.spans if s["name"] != "child")

    assert "" == root["trace_state"]


def test_ratio_is_decided_by_the_trace_id() -> None:
    """Services of one ratio send the same traces; a smaller ratio sends a part of them."""
    chance = random.Random(1)
    ids = [f"{chance.getrandbits(128):032x}" for _ in range(20_000)]
    tenth, half = (TailSampling(r, 1, sink="x", source=Registry()) for r in (0.1, 0.5))
    few, many = ({i for i in ids if t.is_in_ratio(i)} for t in (tenth, half))

    assert abs(len(few) / len(ids) - 0.1) < 0.01
    assert abs(len(many) / len(ids) - 0.5) < 0.02
    assert few < many
    assert ("ot=th:e66666", "ot=th:8") == (tenth.trace_state, half.trace_state)


def test_excluded_path_leaves_no_trace(telemetry_capture: TelemetryCapture) -> None:
    """Nor do the spans below it, and none of them is counted."""
    shop = Shop(telemetry_capture, 0, excluded_urls="excluded")

    assert [] == shop.names("/excluded")
    assert not shop.left_out


def test_job_outside_of_requests(shop: Shop) -> None:
    """Its root span decides: one that fails is sent with all below it."""
    for status in (StatusCode.OK, StatusCode.ERROR):
        with shop.tracer.start_as_current_span("job") as job:
            shop.child()
            job.set_status(status)

    assert ["child", "job"] == [s["name"] for s in shop.captured.spans]
    assert 2 == shop.left_out


def test_span_that_ends_after_its_request(shop: Shop) -> None:
    """It follows the trace that it belongs to."""
    spans = []
    shop.app.add_url_rule(
        "/late", "late", lambda: spans.append(shop.tracer.start_span("late")) or 1 // 0
    )
    shop.app.add_url_rule(
        "/fine", "fine", lambda: spans.append(shop.tracer.start_span("late")) or "ok"
    )
    for path in ("/late", "/fine"):
        shop.names(path)
        shop.captured.clear()
        spans.pop().end()
        assert (["late"] if path == "/late" else []) == [s["name"] for s in shop.captured.spans]


def test_spans_held_are_bounded(
    telemetry_capture: TelemetryCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit they are lost with their trace, and the ledger says so."""
    monkeypatch.setattr(tail_sampling, "MAX_SPANS", 5)
    shop = Shop(telemetry_capture, 0)

    assert 6 == len(shop.names("/many"))
    dropped = shop.captured.metric("proletto.telemetry.dropped", reason="span_limit")
    emitted = shop.captured.metric("proletto.telemetry.emitted", sink="otlp_traces")
    delivered = shop.captured.metric("proletto.telemetry.delivered", sink="otlp_traces")
    assert (15, 21, 6) == (dropped, emitted, delivered)


def test_nothing_stays_behind(shop: Shop) -> None:
    """Whatever the end of the requests, no trace stays open and no span is held."""
    for path in ("/ordinary", "/boom", "/many", "/events", "/nowhere", "/thread"):
        shop.names(path)
    tail = shop.app.wsgi_app.recorder.tail  # type: ignore[attr-defined]

    assert (0, 0) == (tail.open_count, tail.held)


def test_foreign_processor_changes_nothing(shop: Shop) -> None:
    """With it requests have spans of the SDK: the same are sent."""

    class Seen(SpanProcessor):
        pass

    shop.names("/ordinary")
    trace.get_tracer_provider().add_span_processor(Seen())  # type: ignore[attr-defined]

    assert [] == shop.names("/ordinary")
    assert ["GET /boom", "child"] == shop.names("/boom")
    assert ["GET /logged", "child"] == shop.names("/logged")


def test_sampler_that_was_asked_for_decides(telemetry_capture: TelemetryCapture) -> None:
    """`OTEL_TRACES_SAMPLER` wins over the ratio."""
    shop = Shop(telemetry_capture, 0, traces_sampler="always_on")

    assert ["GET /ordinary", "child"] == shop.names("/ordinary")


def test_by_default_all_are_sent(telemetry_capture: TelemetryCapture) -> None:
    """Without the setting nothing is sampled."""
    shop = Shop(telemetry_capture, 1)

    assert ["GET /ordinary", "child"] == shop.names("/ordinary")
    assert {""} == {s["trace_state"] for s in shop.captured.spans}


def test_nested_call_joins_the_decision(shop: Shop) -> None:
    """A view that calls its application: the failure inside sends the outer span, too."""
    shop.app.add_url_rule("/outer", "outer", lambda: shop.app.test_client().get("/boom").data)

    assert ["GET /boom", "GET /outer", "child"] == shop.names("/outer")


def test_requests_of_one_trace_at_the_same_time(shop: Shop) -> None:
    """One that ends takes no span of another with it; one that fails sends those that still run."""
    inside, go_on = threading.Event(), threading.Event()

    def waits() -> str:
        shop.child()
        inside.set()
        go_on.wait(10)
        return "ok"

    shop.app.add_url_rule("/waits", "waits", waits)
    calling = {"headers": {"traceparent": UNSAMPLED}}
    thread = threading.Thread(target=shop.app.test_client().get, args=("/waits",), kwargs=calling)
    thread.start()
    inside.wait(10)
    shop.app.test_client().get("/ordinary", headers={"traceparent": UNSAMPLED})
    shop.app.test_client().get("/boom", headers={"traceparent": UNSAMPLED})
    go_on.set()
    thread.join()

    names = sorted(span["name"] for span in shop.captured.spans)
    assert ["GET /boom", "GET /waits", "child", "child", "child"] == names


def test_mounted_application_that_excludes_the_path(shop: Shop) -> None:
    """The request is counted no more, and its trace is closed."""
    outer = Flask("outer")
    setup_telemetry(outer)
    middleware: Any = outer.wsgi_app
    middleware.wsgi_app = DispatcherMiddleware(middleware.wsgi_app, {"/inner": shop.app.wsgi_app})
    outer.test_client().get("/inner/livez")

    assert [] == shop.captured.spans
    assert 0 == middleware.recorder.tail.open_count


FORK = """
import os
from flask import Flask
from proletto_otel.testing import capture
from proletto_otel import setup_telemetry
with capture(os.getcwd()) as captured:
    app = Flask("shop")
    telemetry = setup_telemetry(app, traces_keep_ratio=0, traces_slow_ms=600_000)
    def fork():
        with telemetry.tracer.start_as_current_span("before"):
            pass
        if (child := os.fork()) == 0:
            app.test_client().get("/boom")
            os.write(1, str(sorted(s["name"] for s in captured.spans)).encode() + b"\\n")
            os._exit(0)
        os.waitpid(child, 0)
        return "ok"
    app.add_url_rule("/fork", "fork", fork)
    app.add_url_rule("/boom", "boom", lambda: 1 // 0)
    app.test_client().get("/fork")
    print(captured.spans)
"""


def test_child_of_a_fork_begins_anew(tmp_path: Path) -> None:
    """Spans that its parent holds are the parent's; its own requests are decided in the child."""
    assert "['GET /boom']\n[]\n" == run(FORK, tmp_path)


CONTRIB = """
import os, sys
from flask import Flask
from proletto_otel.testing import capture
from proletto_otel import setup_telemetry
with capture(os.getcwd()) as captured:
    app = Flask("shop")
    telemetry = setup_telemetry(
        app, traces_keep_ratio=0, traces_slow_ms=SLOW_MS, instrumentation="contrib"
    )
    def child():
        with telemetry.tracer.start_as_current_span("child"):
            return "ok"
    app.add_url_rule("/ordinary", "ordinary", child)
    app.add_url_rule("/boom", "boom", lambda: child() and 1 // 0)
    for path in ("/ordinary", "/boom"):
        app.test_client().get(path)
    print([s["name"] for s in captured.spans])
    exemplars = {
        e[0] for f in telemetry.families() if f.name == "http.server.request.duration"
        for p in f.points for e in p.value.exemplars.values()
    }
    print({s["trace_id"] for s in captured.spans} == exemplars)
"""


@pytest.mark.parametrize(
    ("slow_ms", "names"),
    [
        (SLOW_MS, ["child", "GET /boom"]),
        (0, ["child", "GET /ordinary", "child", "GET /boom"]),
    ],
)
def test_spans_of_the_other_instrumentation(
    tmp_path: Path, slow_ms: float, names: list[str]
) -> None:
    """`PROLETTO_INSTRUMENTATION=contrib` ends its span before the request: the same are sent."""
    said = run(CONTRIB.replace("SLOW_MS", str(slow_ms)), tmp_path)

    assert f"{names}\nTrue\n" == said


def run(script: str, directory: Path) -> str:
    """What a process prints."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=directory, capture_output=True, text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "PROLETTO_LOG_CONSOLE": "0"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_threads_lose_no_span(shop: Shop) -> None:
    """Children end in several threads while their request fails: each is sent once."""

    def view() -> str:
        here = context.get_current()

        def work() -> None:
            context.attach(here)
            for _ in range(50):
                with shop.tracer.start_as_current_span("child"):
                    pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        logger.error("in the middle")
        for thread in threads:
            thread.join()
        return "ok"

    shop.app.add_url_rule("/threads", "threads", view)

    assert 201 == len(shop.names("/threads"))
    assert not shop.left_out
