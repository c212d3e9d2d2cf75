"""Own metrics: what the request path and the sinks count with, without the SDK's cost.

One metric's cells live in `core.metrics.instruments`. Reading them out (`/metrics`, OTLP,
snapshots) lives in `metrics` and `state`; user instruments in `metrics.app_instruments`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proletto_otel.core.conventions import Metric
from proletto_otel.core.internal_errors import failures, suppressed
from proletto_otel.core.metrics.instruments import (
    MAX_CELLS,
    OVERFLOWED,
    Instrument,
    family,
    label,
)
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
    are_same,
)

__all__ = [
    "MAX_CELLS",
    "OVERFLOWED",
    "Attributes",
    "Cell",
    "Exemplar",
    "Family",
    "Histogram",
    "HistogramCell",
    "Instrument",
    "Point",
    "Registry",
    "Value",
    "Values",
    "are_same",
    "registry",
]  # fmt: skip

MoveHistogram = Callable[[Metric, Attributes, HistogramCell], None]
Observations = Iterable[tuple[Values, float]]


class Registry:
    """All instruments of a process; a second call with a metric returns the same instrument."""

    def __init__(self) -> None:
        self._instruments: dict[str, Instrument[Cell] | Instrument[HistogramCell]] = {}
        self._callbacks: dict[str, tuple[Metric, Callable[[], Observations]]] = {}
        self._observed: dict[str, dict[Values, Point]] = {}
        """What the callbacks said last, by metric."""
        self._move: MoveHistogram | None = None

    def move_histograms(self, move: MoveHistogram) -> None:
        """Offer every histogram cell, present and future, to *move*, until the next `reset`."""
        # Set before the walk: a series made meanwhile is offered by its maker, so none is missed.
        self._move = move
        for instrument in list(self._instruments.values()):
            for attributes, cell in instrument.labelled():
                if isinstance(cell, HistogramCell):
                    move(instrument.metric, attributes, cell)

    def add(self, instrument: Instrument[Cell]) -> None:
        """Collect an instrument that was made outside of the registry."""
        self._instruments[instrument.metric.name] = instrument

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

            # `setdefault` is one call of C: two threads that make it at once get the same
            # instrument.
            found = self._instruments.setdefault(metric.name, Instrument(metric, cell))
        return found  # type: ignore[return-value]  # a name has one kind: see conventions

    def observe(self, metric: Metric, callback: Callable[[], Observations]) -> None:
        """Read *metric* through *callback* whenever it is collected; a second call replaces it."""
        self._callbacks[metric.name] = (metric, callback)

    def forget(self, metric: Metric) -> None:
        """Stop reading *metric* through a callback."""
        self._callbacks.pop(metric.name, None)
        self._observed.pop(metric.name, None)

    def clear(self) -> None:
        """Forget every series and callback (the set-up that made them is undone)."""
        # The series, too: with the routes of every test of a long suite the cap would be reached.
        self._move = None
        self._callbacks.clear()
        self._observed.clear()
        for instrument in list(self._instruments.values()):
            instrument.clear()

    def collect(self) -> list[Family]:
        """Every instrument and callback with at least one series; a failing callback is absent."""
        # Over copies: a request may add an instrument while a scrape runs.
        families = [i.collect() for i in list(self._instruments.values())]
        for metric, callback in list(self._callbacks.values()):
            with suppressed(f"observe.{metric.name}"):
                families.append(family(metric, self._points(metric, callback())))
        return [f for f in families if f.points]

    def _points(self, metric: Metric, observations: Observations) -> list[Point]:
        """What a callback said; the same objects as before for series that did not change."""
        before, now = self._observed.get(metric.name, {}), dict[Values, Point]()
        points = []
        for values, x in observations:
            point = before.get(values)
            if point is None:
                point = Point(label(metric, values), x)
            # 1 and 1.0 are equal, but not the same text; neither are the two zeros of floats
            elif point.value is not x and (
                type(point.value) is not type(x) or point.value != x or not x
            ):
                point = Point(point.attributes, x)
            now[values] = point
            points.append(point)
        self._observed[metric.name] = now
        return points

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
registry.add(failures)
