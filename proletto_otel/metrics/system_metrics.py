"""Every system metric, a row each: what is exported, how it is read, which indicator it becomes.

From the table come the exported gauges, `monitor.get_system_metrics()`, the history of samples and
the indicators that thresholds watch (`alerts.indicators`). A new system metric is one row here and
its line in the docs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from proletto_otel.core import conventions as c
from proletto_otel.core.conventions import Metric
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.registry import (
    Family,
    Histogram,
    Observations,
    Registry,
)
from proletto_otel.core.record import record
from proletto_otel.metrics.cgroup import Cgroup
from proletto_otel.metrics.host import CONTAINER, HOST, Host, Psutil, Series
from proletto_otel.metrics.worker import Worker

FIRST_SHARE_S = 0.1
"""How long the first view of a process waits for a share of processor time, once."""
OLDEST_S = 5.0
"""How old the host's values may be."""

Combine = Callable[[Mapping[str, list[float]]], float]
"""Makes one number of a metric's series: values by the value of its attribute; by an empty text
where it has none, and then one for each worker."""


def of_container_or_host(series: Mapping[str, list[float]]) -> float:
    """Where the service runs in a container with a limit, the limit counts: it runs into that."""
    return (series.get(CONTAINER) or series[HOST])[0]


def largest(series: Mapping[str, list[float]]) -> float:
    """The fullest disk, or the worker with the most: a limit of open files is each one's own."""
    return max(max(values) for values in series.values())


def added_up(series: Mapping[str, list[float]]) -> float:
    """All workers together."""
    return sum(sum(values) for values in series.values())


@record(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SystemMetric:
    """One row of the table."""

    metric: Metric
    read: Callable[[Host, Worker], Series]

    indicator: str = ""
    """What `register_threshold(metric=…)` and `get_system_metrics()` call it; empty: exported
    only."""
    title: str = ""
    """How a message begins: `CPU usage`."""
    alert: str = ""
    """Name of its alert, CamelCase; the heading in the runbook."""
    unit: str = ""
    """Shown after the indicator's value: `%`, or nothing."""
    scale: float = 1.0
    """Indicator = metric × scale."""
    combine: Combine = largest
    """How one indicator comes of several series."""


SYSTEM_METRICS = (
    SystemMetric(
        metric=c.SYSTEM_CPU_UTILIZATION, read=lambda host, _: host.cpu(),
        indicator="cpu_percent", title="CPU usage", alert="HighCpu", unit="%", scale=100,
        combine=of_container_or_host,
    ),
    SystemMetric(
        metric=c.SYSTEM_MEMORY_UTILIZATION, read=lambda host, _: host.memory(),
        indicator="memory_percent", title="Memory usage", alert="HighMemory", unit="%", scale=100,
        combine=of_container_or_host,
    ),
    SystemMetric(
        metric=c.SYSTEM_FILESYSTEM_UTILIZATION, read=lambda host, _: host.disks(),
        indicator="disk_percent", title="Disk usage", alert="DiskAlmostFull", unit="%", scale=100,
        combine=largest,
    ),
    SystemMetric(
        metric=c.PROCESS_OPEN_FILES, read=lambda _, worker: worker.open_files(),
        indicator="open_files", title="Open files", alert="ManyOpenFiles", combine=largest,
    ),
    SystemMetric(
        metric=c.PROCESS_CONNECTIONS, read=lambda _, worker: worker.connections(),
        indicator="network_connections", title="Network connections", alert="ManyConnections",
        combine=added_up,
    ),
    SystemMetric(
        metric=c.SYSTEM_LOAD_1M, read=lambda host, _: host.load(1),
        indicator="load_1", title="Load average over 1 minute", alert="HighLoad",
    ),
    SystemMetric(
        metric=c.SYSTEM_LOAD_5M, read=lambda host, _: host.load(5),
        indicator="load_5", title="Load average over 5 minutes", alert="HighLoad",
    ),
    SystemMetric(
        metric=c.SYSTEM_LOAD_15M, read=lambda host, _: host.load(15),
        indicator="load_15", title="Load average over 15 minutes", alert="HighLoad",
    ),
    SystemMetric(metric=c.PROCESS_CPU_UTILIZATION, read=lambda _, worker: worker.cpu()),
    SystemMetric(metric=c.PROCESS_MEMORY_USAGE, read=lambda _, worker: worker.memory()),
    SystemMetric(metric=c.PROCESS_THREAD_COUNT, read=lambda _, worker: worker.threads()),
    SystemMetric(metric=c.GC_COLLECTIONS, read=lambda _, worker: worker.collections()),
)  # fmt: skip

INDICATORS = tuple(row for row in SYSTEM_METRICS if row.indicator)
_ROWS = {row.metric.name: row for row in INDICATORS}


class SystemSampler:
    """Takes samples of the host and remembers the latest; asks this process when it is read.

    Args:
        psutil: The library, or something with the same functions (tests).
        cgroup: The container's limits; found out by default.
        clock: Monotonic seconds.
        now: Unix time in seconds.
        wait: Waits so many seconds.
    """

    def __init__(
        self,
        psutil: Any = None,
        *,
        cgroup: Cgroup | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._psutil = Psutil(psutil)
        self._cgroup, self._clock, self._now, self._wait = cgroup, clock, now, wait
        self.taken_at = 0.0
        """Unix time of the latest sample of the host; 0: none was taken."""
        self._latest: dict[str, Series] = {}
        self.forked()

    def forked(self) -> None:
        """A child measures itself, with its own pid, from now on."""
        # New ones: a share of time is a difference, and the reading before was the parent's.
        self.host = Host(self._psutil, self._cgroup, self._clock)
        self.worker = Worker(self._psutil, self._clock)

    def sample(self) -> None:
        """Measure the host now and remember it; one that fails costs itself alone."""
        self._measure()
        self.taken_at = self._now()

    def _measure(self) -> None:
        for row in SYSTEM_METRICS:
            if row.metric.per == "host":
                with suppressed(f"sample.{row.metric.name}"):
                    # Replaced one by one: a scrape meanwhile finds the value of before, never none.
                    self._latest[row.metric.name] = row.read(self.host, self.worker)

    def sample_first(self) -> None:
        """Take the first sample, over a tenth of a second: a share needs two readings."""
        self._measure()
        self._wait(FIRST_SHARE_S)
        self.sample()

    def read(self, row: SystemMetric) -> Series:
        """The series of *row*: of the latest sample, or this process's own, now."""
        if row.metric.per == "host":
            return self._latest.get(row.metric.name, {})
        return row.read(self.host, self.worker)

    def families(self) -> list[Family]:
        """What this process knows by itself, as it would be exported by a leader."""
        registry = Registry()
        measure(registry, self, lambda: True)
        return registry.collect()


def measure(registry: Registry, sampler: SystemSampler, leads: Callable[[], bool]) -> None:
    """Let *registry* read the sampler: host values where this process leads, its own always."""
    # First, as callbacks are read in this order: a heartbeat says that the values are there.
    registry.observe(
        c.HEARTBEAT, lambda: [((), sampler.taken_at)] if leads() and sampler.taken_at else []
    )
    for row in SYSTEM_METRICS:
        registry.observe(row.metric, partial(_observed, row, sampler, leads))


def _observed(row: SystemMetric, sampler: SystemSampler, leads: Callable[[], bool]) -> Observations:
    if row.metric.per == "host" and not leads():
        return []
    series = sampler.read(row).items()
    return [((key,) if row.metric.attributes else (), value) for key, value in series]


def indicators(families: Iterable[Family]) -> dict[str, float | None]:
    """All indicators, in their units (per cent, counts, load), from every worker's metrics.

    What the system does not tell is None. Every worker that reads the same metrics says the same.
    """
    found: dict[str, float | None] = {row.indicator: None for row in INDICATORS}
    for family in families:
        row = _ROWS.get(family.name)
        if row is None:
            continue
        series: dict[str, list[float]] = {}
        for point in family.points:
            if not isinstance(point.value, Histogram):
                # only the metric's own attribute counts: values of all workers come together
                own = (str(v) for k, v in point.attributes if k in row.metric.attributes)
                series.setdefault(next(own, ""), []).append(float(point.value))
        if series:
            with suppressed(f"indicator.{row.indicator}"):
                found[row.indicator] = row.combine(series) * row.scale
    return found
