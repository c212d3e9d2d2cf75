"""Metrics as OTLP protobuf: sums, gauges and histograms of `core.metrics.registry`, always
cumulative.

One delta counter makes Prometheus refuse a whole request, so there is no way to ask for delta.
Other signals live in `export.encoding.otlp`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.registry import Family, Histogram, Point
from proletto_otel.export.encoding.protobuf import attribute, constant, field, text

_point_attribute = constant(attribute(b"\x3a"))
_histogram_attribute = constant(attribute(b"\x4a"))

# Sum and Histogram: field 2 is the temporality (2: cumulative); field 3 of a Sum: it only grows.
_CUMULATIVE = b"\x10\x02"
_MONOTONIC = b"\x18\x01"
_INT64 = 1 << 63

_double = struct.Struct("<d").pack
_int64 = struct.Struct("<q").pack
_uint64 = struct.Struct("<Q").pack


def metrics(families: Iterable[Family], resource: bytes, time_ns: int, scope: bytes = b"") -> bytes:
    """An export request of everything in *families*.

    Args:
        families: What `Registry.collect` gave.
        resource: Joined fragments of `encode.resource_attribute`.
        time_ns: When they were read, unix time in nanoseconds.
        scope: What `otlp.scope` gave.
    """
    parts = [scope]
    for family in families:
        with suppressed("export.metric"):  # one bad family does not cost the others
            parts.append(field(b"\x12", _metric(family, time_ns)))
    group = field(b"\x12", b"".join(parts))
    return field(b"\x0a", field(b"\x0a", resource) + group)


def _metric(family: Family, time_ns: int) -> bytes:
    # Metric: 1 name, 2 description, 3 unit; then 5 gauge, 7 sum or 9 histogram.
    head = field(b"\x0a", text(family.name)) + field(b"\x12", text(family.description))
    head += field(b"\x1a", text(family.unit))
    now = b"\x19" + _uint64(time_ns)
    if family.kind == "histogram":
        points = b"".join(_histogram(point, now) for point in family.points)
        return head + field(b"\x4a", points + _CUMULATIVE)
    if family.kind == "gauge":
        return head + field(b"\x2a", b"".join(_number(p, now, 0) for p in family.points))
    points = b"".join(_number(p, now, p.start_ns) for p in family.points)
    tail = _CUMULATIVE + _MONOTONIC if family.kind == "counter" else _CUMULATIVE
    return head + field(b"\x3a", points + tail)


def _number(point: Point, now: bytes, start_ns: int) -> bytes:
    value = point.value
    if isinstance(value, Histogram):
        raise TypeError("a number was expected, not a histogram")
    # NumberDataPoint: 6 an integer of 64 bits, 4 a double. A count that no longer fits loses its
    # last digits as a double instead of failing the request.
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        content = now + b"\x31" + _int64(value)
    else:
        content = now + b"\x21" + _double(value)
    if start_ns:
        content += b"\x11" + _uint64(start_ns)
    content += b"".join([_point_attribute(k, v) for k, v in point.attributes])
    return field(b"\x0a", content)


def _histogram(point: Point, now: bytes) -> bytes:
    h = point.value
    if not isinstance(h, Histogram):
        raise TypeError("a histogram was expected, not a number")
    # HistogramDataPoint: 3 now, 2 start, 4 count, 5 sum, 6 counts, 7 bounds, 11 and 12 the
    # extremes.
    parts = [
        now,
        b"\x11" + _uint64(point.start_ns),
        b"\x21" + _uint64(h.count),
        b"\x29" + _double(h.sum),
        field(b"\x32", struct.pack(f"<{len(h.counts)}Q", *h.counts)),
        field(b"\x3a", struct.pack(f"<{len(h.bounds)}d", *h.bounds)),
    ]
    parts += [b"\x59" + _double(h.min)] if h.min is not None else []
    parts += [b"\x61" + _double(h.max)] if h.max is not None else []
    for _, (trace_id, span_id, value, time_s) in sorted(h.exemplars.items()):
        # Exemplar: 2 time, 3 value as a double, 4 span ID (8 bytes), 5 trace ID (16 bytes).
        ids = bytes.fromhex(span_id), bytes.fromhex(trace_id)
        content = (_uint64(int(time_s * 1e9)), _double(value), *ids)
        parts.append(field(b"\x42", b"\x11%b\x19%b\x22\x08%b*\x10%b" % content))
    parts += [_histogram_attribute(k, v) for k, v in point.attributes]
    return field(b"\x0a", b"".join(parts))
