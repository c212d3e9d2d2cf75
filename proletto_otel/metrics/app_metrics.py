"""The application's meters, made when somebody imports OpenTelemetry's metrics API.

Most programs never do; what counts then is in `metrics.app_instruments`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from proletto_otel.core.after_import import after_import, forget
from proletto_otel.core.metrics.registry import Family
from proletto_otel.runtime.lifecycle import Component

if TYPE_CHECKING:
    from proletto_otel.metrics.app_instruments import UserMeter, UserMetrics

API = "opentelemetry.metrics"


class AppMetrics(Component):
    """What the application measures, if it measures anything."""

    name = "user_metrics"

    def __init__(self) -> None:
        self._made: dict[str, UserMetrics] = {}

    def provider(self) -> UserMetrics:
        """The meter provider; imports OpenTelemetry's metrics API."""
        # By itself and first: its import calls `start`'s function, which comes here again, and
        # would find the module below half imported.
        import_module(API)
        from proletto_otel.metrics.app_instruments import UserMetrics

        # `setdefault`, no lock: one held during an import could wait for the import lock of a
        # thread that waits here.
        return self._made.get(API) or self._made.setdefault(API, UserMetrics())

    def get_meter(self, name: str) -> UserMeter:
        """A meter for the application."""
        return self.provider().get_meter(name)

    def collect(self) -> list[Family]:
        """Everything measured, as families."""
        return [family for made in self._made.values() for family in made.collect()]

    # --- component -----------------------------------------------------------------------------
    def start(self) -> None:
        """Become the process's provider when somebody imports the API, unless another is."""
        after_import(API, lambda _: self.provider().start())

    def stop(self, deadline: float) -> None:
        """Nothing waits here: the exporter reads when it pushes."""
        forget(API)

    def forked(self) -> None:
        """Count from zero."""
        for made in self._made.values():
            made.forked()
