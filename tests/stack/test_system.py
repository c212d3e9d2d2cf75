"""What the collector hands on: each signal to its store, under the names the docs promise."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from tests.stack.servers import wait_for
from tests.stack.system import System

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def send(system: System, signal: str, document: dict[str, Any]) -> None:
    """One OTLP/HTTP request in JSON."""
    request = urllib.request.Request(
        f"{system.otlp}/v1/{signal}",
        json.dumps(document).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert 200 == answer.status


def attributes(**values: str) -> list[dict[str, Any]]:
    """OTLP/JSON attributes; `__` in a name stands for a dot."""
    return [
        {"key": key.replace("__", "."), "value": {"stringValue": value}}
        for key, value in values.items()
    ]


def send_spans(system: System, service: str, *spans: dict[str, str]) -> None:
    """Server spans with these attributes, one for each."""
    now = time.time_ns()
    made = [
        {"traceId": TRACE, "spanId": f"{index + 1:016x}", "name": "GET", "kind": 2,
         "startTimeUnixNano": str(now - 10**7), "endTimeUnixNano": str(now),
         "attributes": attributes(**span)}
        for index, span in enumerate(spans)
    ]  # fmt: skip
    resource = {"attributes": attributes(service__name=service)}
    document = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": made}]}]}
    send(system, "traces", document)


def send_log(system: System, service: str, body: str, **facts: str) -> None:
    """One log record."""
    record = {"timeUnixNano": str(time.time_ns()), "severityNumber": 17, "severityText": "ERROR",
              "body": {"stringValue": body}, "attributes": attributes(**facts),
              "traceId": TRACE, "spanId": SPAN}  # fmt: skip
    resource = {"attributes": attributes(service__name=service)}
    send(system, "logs", {"resourceLogs": [
        {"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]})  # fmt: skip


def test_stack_trace_is_in_the_line(system: System) -> None:
    """Loki returns the error with its stack trace in the body, and finds it by request ID."""
    send_log(system, "t-trace", "payment failed", request_id="rid-1",
             exception__type="ValueError", exception__stacktrace="Traceback: deep\n  in shop.py")  # fmt: skip

    found = wait_for(
        "log line", lambda: system.logql('{service_name="t-trace"} | request_id="rid-1"')
    )

    labels, line = found[0]
    assert "payment failed\nTraceback: deep\n  in shop.py" == line
    assert "ValueError" == labels["exception_type"]
    assert TRACE == labels["trace_id"]
    assert "exception_stacktrace" not in labels


def test_long_stack_trace_is_not_refused(system: System) -> None:
    """A trace longer than Loki's limit on metadata arrives, because it is part of the line."""
    send_log(system, "t-long", "deep recursion", exception__stacktrace="frame\n" * 20_000)

    found = wait_for("long line", lambda: system.logql('{service_name="t-long"}'))

    assert 120_000 < len(found[0][1])


def test_only_identity_is_a_label(system: System) -> None:
    """Request ID, trace ID and user never become index labels."""
    send_log(system, "t-label", "hello", request_id="rid-2", user__id="7")
    wait_for("line", lambda: system.logql('{service_name="t-label"}'))

    found = wait_for("labels", lambda: system.labels())

    assert "service_name" in found
    assert set() == {"request_id", "trace_id", "user_id", "service_instance_id"} & set(found)


def test_secret_is_masked_on_the_way(system: System) -> None:
    """A password that some application sent does not reach the store."""
    send_log(system, "t-secret", "login Bearer abcdef123456", db_password="hunter2")

    labels, line = wait_for("line", lambda: system.logql('{service_name="t-secret"}'))[0]

    assert "hunter2" not in json.dumps(labels)
    assert "abcdef123456" not in line


def test_probes_leave_no_spans(system: System) -> None:
    """Spans of probes and admin pages are dropped, those of the application stay."""
    routes = ["/readyz", "/livez", "/metrics", "/admin/monitoring/errors", "/admin/monitoring"]
    kept = ["/orders/<id>", "/livezone", "/administration"]
    send_spans(system, "t-probe", *({"http__route": route} for route in [*routes, *kept]))

    spans = wait_for("spans", lambda: system.tempo.of("t-probe"))

    assert kept == [span.attributes["http.route"] for span in spans]


def test_spans_become_metrics(system: System) -> None:
    """Span metrics have the names that dashboards use."""
    send_spans(system, "t-red", {"http__route": "/a"}, {"http__route": "/b"})

    wait_for(
        "span metrics",
        lambda: 2 == system.total('traces_span_metrics_calls_total{service_name="t-red"}'),
    )

    assert system.promql('traces_span_metrics_duration_seconds_bucket{service_name="t-red"}')


def test_collector_reports_on_itself(system: System) -> None:
    """Prometheus scrapes the collector's own figures."""
    assert wait_for("up", lambda: system.promql('up{job="otel-collector"} == 1'))
    assert wait_for("queue", lambda: system.promql("otelcol_exporter_queue_capacity"))
