"""Own metric cells: what the request path and the sinks count with, without the SDK's cost.

A cell is resolved once per set of attribute values and kept by the caller. Reading them out
(`/metrics`, OTLP, snapshots) lives in `metrics` and `state`; user instruments in
`metrics.app_instruments`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from proletto_otel.core.conventions import OVERFLOW, Metric
from proletto_otel.core.metrics.values import (
    Attributes,
    Cell,
    Exemplar,
    Family,
    Histogram,
    HistogramCell,
    Point,
    Value,
    Values,
)

__all__ = [
    "MAX_CELLS", "Attributes", "Cell", "Exemplar", "Family", "Histogram", "HistogramCell",
    "Instrument", "Point", "Registry", "Value", "Values", "registry",
]  # fmt: skip

MAX_CELLS = 2000
"""Series an instrument may have; OpenTelemetry's metrics SDK specification gives this default."""

C = TypeVar("C", Cell, HistogramCell)


class Instrument(Generic[C]):
    """One metric's cells by attribute values; past the cap all share one overflow cell."""

    def __init__(self, metric: Metric, make: Callable[[Attributes], C]) -> None:
        self.metric = metric
        self._make: Callable[[Attributes], C] = make
        self._cells: dict[tuple[Any, ...], C] = {}
        self._labels: dict[tuple[Any, ...], Attributes] = {}
        self._overflow: C | None = None

    def cell(self, values: Values = (), more: Attributes = ()) -> C:
        """The cell of these attribute values, in the order of `metric.attributes`.

        Args:
            values: One for each attribute; None: the series does not have it.
            more: Further attributes, by name.
        """
        # The tuple the caller has anyway is the key: hashing it is the whole cost of a known series
        # (0.13 µs with the count; the SDK's `add` with five attributes takes 8.1, measured).
        key = (*values, *more) if more else values
        found = self._cells.get(key)
        if found is not None:
            return found
        # The total stays right in the overflow cell, and memory stays bounded, whatever a caller
        # makes a label of (a million user IDs: 2,000 series and this one).
        if len(self._cells) >= MAX_CELLS:
            if self._overflow is None:
                self._overflow = self._make(OVERFLOWED)
            return self._overflow
        # No lock. Two threads may both make the cell of a new series; `setdefault` is one call of
        # C, so both get the same one, and the labels stand there before anybody can collect them.
        attributes = self._labels[key] = self.label(values) + more
        return self._cells.setdefault(key, self._make(attributes))

    def labelled(self) -> list[tuple[Attributes, C]]:
        """All cells with their attributes, the overflow among them."""
        found = [(self._labels[values], cell) for values, cell in self.items()]
        if self._overflow is not None:
            found.append((OVERFLOWED, self._overflow))
        return found

    def items(self) -> list[tuple[Values, C]]:
        """All cells with their attribute values, without the overflow."""
        return list(self._cells.items())

    def reset(self) -> None:
        """Begin again at zero; cells that callers keep stay valid."""
        for _, cell in self.items():
            cell.reset()
        if self._overflow is not None:
            self._overflow.reset()

    def clear(self) -> None:
        """Begin again without any series; cells that callers keep count for nobody any more."""
        # Each emptied, none replaced: a thread that is making a cell puts both parts into them.
        self._cells.clear()
        self._overflow = None

    def collect(self) -> Family:
        """Every series now."""
        points = [Point(a, cell.read(), cell.start_ns) for a, cell in self.labelled()]
        return family(self.metric, points)

    def label(self, values: Values) -> Attributes:
        """Pair values with the metric's attribute names; `None` is left out."""
        return label(self.metric, values)


def label(metric: Metric, values: Values) -> Attributes:
    """Pair *values* with the attribute names of *metric*; `None` is left out."""
    pairs = zip(metric.attributes, values, strict=True)
    return tuple((name, value) for name, value in pairs if value is not None)


def family(metric: Metric, points: list[Point]) -> Family:
    """Points under the metric's name, kind and unit."""
    m = metric
    return Family(m.name, m.kind, m.unit, m.description, points, m.per)


OVERFLOWED: Attributes = ((OVERFLOW, True),)
MoveHistogram = Callable[[Metric, Attributes, HistogramCell], None]
Observations = Iterable[tuple[Values, float]]


class Registry:
    """All instruments of a process; making one twice gives the first back."""

    def __init__(self) -> None:
        self._instruments: dict[str, Instrument[Cell] | Instrument[HistogramCell]] = {}
        self._callbacks: dict[str, tuple[Metric, Callable[[], Observations]]] = {}
        self._move: MoveHistogram | None = None

    def move_histograms(self, move: MoveHistogram) -> None:
        """Offer every histogram cell, present and future, to *move*, until the next `reset`."""
        self._move = move
        for instrument in list(self._instruments.values()):
            for attributes, cell in instrument.labelled():
                if isinstance(cell, HistogramCell):
                    move(instrument.metric, attributes, cell)

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

            def cell(attributes: Attributes) -> HistogramCell:
                made = HistogramCell(metric.bounds)
                if self._move is not None:
                    self._move(metric, attributes, made)
                return made

            found = self._instruments.setdefault(metric.name, Instrument(metric, cell))
        return found  # type: ignore[return-value]  # a name has one kind: see conventions

    def observe(self, metric: Metric, callback: Callable[[], Observations]) -> None:
        """Read *metric* through *callback* whenever it is collected; a second call replaces it."""
        self._callbacks[metric.name] = (metric, callback)

    def forget(self, metric: Metric) -> None:
        """Stop reading *metric* through a callback."""
        self._callbacks.pop(metric.name, None)

    def clear(self) -> None:
        """Forget every series and callback (the set-up that made them is undone)."""
        # The series, too: with the routes of every test of a long suite the cap would be reached.
        self._move = None
        self._callbacks.clear()
        for instrument in list(self._instruments.values()):
            instrument.clear()

    def collect(self) -> list[Family]:
        """Every instrument and callback with at least one series; a failing callback is absent."""
        # Imported here: `internal_errors` counts with a cell of this registry.
        from proletto_otel.core.internal_errors import suppressed

        families = [i.collect() for i in list(self._instruments.values())]
        for metric, callback in list(self._callbacks.values()):
            with suppressed(f"observe.{metric.name}"):
                points = [Point(label(metric, v), x) for v, x in callback()]
                families.append(family(metric, points))
        return [f for f in families if f.points]

    def reset(self) -> None:
        """Zero everything where it is (after a fork); move no histogram any more."""
        self._move = None
        for instrument in list(self._instruments.values()):
            instrument.reset()

    def _numbers(self, metric: Metric) -> Instrument[Cell]:
        found = self._instruments.get(metric.name)
        if found is None:
            made = Instrument(metric, lambda _: Cell())
            found = self._instruments.setdefault(metric.name, made)
        return found  # type: ignore[return-value]  # a name has one kind: see conventions


registry = Registry()
"""The process's registry."""
