"""What tests read back is what OpenTelemetry's own decoder reads."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from proletto_otel.export.encoding.decoding import Message
from proletto_otel.export.memory import MemoryExporter
from tests.waiting import PATIENCE_S

values = st.recursive(
    st.one_of(
        st.text().map(lambda v: AnyValue(string_value=v)),
        st.booleans().map(lambda v: AnyValue(bool_value=v)),
        st.integers(-(2**63), 2**63 - 1).map(lambda v: AnyValue(int_value=v)),
        st.floats(allow_nan=False).map(lambda v: AnyValue(double_value=v)),
        st.binary().map(lambda v: AnyValue(bytes_value=v)),
        st.just(AnyValue()),
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: AnyValue(array_value=ArrayValue(values=v)))
        | st.dictionaries(st.text(), inner, max_size=3).map(
            lambda v: AnyValue(
                kvlist_value=KeyValueList(values=[KeyValue(key=k, value=x) for k, x in v.items()])
            )
        )
    ),
    max_leaves=8,
)


def plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


@given(body=values, attributes=st.dictionaries(st.text(), values, max_size=4))
def test_any_value_is_read_back(body: AnyValue, attributes: dict[str, AnyValue]) -> None:
    """Texts, numbers, lists and maps, whatever they nest."""
    pairs = [KeyValue(key=k, value=v) for k, v in attributes.items()]
    record = LogRecord(
        time_unix_nano=2**63, severity_number=17, severity_text="ERROR", body=body,
        attributes=pairs, trace_id=b"t" * 16, span_id=b"s" * 8, flags=1,
    )  # fmt: skip
    exporter = MemoryExporter()
    exporter.logs.put(record.SerializeToString())

    assert [
        {
            "body": plain(body), "severity": "ERROR", "severity_number": 17,
            "trace_id": b"t".hex() * 16, "span_id": b"s".hex() * 8, "time_ns": 2**63,
            "attributes": {k: plain(v) for k, v in attributes.items()},
        }
    ] == exporter.records()  # fmt: skip


def test_a_span_is_read_back() -> None:
    """Every part of it."""
    span = Span(
        trace_id=b"t" * 16, span_id=b"s" * 8, parent_span_id=b"p" * 8, name="GET /", kind=2,
        trace_state="ot=th:8",
        start_time_unix_nano=1, end_time_unix_nano=2**60,
        attributes=[KeyValue(key="a", value=AnyValue(int_value=-1))],
        events=[Span.Event(time_unix_nano=3, name="exception", attributes=[KeyValue(key="e")])],
        links=[Span.Link(trace_id=b"l" * 16, span_id=b"m" * 8)],
        status=Status(code=2, message="no"),
    )  # fmt: skip
    exporter = MemoryExporter()
    exporter.traces.put(span.SerializeToString())

    assert [
        {
            "name": "GET /", "kind": "SERVER", "trace_id": b"t".hex() * 16,
            "span_id": b"s".hex() * 8, "parent_id": b"p".hex() * 8, "start_ns": 1,
            "trace_state": "ot=th:8",
            "end_ns": 2**60, "attributes": {"a": -1},
            "events": [{"name": "exception", "attributes": {"e": None}}],
            "links": [{"trace_id": b"l".hex() * 16, "span_id": b"m".hex() * 8}],
            "status": "ERROR", "status_message": "no",
        }
    ] == exporter.spans()  # fmt: skip


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x80", b"\x0b", b"\x09\x00"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    """A cut or foreign item does not read as an empty one."""
    with pytest.raises(ValueError, match=r"cut|wire"):
        Message(data)


def test_a_plain_installation_is_enough() -> None:
    """Capturing works where `opentelemetry-proto` is not installed."""
    program = """
import sys, tempfile
sys.modules["opentelemetry.proto"] = None
from flask import Flask
from proletto_otel import setup_telemetry
from proletto_otel.testing import capture
with capture(tempfile.mkdtemp()) as captured:
    app = Flask("shop")
    setup_telemetry(app)
    app.test_client().get("/nothing")
    assert [404] == [s["attributes"]["http.response.status_code"] for s in captured.spans]
    assert captured.logs
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE_S)
