"""Instruments that the application and other instrumentations make: the SDK's, but bounded.

The SDK's meter provider does the counting and is imported with the first instrument. Ours stands
before it: at most 2,000 series an instrument, callbacks that cannot fail, and a new provider after
a fork, so that no lock and no count of the parent is inherited.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics as api

from proletto_otel.core.conventions import OVERFLOW
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.core.metrics.registry import MAX_CELLS, Family
from proletto_otel.metrics.sdk_conversion import families
from proletto_otel.runtime.bounded_read import BoundedRead
from proletto_otel.runtime.lifecycle import Component

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

Attributes = Any
"""Whatever the API allows; a mapping or None."""
OVERFLOW_ATTRIBUTES = {OVERFLOW: True}


class Nothing:
    """In place of an instrument that the SDK refuses."""

    def _leave(self, *_: Any) -> None:
        """Measure nothing."""

    add = record = set = _leave


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
        key = frozenset((k, v if _hashable(v) else str(v)) for k, v in attributes.items())
        if key in self._seen:
            return attributes
        if len(self._seen) >= MAX_CELLS:
            return OVERFLOW_ATTRIBUTES
        self._seen.add(key)
        return attributes


def _hashable(value: object) -> bool:
    return isinstance(value, (str, int, float, bool, type(None)))


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
        self._real = self._make([self._observe])

    def _observe(self, options: api.CallbackOptions) -> Iterable[api.Observation]:
        self._options = options
        found: list[api.Observation] = []
        for reader in self._readers:
            found += reader.read() or ()
        return found[:MAX_CELLS]

    def _ask(self, callback: Any) -> list[api.Observation]:
        return _asked(callback, self._options)


def _asked(callback: Any, options: api.CallbackOptions) -> list[api.Observation]:
    if hasattr(callback, "send"):  # the API also takes generators; they begin by asking
        if inspect.getgeneratorstate(callback) == inspect.GEN_CREATED:
            next(callback)
        return list(callback.send(options))
    return list(callback(options))


class WatchedCounter(Watched, api.ObservableCounter):
    """An observable counter."""


class WatchedUpDownCounter(Watched, api.ObservableUpDownCounter):
    """An observable up-down counter."""


class WatchedGauge(Watched, api.ObservableGauge):
    """An observable gauge."""


class UserMeter(api.Meter):
    """The meter that programs get."""

    def __init__(self, metrics: UserMetrics, name: str, version: str | None) -> None:
        super().__init__(name, version)
        self._metrics = metrics
        self._scope = (name, version)

    def _made(self, create: str, name: str, *rest: Any, **more: Any) -> Any:
        """The SDK's instrument; where it refuses one, nothing is measured and nothing raised."""
        try:
            return getattr(self._metrics.sdk(self._scope), create)(name, *rest, **more)
        except Exception as error:
            message = "%s(%s): no such instrument, what it would measure is lost: %s"
            log_rate_limited(
                f"meter:{name}", message, create, ascii(name)[:80], ascii(str(error))[:200]
            )
            return Nothing()

    def _bounded(self, kind: type[Any], create: str, name: str, *rest: Any, **more: Any) -> Any:
        return self._metrics.instrument(
            (self._scope, str(name).lower(), kind),
            lambda: kind(lambda: self._made(create, name, *rest, **more)),
        )

    def _watched(
        self, kind: type[Any], create: str, name: str, callbacks: Any, unit: str, description: str
    ) -> Any:
        def make(own: Any) -> Any:
            return self._made(create, name, own, unit, description)

        made = self._metrics.instrument(
            (self._scope, str(name).lower(), kind), lambda: kind(name, make, callbacks)
        )
        made.use(callbacks)
        return made

    def create_counter(self, name: str, unit: str = "", description: str = "") -> api.Counter:
        """See the OpenTelemetry API."""
        return self._bounded(BoundedCounter, "create_counter", name, unit, description)  # type: ignore[no-any-return]  # made by kind

    def create_up_down_counter(
        self, name: str, unit: str = "", description: str = ""
    ) -> api.UpDownCounter:
        """See the OpenTelemetry API."""
        made: api.UpDownCounter = self._bounded(
            BoundedUpDownCounter, "create_up_down_counter", name, unit, description
        )
        return made

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> Any:
        """See the OpenTelemetry API."""
        return self._bounded(BoundedGauge, "create_gauge", name, unit, description)

    def create_histogram(
        self, name: str, unit: str = "", description: str = "", **advice: Any
    ) -> api.Histogram:
        """See the OpenTelemetry API."""
        made: api.Histogram = self._bounded(
            BoundedHistogram, "create_histogram", name, unit, description, **advice
        )
        return made

    def create_observable_counter(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> api.ObservableCounter:
        """See the OpenTelemetry API."""
        made: api.ObservableCounter = self._watched(
            WatchedCounter, "create_observable_counter", name, callbacks, unit, description
        )
        return made

    def create_observable_up_down_counter(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> api.ObservableUpDownCounter:
        """See the OpenTelemetry API."""
        create = "create_observable_up_down_counter"
        made: api.ObservableUpDownCounter = self._watched(
            WatchedUpDownCounter, create, name, callbacks, unit, description
        )
        return made

    def create_observable_gauge(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> api.ObservableGauge:
        """See the OpenTelemetry API."""
        made: api.ObservableGauge = self._watched(
            WatchedGauge, "create_observable_gauge", name, callbacks, unit, description
        )
        return made


class UserMetrics(api.MeterProvider, Component):
    """Meters for the application, and what they measured."""

    name = "user_metrics"

    def __init__(self) -> None:
        self._provider: MeterProvider | None = None
        self._reader: Any = None
        self._instruments: dict[Any, Any] = {}

    def get_meter(
        self, name: str, version: str | None = None, schema_url: str | None = None,
        attributes: Any = None,
    ) -> UserMeter:  # fmt: skip
        """A meter; see the OpenTelemetry API."""
        return UserMeter(self, name, version)

    def instrument(self, key: Any, make: Callable[[], Any]) -> Any:
        """The instrument of *key*; made once."""
        found = self._instruments.get(key)
        return found if found is not None else self._instruments.setdefault(key, make())

    def sdk(self, scope: tuple[str, str | None]) -> Any:
        """The SDK's meter of *scope*."""
        if self._provider is None:
            self._provider, self._reader = _build()
        return self._provider.get_meter(*scope)

    def collect(self) -> list[Family]:
        """Everything measured, as families."""
        if self._provider is None:
            return []
        self._reader.collect()
        return self._reader.taken()  # type: ignore[no-any-return]  # built in _build

    # --- component -----------------------------------------------------------------------------
    def start(self) -> None:
        """Become the process's provider, unless a library was first."""
        from opentelemetry.metrics import _internal

        held = _internal._METER_PROVIDER  # the public getter would build one
        if held is None:
            api.set_meter_provider(self)
        elif held is not self and not isinstance(held, UserMetrics):
            log_rate_limited(
                "metrics.provider",
                "another OpenTelemetry MeterProvider (%s) is set: instruments of other libraries"
                " stay with it; use telemetry.meter for yours",
                type(held).__module__,
            )

    def stop(self, deadline: float) -> None:
        """Nothing waits here: the exporter reads when it pushes."""

    def forked(self) -> None:
        """Count from zero with a new provider; instruments that callers hold stay valid."""
        if self._provider is not None:
            self._provider = self._reader = None
            for instrument in list(self._instruments.values()):
                with suppressed("meter.fork"):
                    instrument.remake()


def _build() -> tuple[MeterProvider, Any]:
    from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
    from opentelemetry.sdk.resources import Resource

    class Reader(MetricReader):
        """Keeps the latest collection; cumulative, as Prometheus wants it."""

        _data: MetricsData | None = None

        def _receive_metrics(
            self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any
        ) -> None:
            self._data = metrics_data

        def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
            pass

        def taken(self) -> list[Family]:
            data, self._data = self._data, None
            return families(data)

    class Provider(MeterProvider):
        """Ends with a fork: see `UserMetrics.forked`."""

        def _handle_fork(self) -> None:
            # the rest of the SDK's own would start threads here; see `request.otel_provider`
            MeterProvider._all_metric_readers_lock = threading.Lock()

    reader = Reader()
    # all that the SDK would read from the environment, where a misspelt word makes it raise
    given: dict[str, Any] = {
        "resource": Resource.get_empty(),
        "exemplar_filter": TraceBasedExemplarFilter(),
    }
    return Provider([reader], shutdown_on_exit=False, **given), reader
