"""What monitoring stores and reads of the past, and the overview that is prepared from it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.alerts.readings import Reading
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.monitoring.inputs import Inputs
from proletto_otel.monitoring.shares import Shares

if TYPE_CHECKING:
    from proletto_otel.monitoring.overview import Overview, OverviewMark, OverviewStore
    from proletto_otel.request.request_examples import RequestExamples
    from proletto_otel.request.request_series import RequestSeries
    from proletto_otel.state.readings import MetricPoint
    from proletto_otel.state.worker_lives import WorkerLives


class Past:
    """Reads what the leader stored; each part is empty where the store cannot be used."""

    def __init__(self, inputs: Inputs, shares: Shares) -> None:
        self._inputs = inputs
        self._shares = shares

    # Each is imported by the first page that reads it: code of 0.2 MB, none of which is needed by a
    # worker that serves no page and does not lead.
    @cached_property
    def requests(self) -> RequestSeries:
        """What requests did."""
        from proletto_otel.request.request_series import RequestSeries

        return RequestSeries(self._inputs.store)

    @cached_property
    def examples(self) -> RequestExamples:
        """Single requests that were slow or failed."""
        from proletto_otel.request.request_examples import RequestExamples

        return RequestExamples(self._inputs.store)

    @cached_property
    def lives(self) -> WorkerLives:
        """When workers began and ended."""
        from proletto_otel.state.worker_lives import WorkerLives

        return WorkerLives(self._inputs.store)

    @cached_property
    def _overviews(self) -> OverviewStore:
        from proletto_otel.monitoring.overview import OverviewStore

        return OverviewStore(self._inputs.store)

    def keep(self, reading: Reading | None, gauges: Iterable[str]) -> None:
        """Store the requests' indicators and the registered *gauges*, for `samples`."""
        # There is no reading before the first evaluation.
        if reading is None or self._inputs.keep is None:
            return
        # One process writes each series: two would store two different values for one time.
        names = [name for name in gauges if f"gauge:{name}" in self._shares]
        if "samples:requests" in self._shares:
            names += [i.name for i in INDICATORS.values() if i.requests]
        values = {name: reading.value(Threshold(metric=name, warning=0)) for name in names}
        self._inputs.keep(time.time(), values)

    def samples(self, metric: str, begin: float) -> list[tuple[float, float]]:
        """Samples of a metric since a unix time."""
        return list(self._inputs.history(metric, begin))

    def metric(self, name: str, start: float, end: float, points: int) -> tuple[MetricPoint, ...]:
        """A chart's points."""
        return tuple(self._inputs.series(name, start, end, points))

    def overview(self) -> Overview:
        """What the leader of processes like this one prepared last."""
        return self._overviews.read(self._shares.group)

    def overview_mark(self) -> OverviewMark:
        """What a poll compares of `overview`."""
        return self._overviews.mark(self._shares.group)

    def store_overview(self, overview: Overview) -> None:
        """Let processes like this one show it."""
        self._overviews.write(self._shares.group, overview)
