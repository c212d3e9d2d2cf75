"""Metrics on their way out: everything is read and sent once an interval.

Counts are cumulative, so a push that waited on disk or was lost costs resolution, not totals.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from proletto_otel.core.meters import Family
from proletto_otel.core.silence import silence
from proletto_otel.export.encode_metrics import metrics
from proletto_otel.export.lane import Lane

FIRST_AFTER_S = 1.0
"""Soon after the start, so that an idle service is not silent for an interval."""


class Push:
    """Reads all metrics and gives them to their lane.

    Args:
        collect: Everything to send.
        interval_s: Time between two pushes, seconds.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        lane: Lane,
        collect: Callable[[], list[Family]],
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lane, self._collect, self._interval_s = lane, collect, interval_s
        self._clock = clock
        self._due_at = clock() + min(FIRST_AFTER_S, interval_s)

    def due_in_s(self) -> float:
        """Seconds until the interval is over."""
        return self._due_at - self._clock()

    def run(self, deadline: float) -> bool:
        """Push now; whether it was delivered."""
        self._due_at = self._clock() + self._interval_s
        with silence("export.metrics"):
            families = self._collect()
            if families:
                lane = self._lane
                request = metrics(families, lane.resource(), time.time_ns(), lane.scope)
                return lane.offer(request, deadline)
        return True
