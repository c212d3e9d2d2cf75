"""Makes the overview out of what every part of monitoring knows.

When the leader does is decided in `monitoring.overview_jobs`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.core.conventions import (
    PROCESS_MEMORY_USAGE,
    PROCESS_OPEN_FILES,
    PROCESS_PID,
    PROCESS_THREAD_COUNT,
)
from proletto_otel.core.metrics.registry import Family, Histogram
from proletto_otel.health import probes
from proletto_otel.health.states import CheckState
from proletto_otel.monitoring import report
from proletto_otel.monitoring.overview import (
    OLD_S,
    DeployReport,
    Overview,
    OverviewMetric,
    WorkerReport,
    worst_first,
)
from proletto_otel.request.last_hour import HOUR_S, LastHour

if TYPE_CHECKING:
    from proletto_otel.monitoring.runtime import Runtime
    from proletto_otel.state.readings import WorkerLife

POINTS = 60
RECENT_S = 300.0
"""As the window of the request indicators."""
SHOWN = ("cpu_percent", "memory_percent", "disk_percent")
ERRORS = 5


def prepare(runtime: Runtime, now: float) -> Overview:
    """The overview as of *now*."""
    inputs, requests = runtime.inputs, LastHour(runtime.past.requests, now)
    known = {state.name: state for state in runtime.engine.known()}
    # Without running one: a check that nobody ran lately is there as unknown, as elsewhere.
    states = [
        known.get(check.name) or CheckState(name=check.name, critical=check.critical)
        for check in runtime.engine.checks
    ]
    alerts = runtime.alerts()
    deploy = _deploy(runtime, now)
    return Overview(
        service=inputs.config.service_name,
        environment=inputs.config.environment,
        version=deploy.version if deploy is not None else "",
        host=inputs.host,
        prepared_at=now,
        status=probes.overall(states),
        ready=probes.ready(states),
        recent=requests.total(RECENT_S),
        hour=requests.total(),
        requests=requests.points(),
        system=_system(runtime, alerts, now),
        alerts=worst_first(alerts),
        checks=tuple(report.check(s, runtime.engine.uptime(s)) for s in states),
        unevaluated=tuple(runtime.shares.missing()),
        workers=_workers(runtime.past.lives.living(), inputs.families()),
        deploy=deploy,
        errors=tuple(runtime.errors(ERRORS)),
    )


def _system(
    runtime: Runtime, alerts: Iterable[report.Alert], now: float
) -> tuple[OverviewMetric, ...]:
    values = runtime.system()
    limits = {alert.metric: alert for alert in alerts}
    return tuple(
        OverviewMetric(
            metric=name,
            title=INDICATORS[name].title,
            unit=INDICATORS[name].unit,
            value=values.get(name),
            warning=limits[name].warning if name in limits else None,
            critical=limits[name].critical if name in limits else None,
            points=runtime.past.metric(name, now - HOUR_S, now, POINTS),
        )
        for name in SHOWN
    )


def _deploy(runtime: Runtime, now: float) -> DeployReport | None:
    last = runtime.past.lives.last_deploy()
    if last is None:
        return None
    # By whole minutes, as the requests are stored: the minute of the deploy belongs to what is new.
    minute = last.time // 60 * 60
    seconds = min(max(now - minute, 60.0), HOUR_S)
    groups = runtime.inputs.error_groups
    return DeployReport(
        version=last.version,
        at=last.time,
        before=runtime.past.requests.total(minute - seconds // 60 * 60, minute),
        after=runtime.past.requests.total(minute, minute + seconds),
        new_errors=groups.count_new(last.time) if groups is not None else 0,
    )


def _workers(living: Iterable[WorkerLife], families: Iterable[Family]) -> tuple[WorkerReport, ...]:
    asked = (PROCESS_MEMORY_USAGE, PROCESS_THREAD_COUNT, PROCESS_OPEN_FILES)
    values: dict[tuple[str, Any], float] = {
        (family.name, dict(point.attributes).get(PROCESS_PID)): float(point.value)
        for family in families
        if any(family.name == metric.name for metric in asked)
        for point in family.points
        if not isinstance(point.value, Histogram)
    }
    return tuple(
        WorkerReport(
            pid=life.pid,
            host=life.host,
            version=life.version,
            started=life.started,
            memory_bytes=values.get((PROCESS_MEMORY_USAGE.name, life.pid)),
            threads=values.get((PROCESS_THREAD_COUNT.name, life.pid)),
            open_files=values.get((PROCESS_OPEN_FILES.name, life.pid)),
        )
        for life in living
    )


def read(runtime: Runtime) -> Overview:
    """The prepared overview; the first look after a while prepares it here."""
    runtime.inputs.viewing.note()
    found = runtime.past.overview()
    is_new = found.prepared_at and found.age_s <= OLD_S
    # Before it takes part in the shares, a process does not know which overview is its own.
    if is_new or not (runtime.shares.group or runtime.shares.leads):
        return found
    job(runtime)
    return runtime.past.overview()


def job(runtime: Runtime) -> None:
    """Prepare and store it."""
    with runtime.inputs.one_reading():
        runtime.past.store_overview(prepare(runtime, time.time()))
