"""Our bytes mean what OpenTelemetry's own classes and encoder mean."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from proletto_otel.export.encoding import envelope, otlp, protobuf

plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
int64 = st.integers(-(2**63), 2**63 - 1)
uint64 = st.integers(0, 2**64 - 1)
scalars = st.one_of(plain, st.booleans(), int64, st.floats(), st.binary(max_size=50), st.none())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(plain, inner, max_size=4)),
    max_leaves=12,
)


def decoded(value: AnyValue) -> Any:
    """Read an AnyValue back into Python."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [decoded(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: decoded(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def same(a: Any, b: Any) -> bool:
    """Equal in type and value; NaN equals NaN."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    both_nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    return both_nan or (type(a) is type(b) and a == b)


@given(values)
def test_any_value_arrives_as_it_was(value: Any) -> None:
    """Every value that OTLP knows keeps its type and its content."""
    assert same(value, decoded(AnyValue.FromString(protobuf.any_value(value))))


@given(key=plain, value=values)
def test_attribute_arrives_as_it_was(key: str, value: Any) -> None:
    """An attribute of a span and of a log record is read back as it was given."""
    (pair,) = Span.FromString(otlp.span_attribute(key, value)).attributes
    (twin,) = LogRecord.FromString(otlp.log_attribute(key, value)).attributes

    assert (key, key) == (pair.key, twin.key)
    assert same(value, decoded(pair.value))
    assert same(value, decoded(twin.value))


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 63, 64, 65, 120, 127, 128, 129, 20_000])
@pytest.mark.parametrize("key_size", [1, 40, 57, 58, 59, 60, 61, 62, 63, 64, 65, 130])
def test_attribute_of_any_length_arrives(size: int, key_size: int) -> None:
    """Where a length needs a second byte, nothing is lost."""
    (pair,) = Span.FromString(otlp.span_attribute("k" * key_size, "v" * size)).attributes

    assert ("k" * key_size, "v" * size) == (pair.key, pair.value.string_value)


def test_constants_of_equal_value_keep_their_type() -> None:
    """1, 1.0 and True are equal in Python and different on the wire."""
    kinds = [
        Span.FromString(otlp.span_constant("k", v)).attributes[0].value.WhichOneof("value")
        for v in (1, 1.0, True, 1)
    ]

    assert ["int_value", "double_value", "bool_value", "int_value"] == kinds


@pytest.mark.parametrize("value", [10**30, -(10**30), object(), {1, 2}])
def test_foreign_values_are_sent_as_text(value: Any) -> None:
    """A value that OTLP does not know becomes its text instead of an error."""
    assert str(value) == decoded(AnyValue.FromString(protobuf.any_value(value)))


def test_value_inside_itself_ends() -> None:
    """A list that holds itself is cut at a depth instead of failing the batch."""
    endless: list[Any] = []
    endless.append(endless)

    assert AnyValue.FromString(protobuf.any_value(endless)).HasField("array_value")


@given(st.text(max_size=30))
def test_lone_surrogates_never_break_a_batch(raw: str) -> None:
    """A text with lone surrogates arrives with U+FFFD in their place, and so do its neighbours."""
    attribute = otlp.log_attribute("k" + raw, raw)
    items = [
        otlp.log_record(
            time_ns=1, severity_number=9, severity_text=raw, body=body, attributes=attribute
        )
        for body in ("before", raw, "after")
    ]
    request = ExportLogsServiceRequest.FromString(otlp.request(b"", [(b"", items)]))

    bodies = [r.body.string_value for r in request.resource_logs[0].scope_logs[0].log_records]
    assert ["before", "after"] == [bodies[0], bodies[2]]
    expected = raw.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert expected == bodies[1]


@given(
    trace_id=st.binary(min_size=16, max_size=16),
    span_id=st.binary(min_size=8, max_size=8),
    parent_id=st.one_of(st.just(b""), st.binary(min_size=8, max_size=8)),
    name=plain,
    kind=st.integers(0, 5),
    times=st.tuples(uint64, uint64),
    status=st.tuples(st.integers(0, 2), plain),
    trace_state=plain,
    flags=st.integers(0, 2**32 - 1),
)
def test_span_arrives_as_it_was(
    trace_id: bytes, span_id: bytes, parent_id: bytes, name: str, kind: int,
    times: tuple[int, int], status: tuple[int, str], trace_state: str, flags: int,
) -> None:  # fmt: skip
    """Every field of a span is read back as it was given."""
    start, end = times
    found = Span.FromString(
        otlp.span(
            trace_id=trace_id, span_id=span_id, parent_id=parent_id, name=name, kind=kind,
            start_ns=start, end_ns=end, attributes=otlp.span_attribute("k", 7),
            events=otlp.event("e", end, otlp.event_attribute("a", "b")), status_code=status[0],
            status_message=status[1], flags=flags, trace_state=trace_state,
        )
    )  # fmt: skip

    expected = Span(
        trace_id=trace_id, span_id=span_id, parent_span_id=parent_id, name=name, kind=kind,
        start_time_unix_nano=start, end_time_unix_nano=end, flags=flags, trace_state=trace_state,
    )  # fmt: skip
    expected.attributes.add(key="k").value.int_value = 7
    expected.events.add(name="e", time_unix_nano=end).attributes.add(
        key="a"
    ).value.string_value = "b"
    if status != (0, ""):
        expected.status.code, expected.status.message = status
    assert expected == found


@given(
    time_ns=uint64,
    severity=st.tuples(st.integers(1, 24), plain),
    body=plain,
    ids=st.one_of(
        st.just((b"", b"")),
        st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)),
    ),
    flags=st.integers(0, 255),
    event_name=plain,
)
def test_log_record_arrives_as_it_was(
    time_ns: int, severity: tuple[int, str], body: str, ids: tuple[bytes, bytes], flags: int,
    event_name: str,
) -> None:  # fmt: skip
    """Every field of a log record is read back as it was given."""
    found = LogRecord.FromString(
        otlp.log_record(
            time_ns=time_ns, severity_number=severity[0], severity_text=severity[1], body=body,
            attributes=otlp.log_attribute("k", True), trace_id=ids[0], span_id=ids[1],
            flags=flags, event_name=event_name,
        )
    )  # fmt: skip

    expected = LogRecord(
        time_unix_nano=time_ns, observed_time_unix_nano=time_ns, severity_number=severity[0],
        severity_text=severity[1], body=AnyValue(string_value=body), trace_id=ids[0],
        span_id=ids[1], flags=flags, event_name=event_name,
    )  # fmt: skip
    expected.attributes.add(key="k").value.bool_value = True
    assert expected == found


RESOURCE = Resource({"service.name": "shop", "process.pid": 7}, schema_url="")
REMOTE = SpanContext(0xABC, 0xDEF, True, TraceFlags(1), TraceState([("v", "1"), ("w", "2")]))


def rich_spans() -> tuple[ReadableSpan, ...]:
    """Finished SDK spans that carry everything a span can carry."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(
        resource=RESOURCE,
        shutdown_on_exit=False,
        span_limits=SpanLimits(max_span_attributes=3, max_events=2, max_links=1),
    )
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("shop.db", "2.1", "https://schema", {"a": 1})
    parent = set_span_in_context(NonRecordingSpan(REMOTE))
    links = [Link(REMOTE, {"n": 1}), Link(REMOTE, {"why": ["retry", "again"]})]
    with tracer.start_as_current_span("GET /é", parent, SpanKind.SERVER, links=links) as span:
        span.set_attributes({"s": "x", "i": -5, "f": 0.5, "many": (True, False)})
        for i in range(3):
            span.add_event(f"e{i}", {"n": i, "words": ("a", "b")}, timestamp=i + 1)
        span.set_status(Status(StatusCode.ERROR, "broke"))
        with tracer.start_as_current_span("child", kind=SpanKind.CLIENT) as child:
            child.set_status(Status(StatusCode.OK))
    with provider.get_tracer("plain").start_as_current_span("root"):
        pass
    return memory.get_finished_spans()


def test_sdk_spans_equal_the_stock_encoder() -> None:
    """Events, links, status, trace state, flags and dropped counts are as the stock encoder's."""
    finished = rich_spans()
    resource = otlp.attributes(RESOURCE.attributes, otlp.resource_attribute)
    groups: dict[bytes, list[bytes]] = {}
    for span in finished:
        scope = envelope.any_scope(span.instrumentation_scope)
        groups.setdefault(scope, []).append(otlp.sdk_span(span))
    ours = ExportTraceServiceRequest.FromString(otlp.request(resource, groups.items()))

    expected = encode_spans(finished)
    for whole in expected.resource_spans:
        for scope_spans in whole.scope_spans:
            for span in scope_spans.spans:
                if not span.status.code:
                    span.ClearField("status")  # an unset status and none mean the same
                for linked in span.links:  # the stock encoder forgets it; the protocol has it
                    linked.trace_state = "v=1,w=2"
    assert expected == ours
    assert 1 == max(s.dropped_links_count for s in ours.resource_spans[0].scope_spans[0].spans)


def test_log_record_equals_the_stock_encoder() -> None:
    """A log record means the same as one that went through the SDK's classes."""
    from opentelemetry._logs import LogRecord as ApiRecord
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    record = ApiRecord(
        timestamp=5, observed_timestamp=5, severity_number=SeverityNumber.WARN,
        severity_text="WARN", body="paid", attributes={"order": 7, "items": ["a", "b"]},
        context=set_span_in_context(NonRecordingSpan(REMOTE)), event_name="shop.paid",
    )  # fmt: skip
    stock = encode_logs([ReadableLogRecord(record, RESOURCE, InstrumentationScope("shop"))])
    item = otlp.log_record(
        time_ns=5, severity_number=13, severity_text="WARN", body="paid", flags=1,
        attributes=otlp.attributes({"order": 7, "items": ["a", "b"]}, otlp.log_attribute),
        trace_id=(0xABC).to_bytes(16, "big"), span_id=(0xDEF).to_bytes(8, "big"),
        event_name="shop.paid",
    )  # fmt: skip
    resource = otlp.attributes(RESOURCE.attributes, otlp.resource_attribute)
    ours = otlp.request(resource, [(otlp.scope("shop"), [item])])

    assert stock == ExportLogsServiceRequest.FromString(ours)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 99)), min_size=2))
def test_halves_hold_every_item_once(items: list[tuple[str, int]]) -> None:
    """A request that was too big is split without loss, its resource and scopes kept."""
    groups = [
        (otlp.scope(name, "1"), [protobuf.field(b"\x2a", str(number).encode())])
        for name, number in items
    ]
    whole = otlp.request(otlp.resource_attribute("service.name", "shop"), groups)
    found = []
    for body, count in envelope.halves(whole):
        request = ExportTraceServiceRequest.FromString(body)
        (resource,) = request.resource_spans
        assert "shop" == resource.resource.attributes[0].value.string_value
        part = [(g.scope.name, int(s.name)) for g in resource.scope_spans for s in g.spans]
        assert count == len(part)
        found += part

    assert items == found


@given(st.binary(max_size=80))
def test_garbage_answers_say_nothing(answer: bytes) -> None:
    """Whatever a server answers, reading it raises nothing."""
    count, why = envelope.rejected(answer)

    assert isinstance(count, int)
    assert isinstance(why, str)


def test_partial_success_is_read() -> None:
    """How many items a server refused, and why, is known."""
    partial = ExportTracePartialSuccess(rejected_spans=300, error_message="too old")
    answer = ExportTraceServiceResponse(partial_success=partial)

    assert (300, "too old") == envelope.rejected(answer.SerializeToString())
