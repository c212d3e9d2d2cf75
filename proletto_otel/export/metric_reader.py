"""Metrics on their way out: everything is read and sent once an interval.

Counts are cumulative, so a push that waited on disk or was lost costs resolution, not totals.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.registry import Family
from proletto_otel.export.encoding.metrics import metrics
from proletto_otel.export.signal_exporter import SignalExporter

FIRST_AFTER_S = 1.0
"""Soon after the start, so that an idle service is not silent for an interval."""


class MetricReader:
    """Reads all metrics and gives them to their exporter.

    Args:
        collect: Everything to send.
        interval_s: Time between two pushes, seconds.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        exporter: SignalExporter,
        collect: Callable[[], list[Family]],
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exporter, self._collect, self._interval_s = exporter, collect, interval_s
        self._clock = clock
        self._due_at = clock() + min(FIRST_AFTER_S, interval_s)

    def due_in_s(self) -> float:
        """Seconds until the interval is over."""
        return self._due_at - self._clock()

    def run(self, deadline: float) -> bool:
        """Push now; whether it was delivered."""
        self._due_at = self._clock() + self._interval_s
        with suppressed("export.metrics"):
            families = self._collect()
            if families:
                exporter = self._exporter
                request = metrics(families, exporter.resource(), time.time_ns(), exporter.scope)
                return exporter.send_metrics(request, deadline)
        return True
