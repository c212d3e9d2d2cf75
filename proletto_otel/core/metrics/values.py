"""Single series: cells that count, and what is read out of them.

Which cells there are, by metric and attributes, lives in `core.metrics.registry`.
"""

from __future__ import annotations

import math
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import field
from operator import is_
from threading import Lock
from typing import Any

from proletto_otel.core.record import record

Value = str | int | float | bool | None
Values = tuple[Value, ...]
Attributes = tuple[tuple[str, str | int | float | bool], ...]
Exemplar = tuple[str, str, float, float]
"""trace ID (hex), span ID (hex), measured value, unix time in seconds."""

Numbers = Any
"""An `array` or a `memoryview` of doubles: what both have in common has no type."""


@record(slots=True)
class Histogram:
    """Counts per bucket; `counts` has one more entry than `bounds`.

    Not to be changed once it was made: who reads an unchanged series again gets the same object.
    """

    bounds: tuple[float, ...]
    counts: list[int]
    sum: float = 0.0
    count: int = 0
    min: float | None = None
    max: float | None = None
    exemplars: dict[int, Exemplar] = field(default_factory=dict)
    """The latest exemplar by bucket."""

    def __init__(
        self, bounds: tuple[float, ...], counts: list[int], sum: float = 0.0, count: int = 0,
        min: float | None = None, max: float | None = None,
        exemplars: dict[int, Exemplar] | None = None,
    ) -> None:  # fmt: skip
        self.bounds, self.counts, self.sum, self.count = bounds, counts, sum, count
        self.min, self.max = min, max
        self.exemplars = {} if exemplars is None else exemplars


@record(slots=True)
class Point:
    """One series as it was read; not to be changed (see `Histogram`)."""

    attributes: Attributes
    value: float | Histogram
    start_ns: int = 0
    """When counting began, unix time in nanoseconds; 0 for gauges."""

    def __init__(self, attributes: Attributes, value: float | Histogram, start_ns: int = 0) -> None:
        self.attributes, self.value, self.start_ns = attributes, value, start_ns


@record(slots=True)
class Family:
    """All series of one metric."""

    name: str
    kind: str
    """`counter`, `updown`, `gauge` or `histogram`."""
    unit: str
    description: str
    points: list[Point]
    per: str = "worker"
    """`worker`: each process has its own series; `process`: so, and they are never added up;
    `host`: one process reports for all."""

    def __init__(
        self, name: str, kind: str, unit: str, description: str, points: list[Point],
        per: str = "worker",
    ) -> None:  # fmt: skip
        self.name, self.kind, self.unit, self.description = name, kind, unit, description
        self.points, self.per = points, per


def are_same(a: Sequence[Point], b: Sequence[Point]) -> bool:
    """Whether both are the same objects: equal ones (1 and 1.0) may be different texts."""
    return len(a) == len(b) and all(map(is_, a, b))


class Cell:
    """One number. `add` is a single in-place addition on an attribute.

    CPython switches threads and runs signal handlers only at calls and backward jumps (3.10 and
    later), so no addition is lost without a lock, and none can dead-lock a signal handler.
    """

    __slots__ = ("_point", "start_ns", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self.start_ns = time.time_ns()
        self._point: Point | None = None

    def add(self, n: float) -> None:
        """Add *n*; a counter's *n* is not negative."""
        self.value += n

    def set(self, value: float) -> None:
        """Replace the value (gauges)."""
        self.value = value

    def read(self) -> float:
        """The value now."""
        return self.value

    def point(self, attributes: Attributes) -> Point:
        """The series now, under *attributes*; the same object as before if it did not change."""
        value, found = self.value, self._point
        # By identity: 1 and 1.0 are equal, but not the same text.
        if found is None or found.value is not value or found.start_ns != self.start_ns:
            found = self._point = Point(attributes, value, self.start_ns)
        return found

    def reset(self) -> None:
        """Begin again at zero."""
        self.value = 0
        self.start_ns = time.time_ns()


class HistogramCell:
    """One distribution. `observe` takes a lock: five numbers change together.

    Its numbers are one sequence of doubles (counts, sum, minimum, maximum): an array, or memory
    that outlives the process (`state.shared_histograms`).
    """

    __slots__ = (
        "_bytes",
        "_high",
        "_latest",
        "_lock",
        "_low",
        "_numbers",
        "_point",
        "_sum",
        "bounds",
        "exemplars",
        "start_ns",
    )

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._sum = len(bounds) + 1
        self._low = self._sum + 1
        self._high = self._sum + 2
        self.reset()

    @property
    def size(self) -> int:
        """How many numbers it keeps."""
        return self._high + 1

    def reset(self) -> None:
        """Begin again at zero, with a fresh lock, in an array."""
        # A new lock, because after a fork the old one may be held by a thread that is not here; and
        # an array, because the memory it was moved to belongs to the parent.
        self._lock = Lock()
        self._count_in(array("d", [0.0] * self._sum + [0.0, math.inf, -math.inf]))
        self.exemplars: dict[int, Exemplar] = {}
        self.start_ns = time.time_ns()
        self._point: Point | None = None

    def move(self, numbers: Numbers) -> None:
        """Go on counting in *numbers*, a sequence of `size` doubles."""
        with self._lock:
            for i, number in enumerate(self._numbers):
                numbers[i] = number
            self._count_in(numbers)

    def _count_in(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._bytes: Callable[[], bytes] = numbers.tobytes
        # One value, not two: a thread that stores it meanwhile must not pair old with new.
        self._latest: tuple[bytes, Histogram] | None = None

    def observe(self, x: float, trace_id: str = "", span_id: str = "") -> None:
        """Count *x*; with a trace ID it becomes the bucket's exemplar."""
        # The bucket is found before the lock is taken, so that it is held for five stores only:
        # 0.35 µs in all, where the SDK's `record` takes 9.9 with five attributes (measured).
        bucket = bisect_left(self.bounds, x)
        with self._lock:
            numbers = self._numbers
            numbers[bucket] += 1
            numbers[self._sum] += x
            if x > numbers[self._high]:
                numbers[self._high] = x
            if x < numbers[self._low]:
                numbers[self._low] = x
            if trace_id:
                self.exemplars[bucket] = (trace_id, span_id, x, time.time())

    def read(self) -> Histogram:
        """A consistent copy; the same object as before if nothing was observed since."""
        # Copied in one call of C under the lock; the sums are made outside of it, so a scrape does
        # not hold up the requests that observe meanwhile.
        with self._lock:
            numbers = self._bytes()
            # Every observation, and so every new exemplar, changes a count.
            if self._latest is not None and self._latest[0] == numbers:
                return self._latest[1]
            exemplars = self.exemplars.copy()
        *counts, total, low, high = array("d", numbers)
        whole = list(map(int, counts))
        if low > high:  # nothing was observed
            value = Histogram(self.bounds, whole, total, 0, None, None, exemplars)
        else:
            value = Histogram(self.bounds, whole, total, sum(whole), low, high, exemplars)
        self._latest = numbers, value
        return value

    def point(self, attributes: Attributes) -> Point:
        """The series now, under *attributes*; the same object as before if it did not change."""
        latest, found = self._latest, self._point
        # Most series stand still between two scrapes. Seen without the lock: whoever counts adds to
        # a bucket first, so half of an observation is different, too. 1,600 instructions, 4,100 by
        # way of `read`.
        if (
            found is not None
            and latest is not None
            and found.value is latest[1]
            and found.start_ns == self.start_ns
            and latest[0] == self._bytes()
        ):
            return found
        value = self.read()
        if found is None or found.value is not value or found.start_ns != self.start_ns:
            found = self._point = Point(attributes, value, self.start_ns)
        return found
