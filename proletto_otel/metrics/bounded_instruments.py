"""Instruments of the SDK with limits on series, and on callbacks that fail or hang.

The application gets them from the meter in `metrics.app_instruments`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from opentelemetry import metrics as api

from proletto_otel.core.conventions import OVERFLOW
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.core.metrics.registry import MAX_CELLS
from proletto_otel.runtime.bounded_read import BoundedRead

Attributes = Any
"""Whatever the API allows; a mapping or None."""
OVERFLOW_ATTRIBUTES = {OVERFLOW: True}
PLAIN = (str, int, float, bool, type(None))


MAX_VALUE = 255
"""Characters of an attribute's value: 2,000 series with a body of 1 MB each would be 2 GB."""


def shortened(attributes: Attributes) -> Attributes:
    """The same with values that are cut; what was cut is said once a minute."""
    # an instrument is called for each request: without a long text nothing is copied
    long = [
        k for k, v in (attributes or {}).items() if len(v if isinstance(v, str) else "") > MAX_VALUE
    ]
    if not long:
        return attributes
    log_rate_limited(
        "meter.values",
        "attribute values of metrics are cut to %d characters, those of %s for one",
        MAX_VALUE,
        ascii(long[0])[:80],
    )
    return {**attributes, **{key: attributes[key][:MAX_VALUE] for key in long}}


class Nothing:
    """In place of an instrument that the SDK refuses, or that is one too many."""

    def add(self, *_: Any, **__: Any) -> None:
        """Measure nothing."""

    record = set = use = remake = add


class Bounded:
    """A synchronous instrument with a limit on its series."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._seen: set[Any] = set()
        self.remake()

    def remake(self) -> None:
        """Make the SDK's instrument anew (after a fork)."""
        self._real = self._make()
        self._seen = set()

    def add(self, amount: float, attributes: Attributes = None, context: Any = None) -> None:
        """Count."""
        with suppressed("meter.add"):
            self._real.add(amount, self._within(attributes), context)

    def record(self, amount: float, attributes: Attributes = None, context: Any = None) -> None:
        """Record one measurement."""
        with suppressed("meter.record"):
            self._real.record(amount, self._within(attributes), context)

    def set(self, amount: float, attributes: Attributes = None, context: Any = None) -> None:
        """Set the present value."""
        with suppressed("meter.set"):
            self._real.set(amount, self._within(attributes), context)

    def _within(self, attributes: Attributes) -> Attributes:
        if not attributes:
            return attributes
        attributes = shortened(attributes)
        # the SDK takes lists as values; a set of seen ones needs something that can be hashed
        key = frozenset((k, v if isinstance(v, PLAIN) else str(v)) for k, v in attributes.items())
        if key in self._seen:
            return attributes
        # Without a lock: threads that come here at once add a few sets beyond the limit, no more.
        if len(self._seen) >= MAX_CELLS:
            return OVERFLOW_ATTRIBUTES
        self._seen.add(key)
        return attributes


class BoundedCounter(Bounded, api.Counter):
    """A counter."""


class BoundedUpDownCounter(Bounded, api.UpDownCounter):
    """An up-down counter."""


class BoundedHistogram(Bounded, api.Histogram):
    """A histogram."""


class BoundedGauge(Bounded, api._Gauge):
    """A gauge."""


class Watched:
    """An observable instrument; making it again replaces its callbacks."""

    def __init__(
        self, name: str, make: Callable[[Any], Any], callbacks: Sequence[Any] | None
    ) -> None:
        self._name = name
        self._make = make
        self._options = api.CallbackOptions()
        # Before the instrument is there: a scrape on another thread may ask it at once.
        self.use(callbacks)
        self.remake()

    def use(self, callbacks: Sequence[Any] | None) -> None:
        """Ask *callbacks* from now on; one that hangs holds up nobody who collects."""
        self._readers = [
            BoundedRead(f"instrument {self._name}", partial(self._ask, callback))
            for callback in callbacks or ()
        ]

    def remake(self) -> None:
        """Make the SDK's instrument anew (after a fork)."""
        # Ours alone is registered, once: the SDK can neither bound nor replace callbacks.
        self._real = self._make([self._observe])

    def _observe(self, options: api.CallbackOptions) -> Iterable[api.Observation]:
        # Noted for the threads that call the callbacks: the API hands the options to each.
        self._options = options
        found: list[api.Observation] = []
        for reader in self._readers:
            found += reader.read() or ()
        return [
            api.Observation(o.value, shortened(o.attributes), o.context) for o in found[:MAX_CELLS]
        ]

    def _ask(self, callback: Any) -> list[api.Observation]:
        if hasattr(callback, "send"):  # the API also takes generators; they begin by asking
            if inspect.getgeneratorstate(callback) == inspect.GEN_CREATED:
                next(callback)
            return list(callback.send(self._options))
        return list(callback(self._options))


class WatchedCounter(Watched, api.ObservableCounter):
    """An observable counter."""


class WatchedUpDownCounter(Watched, api.ObservableUpDownCounter):
    """An observable up-down counter."""


class WatchedGauge(Watched, api.ObservableGauge):
    """An observable gauge."""
