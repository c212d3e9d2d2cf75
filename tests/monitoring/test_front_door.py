"""Monitoring as the specification's integration example switches it on."""

from __future__ import annotations

import shutil
from pathlib import Path

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import NullPool

from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger
from proletto_otel.monitoring import monitor
from proletto_otel.monitoring_routes import init_app as init_monitoring
from proletto_otel.testing import TelemetryCapture
from tests.waiting import until


def create_app(path: Path) -> Flask:
    """The specification's Flask integration."""
    db = SQLAlchemy()
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{path}"
    app.config["FLASK_ENV"] = "development"
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"poolclass": NullPool}

    # Initialize database
    db.init_app(app)

    # Initialize monitoring
    init_monitoring(app, db=db)

    @app.get("/orders/<int:order_id>")
    def order(order_id: int) -> dict[str, int]:
        logger.info("order shown", order_id=order_id)
        return {"id": order_id}

    with app.app_context():
        db.create_all()
    return app


def test_one_call_gives_routes_tracking_and_health(
    telemetry_capture: TelemetryCapture, tmp_path: Path
) -> None:
    """Monitoring routes, request tracking middleware, health check endpoints."""
    (tmp_path / "shop.db").touch()
    client = create_app(tmp_path / "shop.db").test_client()
    for order_id in range(3):
        client.get(f"/orders/{order_id}")

    health = client.get("/health")
    assert (200, ["database"]) == (
        health.status_code, list(health.get_json(force=True)["checks"]),
    )  # fmt: skip
    requests = client.get("/admin/monitoring/api/requests").get_json()
    assert [("/orders/<int:order_id>", 3)] == [
        (e["route"], e["count"])
        for e in requests["endpoints"]
        if (e["route"] or "").startswith("/orders")
    ]
    assert "http_server_request_duration_seconds_count" in client.get("/metrics").text
    assert "database" in client.get("/admin/monitoring").text


def test_database_that_is_gone_is_seen(telemetry_capture: TelemetryCapture, tmp_path: Path) -> None:
    """The check of `db=` is critical: /readyz says 503."""
    disk = tmp_path / "disk"
    disk.mkdir()
    client = create_app(disk / "gone.db").test_client()
    shutil.rmtree(disk)

    assert 503 == client.get("/readyz").status_code


def test_calling_set_up_and_init_app_is_fine(telemetry_capture: TelemetryCapture) -> None:
    """Both, in either order, once each or twice."""
    app = Flask("shop")
    first = setup_telemetry(app)

    assert first is init_monitoring(app)
    assert 200 == app.test_client().get("/livez").status_code


def test_system_metrics_of_the_specification_are_there(
    telemetry_capture: TelemetryCapture,
) -> None:
    """CPU, memory, disk, open files, network connections, load averages."""
    telemetry_capture.telemetry.activate()
    found = monitor.get_system_metrics()

    assert {
        "cpu_percent", "memory_percent", "disk_percent", "open_files", "network_connections",
        "load_1", "load_5", "load_15",
    } <= set(found)  # fmt: skip
    assert 0 < (found["memory_percent"] or 0) <= 100


def test_alert_is_a_log_record_like_any_other(telemetry_capture: TelemetryCapture) -> None:
    """A threshold that is passed becomes one log entry in every sink, and one Slack message."""

    monitor.register_threshold("memory_percent", critical_threshold=0.001)
    telemetry_capture.telemetry.activate()
    until(lambda: telemetry_capture.slack)
    until(lambda: [line for line in telemetry_capture.logs if "HighMemory" in line["body"]])
    (line,) = (line for line in telemetry_capture.logs if "HighMemory" in line["body"])

    assert ("HighMemory", "critical", "docs/runbook.md#highmemory") == tuple(
        line["attributes"][name] for name in ("alert", "severity", "runbook")
    )
    assert 1 == len(telemetry_capture.slack)


def test_percentiles_are_those_of_the_last_minutes(telemetry_capture: TelemetryCapture) -> None:
    """get_api_metrics has p50, p95 and p99 in all and by endpoint; probes are left out."""
    app = Flask("shop")
    setup_telemetry(app)
    app.add_url_rule("/orders", view_func=lambda: "[]")
    client = app.test_client()
    for _ in range(20):
        client.get("/orders")
        client.get("/livez")
    found = monitor.get_api_metrics()
    (orders,) = (e for e in found["endpoints"] if e["route"] == "/orders")

    for part in (found["total"], orders):
        assert 0 < part["min_s"] <= part["p50_s"] <= part["p95_s"] <= part["p99_s"] <= part["max_s"]


def test_percentiles_of_one_request_are_its_duration(telemetry_capture: TelemetryCapture) -> None:
    """Steps of counts are not shown: no percentile below the least or above the greatest."""
    app = Flask("shop")
    setup_telemetry(app)
    app.add_url_rule("/orders", view_func=lambda: "[]")
    app.test_client().get("/orders")
    (orders,) = monitor.get_api_metrics()["endpoints"]

    took_s = orders["max_s"]
    assert [took_s] * 4 == [orders[name] for name in ("min_s", "p50_s", "p95_s", "p99_s")]
