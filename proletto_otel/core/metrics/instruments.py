"""Instruments: the cells of one metric by attribute values.

A cell is resolved once per set of attribute values and kept by the caller. All instruments of a
process are in `core.metrics.registry`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from proletto_otel.core.conventions import OVERFLOW, Metric
from proletto_otel.core.metrics.values import Attributes, Cell, Family, HistogramCell, Point, Values

MAX_CELLS = 2000
"""Series an instrument may have; OpenTelemetry's metrics SDK specification gives this default."""

OVERFLOWED: Attributes = ((OVERFLOW, True),)
"""The attributes of the series that counts what is beyond the limit."""

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
        """Remove every series; cells that callers hold still count, but are no longer read."""
        # Each emptied, none replaced: a thread that is making a cell puts both parts into them.
        self._cells.clear()
        self._overflow = None

    def collect(self) -> Family:
        """Every series now."""
        labels = self._labels
        points = [cell.point(labels[values]) for values, cell in self.items()]
        if self._overflow is not None:
            points.append(self._overflow.point(OVERFLOWED))
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
