"""System and workers: the hosts, and the processes that serve."""

from __future__ import annotations

from proletto_otel.core import conventions as c
from proletto_otel.core.conventions import Metric
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from tools.dashboards import panels as p
from tools.dashboards.dashboard import (
    HOSTS,
    PICKED_HOSTS,
    RATE,
    VARIABLES,
    WORKERS,
    Dashboard,
    Row,
)  # fmt: skip
from tools.dashboards.limits import limits

PICKED_WORKERS = f'{PICKED_HOSTS}, {q.PID}=~"$worker"'

_LOADS = ((c.SYSTEM_LOAD_1M, 1), (c.SYSTEM_LOAD_5M, 5), (c.SYSTEM_LOAD_15M, 15))


def _host(title: str, metric: Metric, limit: str, *labels: str) -> p.PanelBuilder:
    by = ", ".join((q.HOST, *labels))
    shown = " ".join(f"{{{{{label}}}}}" for label in (q.HOST, *labels))
    value = f"100 * max by ({by}) ({q.latest(metric, PICKED_HOSTS)})"
    return p.timeseries(
        title, f"{metric.description} With the limits of the alert.", p.promql(value, shown),
        unit="percent", steps=limits(limit),
    ).max(100)  # fmt: skip


def _worker(title: str, metric: Metric, unit: str, *, limit: str = "") -> p.PanelBuilder:
    value = q.latest(metric, PICKED_WORKERS)
    return p.timeseries(
        title, metric.description, p.promql(value, f"{{{{{q.HOST}}}}} {{{{{q.PID}}}}}"),
        unit=unit, width=8, steps=limits(limit) if limit else None,
    )  # fmt: skip


def dashboard() -> Dashboard:
    """The dashboard of hosts and workers."""
    loads = [
        p.promql(f"max by ({q.HOST}) ({q.latest(metric, PICKED_HOSTS)})",
                 f"{{{{{q.HOST}}}}} {minutes} min")
        for metric, minutes in _LOADS
    ]  # fmt: skip
    hosts = [
        _host("CPU usage", c.SYSTEM_CPU_UTILIZATION, "cpu_percent", "scope"),
        _host("Memory usage", c.SYSTEM_MEMORY_UTILIZATION, "memory_percent", "scope"),
        _host("Disk usage", c.SYSTEM_FILESYSTEM_UTILIZATION, "disk_percent", q.MOUNT),
        p.timeseries("Load average", "Tasks that run or want to, beside the processors there are.",
                     *loads, unit="short"),
    ]  # fmt: skip
    memory = q.series(c.PROCESS_MEMORY_USAGE, PICKED_HOSTS)
    new = f"count by (service_name) (last_over_time({memory}[{q.GAUGE_WINDOW}]))"
    # Seen in the last ten minutes, without those that live: so many ended.
    started = (
        f"count by (service_name) (count by (service_name, {', '.join((q.HOST, *q.WORKER))}) "
        f"(count_over_time({memory}[10m]))) - {new}"
    )
    workers = [
        _worker("Memory by worker", c.PROCESS_MEMORY_USAGE, "bytes"),
        _worker("CPU by worker", c.PROCESS_CPU_UTILIZATION, "percentunit"),
        _worker("Threads by worker", c.PROCESS_THREAD_COUNT, "short"),
        _worker("Open files by worker", c.PROCESS_OPEN_FILES, "short", limit="open_files"),
        _worker("Connections by worker", c.PROCESS_CONNECTIONS, "short"),
        p.timeseries("Garbage collections", "Runs of Python's collector a second, by generation.",
                     p.promql("sum by (cpython_gc_generation) (rate("
                              f"{q.series(c.GC_COLLECTIONS, PICKED_HOSTS)}[{RATE}]))",
                              "generation {{cpython_gc_generation}}"), unit="cps", width=8),
        p.timeseries("Workers", "Processes that serve now.",
                     p.promql(new, "{{service_name}}"), unit="short", width=12),
        p.timeseries("Workers that ended in ten minutes", "Restarts, recycled workers, crashes.",
                     p.promql(started, "{{service_name}}"), unit="short", width=12),
    ]  # fmt: skip
    return Dashboard(
        uid=d.SYSTEM, title="System and workers", variables=(*VARIABLES, HOSTS, WORKERS),
        description="Hosts and workers, with the limits of the alerts drawn in.",
        rows=[Row("Hosts", hosts), Row("Workers", workers)],
    )  # fmt: skip
