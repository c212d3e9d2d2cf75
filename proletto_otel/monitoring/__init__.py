"""`monitor`: thresholds, health checks and gauges to register, and what is known to read.

    from proletto_otel.monitoring import monitor

It can be used before `setup_telemetry`: registrations wait until telemetry binds it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from proletto_otel.monitoring.inputs import Inputs
from proletto_otel.monitoring.monitor import Monitor, monitor

if TYPE_CHECKING:
    from proletto_otel.alerts.silences import Silence
    from proletto_otel.alerts.thresholds import Threshold
    from proletto_otel.errors.group_rows import ErrorGroup
    from proletto_otel.errors.groups import ErrorGroups
    from proletto_otel.errors.occurrences import Occurrence
    from proletto_otel.health.ready_made.database import database as database_check
    from proletto_otel.health.ready_made.host import collector as collector_check
    from proletto_otel.health.ready_made.host import disk_space as disk_check
    from proletto_otel.health.ready_made.host import tcp_port as tcp_check
    from proletto_otel.health.ready_made.http import http_service as http_check
    from proletto_otel.health.ready_made.redis import redis as redis_check
    from proletto_otel.health.results import HealthResult
    from proletto_otel.logs.search.query import LogQuery
    from proletto_otel.logs.search.results import LogLine, LogPage
    from proletto_otel.logs.search.search import LogSearch
    from proletto_otel.monitoring.overview import (
        DeployReport,
        Overview,
        OverviewMetric,
        WorkerReport,
    )
    from proletto_otel.monitoring.report import Alert, CheckReport, HealthReport
    from proletto_otel.request.readings import RequestExample, StatusCount
    from proletto_otel.request.request_points import EndpointPoint, LatencyHeatmap, RequestPoint
    from proletto_otel.state.readings import Annotation, MetricPoint, WorkerLife

__all__ = [
    "Alert",
    "Annotation",
    "CheckReport",
    "DeployReport",
    "EndpointPoint",
    "ErrorGroup",
    "ErrorGroups",
    "HealthReport",
    "HealthResult",
    "Inputs",
    "LatencyHeatmap",
    "LogLine",
    "LogPage",
    "LogQuery",
    "LogSearch",
    "MetricPoint",
    "Monitor",
    "Occurrence",
    "Overview",
    "OverviewMetric",
    "RequestExample",
    "RequestPoint",
    "Silence",
    "StatusCount",
    "Threshold",
    "WorkerLife",
    "WorkerReport",
    "collector_check",
    "database_check",
    "disk_check",
    "http_check",
    "monitor",
    "redis_check",
    "tcp_check",
]  # fmt: skip

_LATE = {
    "Alert": "monitoring.report:Alert",
    "Annotation": "state.readings:Annotation",
    "DeployReport": "monitoring.overview:DeployReport",
    "EndpointPoint": "request.request_points:EndpointPoint",
    "ErrorGroup": "errors.group_rows:ErrorGroup",
    "ErrorGroups": "errors.groups:ErrorGroups",
    "LogLine": "logs.search.results:LogLine",
    "LogPage": "logs.search.results:LogPage",
    "LogQuery": "logs.search.query:LogQuery",
    "LogSearch": "logs.search.search:LogSearch",
    "Occurrence": "errors.occurrences:Occurrence",
    "LatencyHeatmap": "request.request_points:LatencyHeatmap",
    "MetricPoint": "state.readings:MetricPoint",
    "Overview": "monitoring.overview:Overview",
    "OverviewMetric": "monitoring.overview:OverviewMetric",
    "RequestExample": "request.readings:RequestExample",
    "RequestPoint": "request.request_points:RequestPoint",
    "StatusCount": "request.readings:StatusCount",
    "WorkerLife": "state.readings:WorkerLife",
    "WorkerReport": "monitoring.overview:WorkerReport",
    "CheckReport": "monitoring.report:CheckReport",
    "HealthReport": "monitoring.report:HealthReport",
    "HealthResult": "health.results:HealthResult",
    "Silence": "alerts.silences:Silence",
    "Threshold": "alerts.thresholds:Threshold",
    "collector_check": "health.ready_made.host:collector",
    "database_check": "health.ready_made.database:database",
    "disk_check": "health.ready_made.host:disk_space",
    "http_check": "health.ready_made.http:http_service",
    "redis_check": "health.ready_made.redis:redis",
    "tcp_check": "health.ready_made.host:tcp_port",
}
"""Where names of this module are found when somebody asks: a third of a program's start otherwise
went into rooms that it may need a minute later."""


def __getattr__(name: str) -> Any:
    place = _LATE.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(f"proletto_otel.{module}"), attribute)
