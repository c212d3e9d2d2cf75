"""Numbers of several processes added up, and written in a form that travels between them.

Where the numbers lie and whose process is alive lives in `state.snapshots`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from proletto_otel.core.conventions import OVERFLOW, PROCESS_PID, TELEMETRY_SPOOLED
from proletto_otel.core.meters import (
    MAX_CELLS,
    Attributes,
    Exemplar,
    Family,
    Histogram,
    Point,
)

Plain = list[Any]
OVERFLOW_ATTRIBUTES: Attributes = ((OVERFLOW, True),)
OUTLIVES = frozenset({TELEMETRY_SPOOLED.name})
"""Up-down counts that stay true after their process died: what it left on disk."""


def dump(families: Iterable[Family]) -> list[Plain]:
    """Families as lists that JSON can carry."""
    return [
        [f.name, f.kind, f.unit, f.description, f.per, [_dump_point(p) for p in f.points]]
        for f in families
    ]


def _dump_point(point: Point) -> Plain:
    v = point.value
    value: Any = v
    if isinstance(v, Histogram):
        exemplars = {str(bucket): e for bucket, e in v.exemplars.items()}
        value = [v.bounds, v.counts, v.sum, v.min, v.max, exemplars]
    return [point.attributes, value, point.start_ns]


def load(plain: Iterable[Plain]) -> list[Family]:
    """The opposite of `dump`."""
    return [
        Family(name, kind, unit, description, [_load_point(p) for p in points], per)
        for name, kind, unit, description, per, points in plain
    ]


def _load_point(plain: Plain) -> Point:
    attributes, value, start_ns = plain
    if isinstance(value, list):
        bounds, counts, total, low, high, exemplars = value
        kept: dict[int, Exemplar] = {int(b): tuple(e) for b, e in exemplars.items()}
        value = Histogram(tuple(bounds), counts, total, sum(counts), low, high, kept)
    return Point(tuple((name, v) for name, v in attributes), value, start_ns)


def lasting(families: Iterable[Family]) -> list[Family]:
    """What of a dead process still counts: its totals, not its gauges."""
    return [f for f in families if f.kind in ("counter", "histogram") or f.name in OUTLIVES]


def bounded(families: Iterable[Family]) -> list[Family]:
    """Keep what the dead leave within the limit of an instrument; the rest is one series."""
    return [_bounded(f) if len(f.points) > MAX_CELLS else f for f in families]


def _bounded(family: Family) -> Family:
    kept: dict[Attributes, Point] = {}
    for point in family.points:
        series = point
        if len(kept) >= MAX_CELLS and point.attributes != OVERFLOW_ATTRIBUTES:
            series = replace(point, attributes=OVERFLOW_ATTRIBUTES)
        held = kept.get(series.attributes)
        kept[series.attributes] = series if held is None else add(held, series)
    return replace(family, points=list(kept.values()))


def of_worker(families: Iterable[Family], pid: int) -> list[Family]:
    """Give each gauge of one worker its pid, so that workers stand side by side."""
    return [_with_pid(f, pid) if f.kind == "gauge" and f.per == "worker" else f for f in families]


def _with_pid(family: Family, pid: int) -> Family:
    own = ((PROCESS_PID, pid),)
    points = [Point(p.attributes + own, p.value, p.start_ns) for p in family.points]
    return replace(family, points=points)


def merge(sources: Sequence[Sequence[Family]]) -> list[Family]:
    """Add the families of all sources; a later source wins where there is nothing to add."""
    merged: dict[str, tuple[Family, dict[Attributes, Point]]] = {}
    for families in sources:
        for family in families:
            held = merged.get(family.name)
            if held is None:
                held = merged[family.name] = (family, {})
            _take(held[1], family)
    return [replace(family, points=list(points.values())) for family, points in merged.values()]


def _take(points: dict[Attributes, Point], family: Family) -> None:
    for point in family.points:
        held = points.get(point.attributes)
        if held is None or family.kind == "gauge":
            points[point.attributes] = point
        else:
            points[point.attributes] = add(held, point)


def add(a: Point, b: Point) -> Point:
    """Two points of one series as one; the inputs stay as they are."""
    start = min(a.start_ns, b.start_ns)
    if isinstance(a.value, Histogram) and isinstance(b.value, Histogram):
        return Point(a.attributes, _add_histograms(a.value, b.value), start)
    if isinstance(a.value, Histogram) or isinstance(b.value, Histogram):
        return b  # the kind changed between two releases: the newer one is right
    return Point(a.attributes, a.value + b.value, start)


def _add_histograms(a: Histogram, b: Histogram) -> Histogram:
    if a.bounds != b.bounds:
        return b
    return Histogram(
        a.bounds,
        [x + y for x, y in zip(a.counts, b.counts, strict=True)],
        a.sum + b.sum,
        a.count + b.count,
        min((x for x in (a.min, b.min) if x is not None), default=None),
        max((x for x in (a.max, b.max) if x is not None), default=None),
        {**a.exemplars, **b.exemplars},
    )
