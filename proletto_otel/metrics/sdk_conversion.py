"""What the SDK collected, in the words of `core.metrics.registry`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.registry import Exemplar, Family, Histogram, Point


def families(data: Any) -> list[Family]:
    """Everything the SDK collected; what it cannot say in our words is left out."""
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
    points = [_point(p) for p in metric.data.data_points if not hasattr(p, "scale")]
    return Family(metric.name, kind.lower(), metric.unit or "", metric.description or "", points)


def _point(point: Any) -> Point:
    attributes = tuple((k, _attribute_value(v)) for k, v in (point.attributes or {}).items())
    start = point.start_time_unix_nano or 0
    if not hasattr(point, "bucket_counts"):
        return Point(attributes, point.value, start)
    bounds, counts = tuple(point.explicit_bounds), list(point.bucket_counts)
    value = Histogram(bounds, counts, point.sum, point.count, point.min, point.max)
    value.exemplars = {
        _bucket(bounds, e.value): _exemplar(e) for e in point.exemplars if e.trace_id
    }
    return Point(attributes, value, start)


def _bucket(bounds: Sequence[float], value: float) -> int:
    return next((i for i, edge in enumerate(bounds) if value <= edge), len(bounds))


def _exemplar(e: Any) -> Exemplar:
    return f"{e.trace_id:032x}", f"{e.span_id:016x}", float(e.value), e.time_unix_nano / 1e9


def _attribute_value(value: Any) -> str | int | float | bool:
    return value if isinstance(value, (str, int, float, bool)) else str(value)
