"""What the collector hands on: each signal to its store, under the names the docs promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

from tests.stack import otlp
from tests.stack.receiver import Receiver
from tests.stack.servers import wait_for
from tests.stack.system import System
from tests.waiting import PATIENCE_S

TRACE = "0af7651916cd43dd8448eb211c80319c"


def send_log(system: System, service: str, body: str, facts: dict[str, str]) -> None:
    """One log record of an application."""
    otlp.send(system.otlp, "logs", service, [otlp.log(TRACE, body, facts)])


def send_routes(system: System, service: str, routes: list[str]) -> None:
    """One server span for each route."""
    spans = [
        otlp.span(TRACE, f"{index + 1:016x}", {"http.route": route})
        for index, route in enumerate(routes)
    ]
    otlp.send(system.otlp, "traces", service, spans)


def test_stack_trace_is_in_the_line(system: System) -> None:
    """Loki returns the error with its stack trace in the body, and finds it by request ID."""
    facts = {
        "request_id": "rid-1",
        "exception.type": "ValueError",
        "exception.stacktrace": "Traceback: deep\n  in shop.py",
    }
    send_log(system, "t-trace", "payment failed", facts)

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
    send_log(system, "t-long", "deep recursion", {"exception.stacktrace": "frame\n" * 20_000})

    found = wait_for("long line", lambda: system.logql('{service_name="t-long"}'))

    assert 120_000 < len(found[0][1])


def test_only_identity_is_a_label(system: System) -> None:
    """Request ID, trace ID and user never become index labels."""
    send_log(system, "t-label", "hello", {"request_id": "rid-2", "user.id": "7"})
    wait_for("line", lambda: system.logql('{service_name="t-label"}'))

    found = wait_for("labels", lambda: system.labels())

    assert "service_name" in found
    assert set() == {"request_id", "trace_id", "user_id", "service_instance_id"} & set(found)


def test_secret_is_masked_on_the_way(system: System) -> None:
    """A password that some application sent does not reach the store."""
    send_log(system, "t-secret", "login Bearer abcdef123456", {"db_password": "hunter2"})

    labels, line = wait_for("line", lambda: system.logql('{service_name="t-secret"}'))[0]

    assert "hunter2" not in json.dumps(labels)
    assert "abcdef123456" not in line


def test_probes_leave_no_spans(system: System) -> None:
    """Spans of probes and admin pages are dropped, those of the application stay."""
    routes = ["/readyz", "/livez", "/metrics", "/admin/monitoring/errors", "/admin/monitoring"]
    kept = ["/orders/<id>", "/livezone", "/administration"]
    send_routes(system, "t-probe", [*routes, *kept])

    spans = wait_for("spans", lambda: system.tempo.of("t-probe"))

    assert kept == [span.attributes["http.route"] for span in spans]


def test_spans_become_metrics(system: System) -> None:
    """Span metrics have the names that dashboards use."""
    send_routes(system, "t-red", ["/a", "/b"])

    wait_for(
        "span metrics",
        lambda: 2 == system.total('traces_span_metrics_calls_total{service_name="t-red"}'),
    )

    assert system.promql('traces_span_metrics_duration_seconds_bucket{service_name="t-red"}')


SAMPLED = """
from flask import Flask
from proletto_otel import setup_telemetry
app = Flask("shop")
telemetry = setup_telemetry(
    app, service_name="t-ratio", traces_keep_ratio=0.25, traces_slow_ms=600_000
)
app.add_url_rule("/ordinary", "ordinary", lambda: "ok")
app.add_url_rule("/failing", "failing", lambda: ("no", 503))
for _ in range(200):
    app.test_client().get("/ordinary")
for _ in range(40):
    app.test_client().get("/failing")
telemetry.shutdown(20)
"""


def test_span_metrics_know_what_was_left_out(system: System, tmp_path: Path) -> None:
    """Of a service that sends a quarter of its ordinary traces each counts four times; a failed
    request, which is always sent, counts once."""
    env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": system.otlp, "LOG_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", SAMPLED], env=env, check=True, timeout=PATIENCE_S)
    calls = 'traces_span_metrics_calls_total{service_name="t-ratio",span_name="GET /%s"}'

    wait_for("span metrics", lambda: 40 == system.total(calls % "failing"))
    wait_for("sampled spans", lambda: system.total(calls % "ordinary"))
    sent = [span.name for span in system.tempo.of("t-ratio")]

    assert 40 == sent.count("GET /failing")
    assert 0 < sent.count("GET /ordinary") < 100
    assert 4 * sent.count("GET /ordinary") == system.total(calls % "ordinary")


def test_collector_reports_on_itself(system: System) -> None:
    """Prometheus scrapes the collector's own figures."""
    assert wait_for("up", lambda: system.promql('up{job="otel-collector"} == 1'))
    assert wait_for("queue", lambda: system.promql("otelcol_exporter_queue_capacity"))


def test_host_profile_measures_the_machine(system: System) -> None:
    """The `hostmetrics` profile brings CPU, memory and file systems, under the name `host`."""
    system.start_host_metrics()
    try:
        for name in ("memory", "filesystem"):
            query = f'system_{name}_utilization_ratio{{service_name="host"}}'
            found = wait_for(query, lambda: system.promql(query))  # noqa: B023
            assert all(0 <= float(series["value"][1]) <= 1 for series in found)
    finally:
        system.stop("host")


def test_tail_sampling_keeps_every_error(tmp_path: Path) -> None:
    """With the overlay each trace that failed is kept, and of the others about a tenth."""
    sampled = System(tmp_path, Receiver())
    try:
        sampled.start_collector("tail-sampling.yaml")
        spans = [otlp.span(uuid.uuid4().hex, "00f067aa0ba902b7", {}) for _ in range(400)]
        failed = [{**span, "status": {"code": 2}} for span in spans[:20]]
        otlp.send(sampled.otlp, "traces", "t-sampled", failed + spans[20:])

        def look() -> list[bool]:
            failed = [span.status == 2 for span in sampled.tempo.of("t-sampled")]
            return failed if failed.count(True) >= 20 and failed.count(False) > 5 else []

        seen = wait_for("decisions", look)

        assert 20 == seen.count(True)
        assert seen.count(False) < 100
    finally:
        sampled.close()


def test_outage_of_a_store_loses_nothing(system: System) -> None:
    """What was sent while Loki was down, and the collector restarted meanwhile, arrives."""
    system.stop("loki")
    try:
        send_log(system, "t-outage", "sent into the dark", {"request_id": "rid-3"})
        system.stop("collector")
        system.start_collector()
    finally:
        system.start_loki()

    found = wait_for("line", lambda: system.logql('{service_name="t-outage"}'))

    assert ["sent into the dark"] == [line for _, line in found]
