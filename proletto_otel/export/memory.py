"""An exporter for tests: it holds everything in memory and sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.export.encoding.decoding import Message
from proletto_otel.runtime.lifecycle import Component

Plain = dict[str, Any]
KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")


class MemoryQueue:
    """Takes the place of `export.queue.ExportQueue`; holds the encoded items for a test to read."""

    def __init__(self, sink: str) -> None:
        self.sink = sink
        self.items: list[bytes] = []

    def put(self, item: bytes, scope: bytes = b"") -> None:
        """Store *item*; it counts as delivered."""
        # Counted as a real sink counts, so that a test sees the ledger's equation hold.
        self.items.append(item)
        ledger.emitted(self.sink)
        ledger.delivered(self.sink)

    def put_many(self, items: Sequence[bytes]) -> None:
        """Store several."""
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
        """Do nothing: what was put is delivered."""
        return True

    def status(self) -> Plain:
        """What `OtlpExporter.status` gives, for a peer that is always there."""
        return {"endpoint": "memory", "healthy": True}

    def clear(self) -> None:
        """Forget all spans and log records."""
        self.traces.items.clear()
        self.logs.items.clear()

    # Field numbers: opentelemetry/proto/{trace,logs,common}/v1/*.proto
    def spans(self) -> list[Plain]:
        """The spans, decoded."""
        return [
            {
                "name": span.text(5),
                "kind": KINDS[span.integer(6)],
                "trace_id": span.binary(1).hex(),
                "span_id": span.binary(2).hex(),
                "parent_id": span.binary(4).hex(),
                "trace_state": span.text(3),
                "start_ns": span.fixed(7),
                "end_ns": span.fixed(8),
                "attributes": _attributes(span, 9),
                "events": [
                    {"name": e.text(2), "attributes": _attributes(e, 3)} for e in span.messages(11)
                ],
                "links": [
                    {"trace_id": link.binary(1).hex(), "span_id": link.binary(2).hex()}
                    for link in span.messages(13)
                ],
                "status": STATUSES[span.message(15).integer(3)],
                "status_message": span.message(15).text(2),
            }
            for span in map(Message, self.traces.items)
        ]

    def records(self) -> list[Plain]:
        """The log records, decoded."""
        return [
            {
                "body": _value(record.message(5)),
                "severity": record.text(3),
                "severity_number": record.integer(2),
                "trace_id": record.binary(9).hex(),
                "span_id": record.binary(10).hex(),
                "time_ns": record.fixed(1),
                "attributes": _attributes(record, 6),
            }
            for record in map(Message, self.logs.items)
        ]


def _attributes(item: Message, number: int) -> Plain:
    return {pair.text(1): _value(pair.message(2)) for pair in item.messages(number)}


def _value(value: Message) -> Any:
    """An `AnyValue`: one field of seven says its kind."""
    readers: dict[int, Callable[[], Any]] = {
        1: lambda: value.text(1),
        2: lambda: bool(value.integer(2)),
        3: lambda: value.integer(3),
        4: lambda: value.double(4),
        5: lambda: [_value(one) for one in value.message(5).messages(1)],
        6: lambda: _attributes(value.message(6), 1),
        7: lambda: value.binary(7),
    }
    return next((read() for number, read in readers.items() if number in value), None)
