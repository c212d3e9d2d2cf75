"""Own metric cells: what the request path and the sinks count with, without the SDK's cost.

A cell is resolved once per set of attribute values and kept by the caller. Reading them out
(`/metrics`, OTLP, snapshots) lives in `metrics` and `state`; user instruments in `metrics.user`.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

from proletto_otel.core.conventions import OVERFLOW, Metric

Value = str | int | float | bool | None
Values = tuple[Value, ...]
Attributes = tuple[tuple[str, str | int | float | bool], ...]
Exemplar = tuple[str, str, float, float]
"""trace ID (hex), span ID (hex), measured value, unix time in seconds."""

MAX_CELLS = 2000
"""Series an instrument may have; OpenTelemetry's metrics SDK specification gives this default."""


@dataclass(slots=True)
class Histogram:
    """Counts per bucket; `counts` has one more entry than `bounds`."""

    bounds: tuple[float, ...]
    counts: list[int]
    sum: float = 0.0
    count: int = 0
    min: float | None = None
    max: float | None = None
    exemplars: dict[int, Exemplar] = field(default_factory=dict)
    """The latest exemplar by bucket."""


@dataclass(slots=True)
class Point:
    """One series at one moment."""

    attributes: Attributes
    value: float | Histogram
    start_ns: int = 0
    """When counting began, unix time in nanoseconds; 0 for gauges."""


@dataclass(slots=True)
class Family:
    """All series of one metric."""

    name: str
    kind: str
    """`counter`, `updown`, `gauge` or `histogram`."""
    unit: str
    description: str
    points: list[Point]
    per: str = "worker"
    """`worker`: each process has its own; `host`: one process speaks for all."""


class Cell:
    """One number. `add` is a single in-place addition on an attribute.

    CPython switches threads and runs signal handlers only at calls and backward jumps (3.10 and
    later), so no addition is lost without a lock, and none can dead-lock a signal handler.
    """

    __slots__ = ("start_ns", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self.start_ns = time.time_ns()

    def add(self, n: float) -> None:
        """Add *n*; a counter's *n* is not negative."""
        self.value += n

    def set(self, value: float) -> None:
        """Replace the value (gauges)."""
        self.value = value

    def read(self) -> float:
        """The value now."""
        return self.value

    def reset(self) -> None:
        """Begin again at zero."""
        self.value = 0
        self.start_ns = time.time_ns()


class HistogramCell:
    """One distribution. `observe` takes a lock: five fields change together."""

    __slots__ = ("_lock", "bounds", "counts", "exemplars", "max", "min", "start_ns", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.reset()

    def reset(self) -> None:
        """Begin again at zero, with a fresh lock."""
        self._lock = Lock()
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0
        self.min: float | None = None
        self.max: float | None = None
        self.exemplars: dict[int, Exemplar] = {}
        self.start_ns = time.time_ns()

    def observe(self, x: float, trace_id: str = "", span_id: str = "") -> None:
        """Count *x*; with a trace ID it becomes the bucket's exemplar."""
        bucket = bisect_left(self.bounds, x)
        with self._lock:
            self.counts[bucket] += 1
            self.sum += x
            if self.max is None or x > self.max:
                self.max = x
            if self.min is None or x < self.min:
                self.min = x
            if trace_id:
                self.exemplars[bucket] = (trace_id, span_id, x, time.time())

    def read(self) -> Histogram:
        """A consistent copy."""
        with self._lock:
            counts = self.counts.copy()
            exemplars = self.exemplars.copy()
            total, low, high = self.sum, self.min, self.max
        return Histogram(self.bounds, counts, total, sum(counts), low, high, exemplars)


C = TypeVar("C", Cell, HistogramCell)


class Instrument(Generic[C]):
    """One metric's cells by attribute values; past the cap all share one overflow cell."""

    def __init__(self, metric: Metric, make: Callable[[], C]) -> None:
        self.metric = metric
        self._make: Callable[[], C] = make
        self._cells: dict[Values, C] = {}
        self._overflow: C | None = None

    def cell(self, values: Values = ()) -> C:
        """The cell of these attribute values, in the order of `metric.attributes`."""
        found = self._cells.get(values)
        if found is not None:
            return found
        if len(self._cells) >= MAX_CELLS:
            if self._overflow is None:
                self._overflow = self._make()
            return self._overflow
        return self._cells.setdefault(values, self._make())

    def items(self) -> list[tuple[Values, C]]:
        """All cells with their attribute values, without the overflow."""
        return list(self._cells.items())

    def reset(self) -> None:
        """Begin again at zero; cells that callers keep stay valid."""
        for _, cell in self.items():
            cell.reset()
        if self._overflow is not None:
            self._overflow.reset()

    def collect(self) -> Family:
        """Every series now."""
        points = [self._point(self.label(v), cell) for v, cell in self.items()]
        if self._overflow is not None:
            points.append(self._point(((OVERFLOW, True),), self._overflow))
        return family(self.metric, points)

    def label(self, values: Values) -> Attributes:
        """Pair values with the metric's attribute names; `None` is left out."""
        return label(self.metric, values)

    @staticmethod
    def _point(attributes: Attributes, cell: C) -> Point:
        return Point(attributes, cell.read(), cell.start_ns)


def label(metric: Metric, values: Values) -> Attributes:
    """Pair *values* with the attribute names of *metric*; `None` is left out."""
    pairs = zip(metric.attributes, values, strict=False)
    return tuple((name, value) for name, value in pairs if value is not None)


def family(metric: Metric, points: list[Point]) -> Family:
    """Points under the metric's name, kind and unit."""
    m = metric
    return Family(m.name, m.kind, m.unit, m.description, points, m.per)


Observations = Iterable[tuple[Values, float]]


class Registry:
    """All instruments of a process; making one twice gives the first back."""

    def __init__(self) -> None:
        self._instruments: dict[str, Instrument[Cell] | Instrument[HistogramCell]] = {}
        self._callbacks: dict[str, tuple[Metric, Callable[[], Observations]]] = {}

    def counter(self, metric: Metric) -> Instrument[Cell]:
        """A number that only grows."""
        return self._numbers(metric)

    def updown(self, metric: Metric) -> Instrument[Cell]:
        """A number that grows and shrinks and adds up over workers."""
        return self._numbers(metric)

    def gauge(self, metric: Metric) -> Instrument[Cell]:
        """A number that is set."""
        return self._numbers(metric)

    def histogram(self, metric: Metric) -> Instrument[HistogramCell]:
        """A distribution over `metric.bounds`."""
        found = self._instruments.get(metric.name)
        if found is None:
            made: Instrument[HistogramCell] = Instrument(
                metric, lambda: HistogramCell(metric.bounds)
            )
            found = self._instruments.setdefault(metric.name, made)
        return found  # type: ignore[return-value]  # a name has one kind: see conventions

    def observe(self, metric: Metric, callback: Callable[[], Observations]) -> None:
        """Read *metric* through *callback* whenever it is collected; a second call replaces it."""
        self._callbacks[metric.name] = (metric, callback)

    def forget(self, metric: Metric) -> None:
        """Stop reading *metric* through a callback."""
        self._callbacks.pop(metric.name, None)

    def collect(self) -> list[Family]:
        """Every instrument and callback with at least one series; a failing callback is absent."""
        families = [i.collect() for i in list(self._instruments.values())]
        families += self._observed()
        return [f for f in families if f.points]

    def reset(self) -> None:
        """Zero everything in place (after a fork, between tests)."""
        for instrument in list(self._instruments.values()):
            instrument.reset()

    def _numbers(self, metric: Metric) -> Instrument[Cell]:
        found = self._instruments.get(metric.name)
        if found is None:
            found = self._instruments.setdefault(metric.name, Instrument(metric, Cell))
        return found  # type: ignore[return-value]  # a name has one kind: see conventions

    def _observed(self) -> Iterator[Family]:
        from proletto_otel.core.silence import silence  # silence counts with a cell of ours

        for metric, callback in list(self._callbacks.values()):
            points: list[Point] = []
            with silence(f"observe.{metric.name}"):
                points = [Point(label(metric, v), x) for v, x in callback()]
            yield family(metric, points)


registry = Registry()
"""The process's registry."""
