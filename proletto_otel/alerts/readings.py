"""Readings: the present value of every indicator, taken once per evaluation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from proletto_otel.alerts import request_window as w
from proletto_otel.alerts.indicators import ABOVE, HEALTH_PREFIX, INDICATORS, UNEVALUATED
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.registry import Family, Histogram
from proletto_otel.core.record import record
from proletto_otel.health.results import DEGRADED, HEALTHY, UNHEALTHY
from proletto_otel.metrics.system_metrics import INDICATORS as INDICATORS_OF_SYSTEM
from proletto_otel.metrics.system_metrics import indicators as system_indicators
from proletto_otel.request import durations as fine

HEALTH_VALUES = {HEALTHY: 0.0, DEGRADED: 1.0, UNHEALTHY: 2.0}
"""A check's state as a number; unknown is no data."""

OF_WORKERS = frozenset(row.indicator for row in INDICATORS_OF_SYSTEM if row.metric.per != "host")
"""Indicators of single workers, read from every worker's metrics."""


class CheckView(Protocol):
    """What is read of a check's state."""

    @property
    def name(self) -> str: ...
    @property
    def status(self) -> str: ...


@record(kw_only=True)
class Readings:
    """Where the values come from; each source is asked at most once per `take`."""

    system: Callable[[], Mapping[str, float | None]] = dict
    """Host values by indicator name, in the indicator's unit; absent or None: no data."""

    families: Callable[[], Sequence[Family]] = tuple
    """Every metric of all workers, merged."""

    health: Callable[[], Sequence[CheckView]] = tuple
    """The checks' states."""

    excluded_routes: Container[str | None] = ()
    """Routes that say nothing about the service: probes and admin pages."""

    unevaluated: Callable[[], Collection[str]] = tuple
    """Names that a process of the service registered and nobody evaluates."""

    durations: Callable[[], fine.Sparse] = dict
    """Fine-grained durations of the last five minutes; empty: only the histogram is known."""

    window: w.Window = field(default_factory=w.Window)

    def take(self, mono: float) -> Reading:
        """Ask all sources; one that fails has no data."""
        reading = Reading()
        # One `suppressed` for each: a source that raises must not take the values of the others.
        with suppressed("alerts.system"):
            reading.system = dict(self.system())
        with suppressed("alerts.families"):
            reading.families = self.families()
            now = w.totals(reading.families, self.excluded_routes)
            reading.keep = self.window.add(mono, now)
            reading.totals, reading.requests = now, self.window.recent(mono, now)
        with suppressed("alerts.durations"):
            reading.durations = self.durations()
        with suppressed("alerts.unevaluated"):
            reading.unevaluated = tuple(self.unevaluated())
        with suppressed("alerts.health"):
            reading.health = {c.name: HEALTH_VALUES.get(c.status) for c in self.health()}
        return reading


@record()
class Reading:
    """All values, taken at one time."""

    system: dict[str, float | None] = field(default_factory=dict)
    families: Sequence[Family] = ()
    totals: w.Totals = field(default_factory=w.Totals)
    requests: w.Totals = field(default_factory=w.Totals)
    """The requests of the last five minutes."""
    keep: bool = False
    """Whether the totals are one of the readings that span the window."""
    health: dict[str, float | None] = field(default_factory=dict)
    unevaluated: tuple[str, ...] = ()
    durations: fine.Sparse = field(default_factory=dict)

    def value(self, threshold: Threshold) -> float | None:
        """The value *threshold* watches, in its indicator's unit."""
        metric = threshold.metric
        if metric.startswith(HEALTH_PREFIX):
            return self.health.get(metric[len(HEALTH_PREFIX) :])
        if metric == UNEVALUATED:
            return float(len(self.unevaluated))
        indicator = INDICATORS.get(metric)
        if indicator is None:
            return self._gauge(metric, threshold.direction)
        if indicator.requests:
            return self._of_requests(metric, threshold.min_requests)
        if metric in OF_WORKERS:
            return system_indicators(self.families)[metric]
        return self.system.get(metric)

    def _of_requests(self, metric: str, least: int) -> float | None:
        if metric == "error_rate":
            ratio = w.error_ratio(self.requests, least)
            return None if ratio is None else 100 * ratio
        if metric == "response_time_p95":
            # The histogram's buckets are wide (1 s to 2.5 s is one), so its quantile is only the
            # fallback while no worker has fine durations.
            found = self.durations
            if not found:
                return w.quantile_s(self.requests, 0.95, least)
            enough = sum(found.values()) >= least
            return fine.quantile_s(found, 0.95) if enough else None
        return w.average_s(self.requests, least)

    def _gauge(self, metric: str, direction: str) -> float | None:
        """The worst series of a gauge, over all workers."""
        # an average would hide one worker with a full queue
        worst = max if direction == ABOVE else min
        values = [
            float(point.value)
            for family in self.families
            if family.name == metric and family.kind in ("gauge", "updown")
            for point in family.points
            if not isinstance(point.value, Histogram)
        ]
        return worst(values) if values else None
