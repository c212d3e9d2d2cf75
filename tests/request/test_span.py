"""The request's span as the application and its instrumentations see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from proletto_otel.export.encoding import otlp
from proletto_otel.request.propagation import Parent
from proletto_otel.request.request_id_propagator import RequestIdPropagator
from proletto_otel.request.span import RequestSpan
from proletto_otel.request.span_encoding import Limits, heading
from tests.request.conftest import Rig

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def within(rig: Rig, work: Callable[[Span], Any]) -> dict[str, Any]:
    """Run *work* with the span of a request; give the finished span."""
    rig.app.add_url_rule("/work", "work", lambda: work(trace.get_current_span()) or "x")
    rig.call("/work")
    return next(s for s in rig.spans if s["kind"] == "SERVER")


def test_attributes_of_the_application_are_kept(rig: Rig) -> None:
    """Every type of value that OpenTelemetry has arrives as it is."""
    values = {"text": "a", "number": 3, "share": 0.5, "flag": True, "list": ["a", "b"]}

    span = within(rig, lambda s: s.set_attributes(values))

    assert values == {k: span["attributes"][k] for k in values}


def test_attribute_of_the_application_wins_over_ours(rig: Rig) -> None:
    """An attribute exists once, also when the application sets one of the request's own."""
    span = within(rig, lambda s: s.set_attribute("http.route", "/mine"))

    (only,) = rig.exporter.traces.items
    assert span["attributes"]["http.route"] == "/mine"
    assert span["attributes"]["url.path"] == "/work"
    assert only.count(b"http.route") == 1


def test_secrets_do_not_become_attributes(rig: Rig) -> None:
    """What the application sets is redacted like everything else, events included."""

    def work(span: Span) -> None:
        span.set_attribute("password", "hunter2")
        span.add_event("login", {"api_key": "hunter2"})
        span.set_status(StatusCode.ERROR, "password=hunter2")

    within(rig, work)

    assert b"hunter2" not in rig.exporter.traces.items[0]


def test_name_of_the_application_holds(rig: Rig) -> None:
    """`update_name` is not overwritten by the route."""
    assert within(rig, lambda s: s.update_name("checkout"))["name"] == "checkout"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(StatusCode.ERROR, "bad"), (StatusCode.OK, None)], ("OK", "")),
        ([(StatusCode.OK, None), (StatusCode.ERROR, "bad")], ("OK", "")),
        ([(StatusCode.ERROR, "bad"), (StatusCode.UNSET, None)], ("ERROR", "bad")),
        ([(Status(StatusCode.ERROR, "worse"), None)], ("ERROR", "worse")),
    ],
)
def test_status_follows_the_rules(rig: Rig, steps: Any, expected: tuple[str, str]) -> None:
    """OK is final, ERROR replaces UNSET, UNSET changes nothing."""

    def work(span: Span) -> None:
        for status, description in steps:
            span.set_status(status, description)

    span = within(rig, work)

    assert expected == (span["status"], span["status_message"])


def test_exception_is_recorded_once(rig: Rig) -> None:
    """Recorded by the application and unhandled afterwards: one event."""

    def work(span: Span) -> None:
        try:
            raise ValueError("boom")
        except ValueError as error:
            span.record_exception(error, {"attempt": 2})
            raise

    span = within(rig, work)

    (event,) = span["events"]
    assert (event["attributes"]["attempt"], event["attributes"]["exception.message"]) == (2, "boom")


def test_limits_hold_and_losses_are_told(rig: Rig) -> None:
    """Attributes, events and links beyond the limit are left out and counted on the span."""
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

    rig.tracer.limits = Limits(attributes=2, length=5, events=1, links=1)
    link = trace.SpanContext(1, 2, True)

    def work(span: Span) -> None:
        for name in "abc":
            span.set_attribute(name, "123456789")
            span.add_event(name)
            span.add_link(link)

    span = within(rig, work)

    message = Message.FromString(rig.exporter.traces.items[0])
    assert (span["attributes"]["a"], "c" in span["attributes"]) == ("12345", False)
    assert [e["name"] for e in span["events"]] == ["c"]
    assert (1, 2, 2) == (
        message.dropped_attributes_count,
        message.dropped_events_count,
        message.dropped_links_count,
    )


def test_more_attributes_than_the_sanitiser_takes_at_once(rig: Rig) -> None:
    """All 128 that OpenTelemetry allows arrive."""
    span = within(rig, lambda s: s.set_attributes({f"k{i}": i for i in range(128)}))

    assert 128 == sum(k.startswith("k") for k in span["attributes"])


def test_span_ended_early_keeps_its_end(rig: Rig) -> None:
    """The first end counts, later changes do not, and the span is still sent."""

    def work(span: Span) -> None:
        span.end(5_000_000_000_000_000_000)
        span.set_attribute("late", 1)

    span = within(rig, work)

    assert span["end_ns"] == 5_000_000_000_000_000_000
    assert "late" not in span["attributes"]
    assert span["name"] == "GET /work"


def test_stock_child_nests_under_the_request(rig: Rig) -> None:
    """A span of any instrumentation has the request's trace and the request as parent."""
    tracer = rig.provider.get_tracer("db")

    def work(span: Span) -> None:
        with tracer.start_as_current_span("query", kind=SpanKind.CLIENT):
            pass

    server = within(rig, work)

    child = next(s for s in rig.spans if s["name"] == "query")
    assert (server["trace_id"], server["span_id"]) == (child["trace_id"], child["parent_id"])


def test_caller_is_the_parent(rig: Rig) -> None:
    """An inbound traceparent is joined."""
    rig.call(traceparent=PARENT)

    assert rig.span["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert rig.span["parent_id"] == "00f067aa0ba902b7"


def test_inject_sends_the_request_as_parent(rig: Rig, propagator: RequestIdPropagator) -> None:
    """Outgoing headers name the request's span and carry tracestate and request ID on."""
    headers: dict[str, str] = {}
    rig.app.add_url_rule("/out", "out", lambda: propagate.inject(headers) or "x")

    rig.call("/out", traceparent=PARENT, tracestate="vendor=abc", x_request_id="r-1")

    assert headers == {
        "traceparent": f"00-4bf92f3577b34da6a3ce929d0e0e4736-{rig.span['span_id']}-01",
        "tracestate": "vendor=abc",
        "X-Request-ID": "r-1",
    }


@pytest.mark.parametrize("key", ["trace_id", "parent_id"])
def test_untrusted_trace_becomes_a_link(app: Flask, key: str) -> None:
    """A caller cannot choose the trace ID nor the parent when its trace is not trusted."""
    rig = Rig(app, PROLETTO_TRUST_INBOUND_TRACE="0")

    rig.call(traceparent=PARENT)

    assert PARENT.find(rig.span[key] or "none") == -1
    assert rig.span["links"] == [
        {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}
    ]
    rig.unwatch()


@pytest.mark.parametrize(
    ("sampler", "argument", "traceparent", "kept"),
    [
        ("parentbased_always_on", "", "", True),
        ("parentbased_always_on", "", PARENT[:-1] + "0", False),
        ("always_on", "", PARENT[:-1] + "0", True),
        ("always_off", "", "", False),
        ("parentbased_always_off", "", PARENT, True),
        ("traceidratio", "0", "", False),
        ("parentbased_traceidratio", "1", "", True),
    ],
)
def test_sampler_is_honoured(
    app: Flask, sampler: str, argument: str, traceparent: str, kept: bool
) -> None:
    """Request and child are kept or left out together; IDs and counts exist either way."""
    rig = Rig(app, OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=argument)

    @app.get("/child")
    def child() -> str:
        with rig.provider.get_tracer("db").start_as_current_span("query"):
            return "x"

    reply = rig.call("/child", **({"traceparent": traceparent} if traceparent else {}))

    assert len(rig.spans) == (2 if kept else 0)
    assert len(reply.all("X-Request-ID")[0]) == 32
    assert {("GET", "/child", 200): 1} == rig.series()
    rig.unwatch()


class Recording(SpanProcessor):
    """Somebody else's processor."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.started.append(span.name)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def test_foreign_processor_sees_a_stock_span(rig: Rig) -> None:
    """Once somebody adds a processor, the request's span is the SDK's, and ours is equal to it."""
    rig.call("/orders/7", user_agent="curl")
    processor = Recording()
    rig.provider.add_span_processor(processor)

    rig.call("/orders/7", user_agent="curl", traceparent=PARENT)

    (seen,) = processor.ended
    own, sdk = rig.spans
    assert isinstance(seen, ReadableSpan)
    assert (seen.name, seen.kind) == ("GET /orders/<int:number>", SpanKind.SERVER)
    assert own["attributes"] | {"request_id": ""} == sdk["attributes"] | {"request_id": ""}
    assert (own["name"], own["kind"], own["status"]) == (
        sdk["name"], sdk["kind"], sdk["status"],
    )  # fmt: skip
    assert sdk["parent_id"] == "00f067aa0ba902b7"


def test_foreign_exporter_gets_errors_and_children(rig: Rig) -> None:
    """The usual console or vendor exporter beside ours is complete."""
    exporter = InMemorySpanExporter()
    rig.provider.add_span_processor(SimpleSpanProcessor(exporter))

    @rig.app.get("/fail")
    def fail() -> str:
        with rig.provider.get_tracer("db").start_as_current_span("query"):
            raise ValueError("boom")

    reply = rig.call("/fail")

    query, request = exporter.get_finished_spans()
    assert request.context is not None
    assert query.parent is not None
    assert request.context.span_id == query.parent.span_id
    assert [f"{request.context.trace_id:032x}"] == reply.all("X-Request-ID")
    assert request.status.status_code is StatusCode.ERROR
    assert ["exception"] == [e.name for e in request.events]


def test_without_export_there_are_still_ids(app: Flask) -> None:
    """`OTEL_TRACES_EXPORTER=none`: nothing is recorded, everything has its ID."""
    rig = Rig(app)
    rig.tracer.put = rig.recorder.put = None

    reply = rig.call()

    assert [] == rig.spans
    assert len(reply.all("X-Request-ID")[0]) == 32
    rig.unwatch()


def test_it_is_a_span_of_the_api(rig: Rig) -> None:
    """Instrumentations that ask for the current span get one that is recording."""
    seen: list[Any] = []
    within(rig, lambda s: seen.append((s, s.is_recording(), s.get_span_context().is_valid)))

    ((span, recording, valid),) = seen
    assert isinstance(span, RequestSpan)
    assert isinstance(span, Span)
    assert (recording, valid) == (True, True)
    assert span.get_span_context() is span.get_span_context()


@pytest.mark.parametrize(
    "parent", [None, Parent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)]
)
def test_usual_span_is_the_same_in_half_the_time(parent: Parent | None) -> None:
    """The short way of encoding and the general one agree."""
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

    facts = otlp.span_attribute("url.path", "/")
    span = RequestSpan("GET", "1" * 32, "2" * 16, 1, parent, 5, True, Limits())

    span.end_ns = 6
    raw_ids = bytes.fromhex(span.trace_id + span.span_id)
    short = span.untouched_bytes(raw_ids, [heading("GET /"), facts])

    assert Message.FromString(span.encoded("GET /", facts, 6)) == Message.FromString(short)
