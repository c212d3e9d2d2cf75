"""Numbers of several processes added up, and written in a form that travels between them.

Where the numbers are stored, and which process is alive: `state.snapshots`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from proletto_otel.core.conventions import OVERFLOW, PROCESS_PID, TELEMETRY_SPOOLED
from proletto_otel.core.metrics.registry import (
    MAX_CELLS,
    Attributes,
    Exemplar,
    Family,
    Histogram,
    Point,
)
from proletto_otel.state.shared_histograms import Record

Series = tuple[str, Attributes]
Plain = list[Any]
"""A family as JSON carries it: name, kind, unit, description, per, points."""
FIELDS = 6
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


def lasts(kind: str, name: str) -> bool:
    """Whether a dead process's numbers still count: its totals do, its gauges do not."""
    return kind in ("counter", "histogram") or name in OUTLIVES


class Sum:
    """Adds families up; of values that cannot be added (gauges) the first one stays."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._points: dict[str, dict[Attributes, Point]] = {}

    def take(self, families: Iterable[Family], pid: int) -> None:
        """Add the families of this process, *pid*; they are taken over and change later."""
        for family in families:
            suffix = _suffix(family.kind, family.per, pid)
            points = self._of(family)
            for point in family.points:
                if suffix:
                    point.attributes += suffix
                _take(points, point, family.kind)

    def take_plain(
        self, plain: Iterable[Plain], pid: int | None = None, records: Sequence[Record] = ()
    ) -> None:
        """Add what another process published; without *pid* it is dead and only totals count.

        Its *records* are what its histograms say now; of what it published before, their exemplars
        remain.
        """
        # Histograms in shared memory are newer than the published copy of the same series, so the
        # copy is skipped. Memory holds no exemplars; those are taken from the copy.
        exemplars: dict[Series, dict[str, Any]] = {(r.name, r.attributes): {} for r in records}
        for name, kind, unit, description, per, found in plain:
            if pid is None and not lasts(kind, name):
                continue
            suffix = _suffix(kind, per, pid)
            points = self._of(Family(name, kind, unit, description, [], per))
            for attributes, value, start_ns in found:
                key = (*map(tuple, attributes), *suffix)
                if (name, key) in exemplars:
                    exemplars[name, key] = value[-1]
                else:
                    _take_plain(points, key, value, start_ns, kind)
        for r in records:
            points = self._of(Family(r.name, "histogram", r.unit, r.description, [], r.per))
            value = r.plain(exemplars[r.name, r.attributes])
            _take_plain(points, r.attributes, value, r.start_ns, "histogram")

    def families(self) -> list[Family]:
        """What was added up, as families."""
        return [
            Family(name, f.kind, f.unit, f.description, list(self._points[name].values()), f.per)
            for name, f in self._families.items()
        ]

    def _of(self, family: Family) -> dict[Attributes, Point]:
        self._families.setdefault(family.name, family)
        return self._points.setdefault(family.name, {})


def _suffix(kind: str, per: str, pid: int | None) -> Attributes:
    """What is not added up stands side by side: each carries the pid of its process."""
    side_by_side = per == "process" or (kind == "gauge" and per == "worker")
    return ((PROCESS_PID, pid),) if side_by_side and pid else ()


def _take_plain(
    points: dict[Attributes, Point], key: Attributes, value: Any, start_ns: int, kind: str
) -> None:
    # The frequent case first: a scrape adds thousands of histograms, and making an object of each
    # only to add it to another one would take longer than the addition.
    held = points.get(key)
    if held is not None and isinstance(value, list) and _absorb(held, value, start_ns):
        return
    loaded = value
    if isinstance(value, list):
        bounds, counts, total, low, high, exemplars = value
        # JSON has no integer keys
        found: dict[int, Exemplar] = {int(bucket): e for bucket, e in exemplars.items()}
        loaded = Histogram(tuple(bounds), counts, total, sum(counts), low, high, found)
    _take(points, Point(key, loaded, start_ns), kind)


def _take(points: dict[Attributes, Point], point: Point, kind: str) -> None:
    held = points.get(point.attributes)
    if held is None:
        points[point.attributes] = point
        return
    if kind == "gauge":  # two values of a gauge have no sum: the first one wins
        return
    a, b = held.value, point.value
    # a number and a histogram under one name come from two releases and are not added
    if isinstance(a, Histogram) and isinstance(b, Histogram):
        _absorb(held, [b.bounds, b.counts, b.sum, b.min, b.max, b.exemplars], point.start_ns)
    elif not isinstance(a, Histogram) and not isinstance(b, Histogram):
        held.value = a + b
        held.start_ns = min(held.start_ns, point.start_ns)


def _absorb(held: Point, plain: Plain, start_ns: int) -> bool:
    """Add a histogram to *held* in place; what another release counted differently stays out."""
    h = held.value
    if not isinstance(h, Histogram):
        return False
    bounds, counts, total, low, high, exemplars = plain
    # The lengths first: comparing them is cheap, and JSON gives a list where we have a tuple.
    if len(bounds) != len(h.bounds) or tuple(bounds) != h.bounds:
        return True
    h.counts = [x + y for x, y in zip(h.counts, counts, strict=True)]
    h.count = sum(h.counts)
    h.sum += total
    if low is not None and (h.min is None or low < h.min):
        h.min = low
    if high is not None and (h.max is None or high > h.max):
        h.max = high
    for bucket, exemplar in exemplars.items():
        # One exemplar a bucket is enough; the newest snapshot comes first, so its exemplar stays.
        h.exemplars.setdefault(int(bucket), exemplar)
    held.start_ns = min(held.start_ns, start_ns)
    return True


def bounded(families: Iterable[Family]) -> list[Family]:
    """Cut the numbers of dead processes to the limit of an instrument; the rest is one series."""
    return [_bounded(f) if len(f.points) > MAX_CELLS else f for f in families]


def _bounded(family: Family) -> Family:
    points: dict[Attributes, Point] = {}
    for point in family.points:
        series = point
        # as `core.metrics.registry` does within one process: no count is lost, only its labels
        if len(points) >= MAX_CELLS and point.attributes not in points:
            series = replace(point, attributes=OVERFLOW_ATTRIBUTES)
        _take(points, series, family.kind)
    return replace(family, points=list(points.values()))
