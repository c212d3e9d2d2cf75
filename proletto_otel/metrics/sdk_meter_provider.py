"""The SDK's meter provider for `metrics.app_instruments`: read on demand, without a thread.

The SDK is imported when the provider is built: a program without instruments pays nothing for it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from proletto_otel.core.metrics.registry import Family
from proletto_otel.metrics.sdk_conversion import families

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider


def build_meter_provider() -> tuple[MeterProvider, Any]:
    """The provider, and the reader that fetches its numbers: `collect`, then `taken`."""
    from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
    from opentelemetry.sdk.resources import Resource

    class Reader(MetricReader):
        """Holds the latest collection; cumulative, as Prometheus wants it."""

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
