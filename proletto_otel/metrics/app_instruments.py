"""Instruments that the application and other instrumentations make: the SDK's, but bounded.

The SDK's meter provider does the counting and is imported with the first instrument. Ours wraps
it: at most 2,000 series an instrument, callbacks that cannot fail, and a new provider after a fork,
so that no lock and no count of the parent is inherited. The instruments themselves live in
`metrics.bounded_instruments`; `metrics.app_metrics` imports this when a program wants a meter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics as api

from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.core.metrics.registry import Family
from proletto_otel.metrics.bounded_instruments import (
    BoundedCounter,
    BoundedGauge,
    BoundedHistogram,
    BoundedUpDownCounter,
    Nothing,
    WatchedCounter,
    WatchedGauge,
    WatchedUpDownCounter,
)
from proletto_otel.metrics.sdk_meter_provider import build_meter_provider

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider


MAX_INSTRUMENTS = 2000
"""Instruments of a process; a name made of data (an order's number) would fill the memory."""


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
        # Lower case: OpenTelemetry tells names of instruments apart without regard to case.
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


class UserMetrics(api.MeterProvider):
    """Meters for the application, and what they measured."""

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
        if found is None and len(self._instruments) >= MAX_INSTRUMENTS:
            log_rate_limited(
                "meter.instruments",
                "more than %d instruments: what further ones measure is lost, %s for one; names"
                " must not be made of data",
                MAX_INSTRUMENTS,
                ascii(key[1])[:80],
            )
            return Nothing()
        # `setdefault`: threads that make it at the same time all get the same one.
        return found if found is not None else self._instruments.setdefault(key, make())

    def sdk(self, scope: tuple[str, str | None]) -> Any:
        """The SDK's meter of *scope*."""
        if self._provider is None:
            self._provider, self._reader = build_meter_provider()
        return self._provider.get_meter(*scope)

    def collect(self) -> list[Family]:
        """Everything measured, as families."""
        if self._provider is None:
            return []
        # On demand: the SDK's periodic reader would need a thread of its own.
        self._reader.collect()
        return self._reader.taken()  # type: ignore[no-any-return]  # built there

    # --- called by `metrics.app_metrics` -------------------------------------------------------
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

    def forked(self) -> None:
        """Count from zero with a new provider; instruments that callers hold stay valid."""
        if self._provider is not None:
            # Dropped without a shutdown, which would wait for locks that threads of the parent
            # hold.
            self._provider = self._reader = None
            for instrument in list(self._instruments.values()):
                with suppressed("meter.fork"):
                    instrument.remake()
