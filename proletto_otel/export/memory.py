"""An exporter that keeps everything: for tests. Decoding needs `opentelemetry-proto`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.runtime.lifecycle import Component

Plain = dict[str, Any]
KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")


class MemoryQueue:
    """Stands where a queue stands: takes encoded items and keeps them."""

    def __init__(self, sink: str) -> None:
        self.sink = sink
        self.items: list[bytes] = []

    def put(self, item: bytes, scope: bytes = b"") -> None:
        """Keep *item*; it counts as delivered."""
        self.items.append(item)
        ledger.emitted(self.sink)
        ledger.delivered(self.sink)

    def put_many(self, items: Sequence[bytes]) -> None:
        """Keep several."""
        for item in items:
            self.put(item)


class MemoryExporter(Component):
    """The interface of `export.exporter.OtlpExporter` without a network."""

    name = "otlp"

    def __init__(self) -> None:
        self.traces = MemoryQueue("otlp_traces")
        self.logs = MemoryQueue("otlp_logs")

    def start(self) -> None:
        """Nothing to start."""

    def stop(self, deadline: float) -> None:
        """Nothing to stop."""

    def forked(self) -> None:
        """The child begins empty."""
        self.clear()

    def flush(self, deadline: float) -> bool:
        """Everything has arrived."""
        return True

    def status(self) -> Plain:
        """What `OtlpExporter.status` gives, for a peer that is always there."""
        return {"endpoint": "memory", "healthy": True}

    def clear(self) -> None:
        """Forget everything."""
        self.traces.items.clear()
        self.logs.items.clear()

    def spans(self) -> list[Plain]:
        """The spans, decoded."""
        from opentelemetry.proto.trace.v1.trace_pb2 import Span

        return [_span(Span.FromString(item)) for item in self.traces.items]

    def records(self) -> list[Plain]:
        """The log records, decoded."""
        from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

        return [_log(LogRecord.FromString(item)) for item in self.logs.items]


def _span(span: Any) -> Plain:
    return {
        "name": span.name,
        "kind": KINDS[span.kind],
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex(),
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "attributes": _attributes(span),
        "events": [{"name": e.name, "attributes": _attributes(e)} for e in span.events],
        "links": [{"trace_id": x.trace_id.hex(), "span_id": x.span_id.hex()} for x in span.links],
        "status": STATUSES[span.status.code],
        "status_message": span.status.message,
    }


def _log(record: Any) -> Plain:
    return {
        "body": _value(record.body),
        "severity": record.severity_text,
        "severity_number": record.severity_number,
        "trace_id": record.trace_id.hex(),
        "span_id": record.span_id.hex(),
        "time_ns": record.time_unix_nano,
        "attributes": _attributes(record),
    }


def _attributes(item: Any) -> Plain:
    return {pair.key: _value(pair.value) for pair in item.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None
