"""Thresholds as alert rules: a warning and a critical one, in bands that do not overlap."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from proletto_otel.alerts.indicators import (
    BELOW,
    GAUGE_ALERT,
    HEALTH_ALERT,
    HEALTH_PREFIX,
    INDICATORS,
    Indicator,
)
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core import conventions as c
from proletto_otel.core.severity import CRITICAL, WARNING
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from proletto_otel.stack.rule import Band, Panel, Rule

WINDOW = "5m"
"""Request metrics look back as far as the in-process evaluator does."""


def _host(metric: c.Metric, scale: float, *labels: str) -> Callable[[Threshold, str], str]:
    def expression(threshold: Threshold, only: str) -> str:
        times = f"{scale:g} * " if scale != 1 else ""
        return f"{times}max {q.by(q.HOST, *labels)} ({q.latest(metric, only)})"

    return expression


def error_rate(threshold: Threshold, only: str) -> str:
    """Per cent of the requests that failed."""
    return f"100 * {q.failed_ratio(WINDOW, only)}{_enough(threshold, only)}"


def average(threshold: Threshold, only: str) -> str:
    """Mean duration of a request, in seconds."""
    total = f"sum {q.by()} ({q.increase(q.SUM, WINDOW, q.REAL, only)})"
    return f"{total} / ({q.requests(WINDOW, only)} > 0){_enough(threshold, only)}"


def percentile(threshold: Threshold, only: str) -> str:
    """95th percentile of the durations, in seconds."""
    buckets = f"sum {q.by('le')} ({q.increase(q.BUCKET, WINDOW, q.REAL, only)})"
    return f"histogram_quantile(0.95, {buckets}){_enough(threshold, only)}"


def _enough(threshold: Threshold, only: str) -> str:
    # With few requests one failure would be a high share of them.
    if not threshold.min_requests:
        return ""
    return f" and {q.requests(WINDOW, only)} >= {threshold.min_requests}"


def connections(threshold: Threshold, only: str) -> str:
    """Connections of all workers of a host."""
    return f"sum {q.by(q.HOST)} ({q.latest(c.PROCESS_CONNECTIONS, only)})"


EXPRESSIONS: Mapping[str, Callable[[Threshold, str], str]] = {
    "cpu_percent": _host(c.SYSTEM_CPU_UTILIZATION, 100),
    "memory_percent": _host(c.SYSTEM_MEMORY_UTILIZATION, 100),
    "disk_percent": _host(c.SYSTEM_FILESYSTEM_UTILIZATION, 100, q.MOUNT),
    "load_1": _host(c.SYSTEM_LOAD_1M, 1),
    "load_5": _host(c.SYSTEM_LOAD_5M, 1),
    "load_15": _host(c.SYSTEM_LOAD_15M, 1),
    # the limit of open files is each process's own, so the worst worker counts
    "open_files": _host(c.PROCESS_OPEN_FILES, 1),
    "network_connections": connections,
    "error_rate": error_rate,
    "response_time_avg": average,
    "response_time_p95": percentile,
}
"""Indicator -> PromQL of its bare value, in the indicator's unit, for one selection of services."""

PANELS = {
    "cpu_percent": Panel(dashboard=d.SYSTEM, title="CPU usage"),
    "memory_percent": Panel(dashboard=d.SYSTEM, title="Memory usage"),
    "disk_percent": Panel(dashboard=d.SYSTEM, title="Disk usage"),
    "load_1": Panel(dashboard=d.SYSTEM, title="Load average"),
    "load_5": Panel(dashboard=d.SYSTEM, title="Load average"),
    "load_15": Panel(dashboard=d.SYSTEM, title="Load average"),
    "open_files": Panel(dashboard=d.SYSTEM, title="Open files by worker"),
    "network_connections": Panel(dashboard=d.SYSTEM, title="Connections by worker"),
    "error_rate": Panel(dashboard=d.SERVICE, title="Error ratio"),
    "response_time_avg": Panel(dashboard=d.REQUESTS, title="Latency percentiles"),
    "response_time_p95": Panel(dashboard=d.REQUESTS, title="Latency percentiles"),
}
"""Where a person sees the indicator."""

_GAUGE_PANEL = Panel(dashboard=d.HEALTH, title="Alerts of the applications")
_HEALTH_PANEL = Panel(dashboard=d.HEALTH, title="Health checks")
_LABELS = {"disk_percent": (q.HOST, q.MOUNT)}


def rules(
    threshold: Threshold, indicator: Indicator, *, only: str = "", scope: str = "",
    unless: str = "", paused: bool = False,
) -> list[Rule]:  # fmt: skip
    """The rules of one threshold.

    Args:
        threshold: the limits.
        indicator: what they limit.
        only: a matcher that picks the services, `service_name="shop"`; empty: all.
        scope: tells the rules of two applications apart.
        unless: PromQL of services that have rules of their own.
        paused: the application tells people itself.
    """
    made, value = [], expression(threshold, indicator, only)
    group, labels = _group_and_labels(threshold.metric)
    is_check = threshold.metric.startswith(HEALTH_PREFIX)
    panel = _HEALTH_PANEL if is_check else PANELS.get(threshold.metric, _GAUGE_PANEL)
    for severity in (WARNING, CRITICAL):
        limit = threshold.limit(severity)
        if limit is None:
            continue
        made.append(
            Rule(
                base=base_name(threshold, indicator),
                severity=severity,
                group=group,
                expression=f"({value}){unless}" if unless else value,
                band=Band(
                    limit,
                    threshold.critical if severity == WARNING else None,
                    threshold.direction == BELOW,
                ),
                title=indicator.title,
                unit=indicator.unit,
                panel=panel,
                runbook=indicator.alert,
                about=labels,
                description=threshold.reason,
                wait_s=int(threshold.hold_s(severity)),
                recover_s=int(threshold.recover_s),
                scope=scope,
                paused=paused,
            )
        )
    return made


def expression(threshold: Threshold, indicator: Indicator, only: str) -> str:
    """PromQL of the bare value that *threshold* limits."""
    metric = threshold.metric
    if metric in EXPRESSIONS:
        return EXPRESSIONS[metric](threshold, only)
    if metric.startswith(HEALTH_PREFIX):
        return health_value(f'check="{metric.removeprefix(HEALTH_PREFIX)}"', only)
    worst = "min" if threshold.direction == BELOW else "max"
    name = c.prometheus_name(metric, "gauge", indicator.unit)
    # The indicator has forgotten the unit `1`, for which Prometheus adds `_ratio`.
    either = f'__name__=~"{name}{"" if indicator.unit else "(_ratio)?"}"'
    return f"{worst} {q.by()} ({q.latest('', either, only)})"


def health_value(*matchers: str) -> str:
    """A health check as a number: 0 healthy, 1 degraded, 2 unhealthy; unknown is no data."""
    parts = []
    for state, weight in (("unhealthy", 2), ("degraded", 1), ("healthy", 0)):
        latest = q.latest(c.HEALTH_CHECK_STATUS, f'state="{state}"', *matchers)
        parts.append(f"{weight:g} * max {q.by('check')} ({latest} == 1)")
    return " or ".join(parts)


def base_name(threshold: Threshold, indicator: Indicator) -> str:
    """The alert's name; a second threshold on one metric, a gauge and a check add their own."""
    own = threshold.name.removeprefix(HEALTH_PREFIX)
    if indicator.alert == HEALTH_ALERT or indicator.alert == GAUGE_ALERT:
        return indicator.alert + _camel(own)
    if threshold.name != threshold.metric or indicator.alert == INDICATORS["load_1"].alert:
        return indicator.alert + _camel(threshold.name)
    return indicator.alert


def _camel(text: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", text))


def _group_and_labels(metric: str) -> tuple[str, tuple[str, ...]]:
    """The group of rules that are evaluated together, and the labels that the summary names."""
    if metric.startswith(HEALTH_PREFIX):
        return "health", ("check",)
    indicator = INDICATORS.get(metric)
    if indicator is None:
        return "gauges", ()
    return ("requests", ()) if indicator.requests else ("host", _LABELS.get(metric, (q.HOST,)))
