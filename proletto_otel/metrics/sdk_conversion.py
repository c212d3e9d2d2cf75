"""Converts what the SDK collected into the types of `core.metrics.registry`."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.registry import Family, Histogram, Point


def families(data: Any) -> list[Family]:
    """Everything the SDK collected; what has no such type is left out."""
    found: list[Family] = []
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                with suppressed("meter.convert"):
                    found.append(_family(metric))
    return found


def _family(metric: Any) -> Family:
    kind = type(metric.data).__name__
    if kind == "Sum":
        kind = "counter" if metric.data.is_monotonic else "updown"
    # a point with a scale is an exponential histogram, which has no fixed buckets to show
    points = [_point(p) for p in metric.data.data_points if not hasattr(p, "scale")]
    return Family(metric.name, kind.lower(), metric.unit or "", metric.description or "", points)


def _point(point: Any) -> Point:
    attributes = tuple(
        (k, v if isinstance(v, (str, int, float, bool)) else str(v))
        for k, v in (point.attributes or {}).items()
    )
    # A gauge has no start.
    start = point.start_time_unix_nano or 0
    if not hasattr(point, "bucket_counts"):
        return Point(attributes, point.value, start)
    bounds, counts = tuple(point.explicit_bounds), list(point.bucket_counts)
    value = Histogram(bounds, counts, point.sum, point.count, point.min, point.max)
    for e in point.exemplars:
        if e.trace_id:
            bucket = bisect_left(bounds, e.value)  # an edge belongs to the bucket that it closes
            ids = f"{e.trace_id:032x}", f"{e.span_id:016x}"
            value.exemplars[bucket] = (*ids, float(e.value), e.time_unix_nano / 1e9)
    return Point(attributes, value, start)
