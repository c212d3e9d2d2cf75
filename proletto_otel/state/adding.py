"""One series of several processes, added up to one point.

Which series belong together lives in `state.merging`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from proletto_otel.core.metrics.registry import Attributes, Histogram, Point
from proletto_otel.state.shared_histograms import Record


class Reading(NamedTuple):
    """A histogram as it was read from the memory of its process."""

    record: Record
    numbers: bytes
    """Doubles: the count of each bucket, sum, minimum, maximum."""
    exemplars: Mapping[str, Any]
    """What the process published last: they are not in its memory."""


Parts = list[Point | Reading]
"""What the processes have of a series; the first one decides what it is."""


Add = Callable[[list[float]], float]


def added(attributes: Attributes, parts: Parts, add: Add) -> Point:
    """The point of all *parts*; one that cannot be added to the first is left out."""
    first = parts[0]
    if isinstance(first, Point):
        if len(parts) == 1:
            return first
        if not isinstance(first.value, Histogram):
            return _number(attributes, parts, add)
    return _histogram(attributes, parts, add)


def _number(attributes: Attributes, parts: Parts, add: Add) -> Point:
    values, starts = [], []
    for part in parts:
        # a number and a histogram under one name come from two releases and are not added
        if isinstance(part, Point) and not isinstance(part.value, Histogram):
            values.append(part.value)
            starts.append(part.start_ns)
    return Point(attributes, add(values), min(starts))


class _Opened(NamedTuple):
    bounds: tuple[float, ...]
    counts: Sequence[float]
    sum: float
    low: float
    high: float
    exemplars: Mapping[Any, Any]
    start_ns: int


def _opened(part: Point | Reading) -> _Opened | None:
    if isinstance(part, Reading):
        *counts, own, low, high = array("d", part.numbers)
        r = part.record
        return _Opened(r.bounds, counts, own, low, high, part.exemplars, r.start_ns)
    h = part.value
    if not isinstance(h, Histogram):
        return None
    low = math.inf if h.min is None else h.min
    high = -math.inf if h.max is None else h.max
    return _Opened(h.bounds, h.counts, h.sum, low, high, h.exemplars, part.start_ns)


def _histogram(attributes: Attributes, parts: Parts, add: Add) -> Point:
    opened = [found for found in map(_opened, parts) if found is not None]
    bounds = opened[0].bounds
    same = [o for o in opened if o.bounds == bounds]  # another release may count differently
    counts = [int(sum(bucket)) for bucket in zip(*(o.counts for o in same), strict=True)]
    low, high = min(o.low for o in same), max(o.high for o in same)
    value = Histogram(bounds, counts, add([o.sum for o in same]), sum(counts))
    if low <= high:  # something was observed
        value.min, value.max = low, high
    for found in same:
        for bucket, exemplar in found.exemplars.items():
            # One a bucket is enough: the latest, by its time.
            held = value.exemplars.get(int(bucket))
            if held is None or exemplar[3] > held[3]:
                value.exemplars[int(bucket)] = exemplar
    return Point(attributes, value, min(o.start_ns for o in same))


def total(values: list[float]) -> float:
    """The sum of *values*, the same in whatever order they come.

    Each worker meets the others in another order. Added one after the other, floats then differ in
    their last digit, and to Prometheus a counter that is lower than before began again: it would
    count the whole of it once more.
    """
    found = sum(values)
    if isinstance(found, int):
        return found
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # beyond the largest number; infinities of both signs
        return found


def total_not_below(values: list[float]) -> float:
    """As `total`, rounded up: what is stored of it may be added to later and must not fall."""
    found = total(values)
    if isinstance(found, int) or not math.isfinite(found):
        return found
    # The exact sum less what was found: above zero, where it was rounded down.
    rest = math.fsum([*values, -found])
    return math.nextafter(found, math.inf) if rest > 0 else found
