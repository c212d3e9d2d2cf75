"""Telemetry of an application that is not ours: OTLP/HTTP in JSON, sent by hand."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from tests.waiting import PATIENCE_S

_ENVELOPES = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
}


def send(endpoint: str, signal: str, service: str, items: list[dict[str, Any]]) -> None:
    """Send spans, log records or metrics of *service*; the receiver must say 200."""
    resources, scopes, leaf = _ENVELOPES[signal]
    resource = {"attributes": attributes({"service.name": service})}
    document = {resources: [{"resource": resource, scopes: [{leaf: items}]}]}
    request = urllib.request.Request(
        f"{endpoint}/v1/{signal}",
        json.dumps(document).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert 200 == answer.status


def attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    """Attributes in OTLP's spelling."""
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def span(trace_id: str, span_id: str, facts: dict[str, str]) -> dict[str, Any]:
    """A server span of ten milliseconds that ended now."""
    now = time.time_ns()
    return {
        "traceId": trace_id, "spanId": span_id, "name": "GET", "kind": 2,
        "startTimeUnixNano": str(now - 10**7), "endTimeUnixNano": str(now),
        "attributes": attributes(facts),
    }  # fmt: skip


def log(trace_id: str, body: str, facts: dict[str, str]) -> dict[str, Any]:
    """A log record of level ERROR."""
    return {
        "timeUnixNano": str(time.time_ns()), "severityNumber": 17, "severityText": "ERROR",
        "body": {"stringValue": body}, "attributes": attributes(facts), "traceId": trace_id,
    }  # fmt: skip


def counter(name: str, value: int) -> dict[str, Any]:
    """A cumulative counter."""
    now = str(time.time_ns())
    point = {"asInt": str(value), "timeUnixNano": now, "startTimeUnixNano": now}
    points = {"dataPoints": [point], "isMonotonic": True, "aggregationTemporality": 2}
    return {"name": name, "unit": "{item}", "sum": points}
