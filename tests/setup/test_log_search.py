"""Log search and error details of an application: what the handle and `monitor` offer is one."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.monitoring import LogQuery, LogSearch, Monitor, monitor


def test_one_request_on_one_page(tmp_path: Path) -> None:
    """By its ID a request's lines and its error are found, its access line included."""
    app = Flask("shop")
    telemetry = setup_telemetry(app, log_dir=str(tmp_path), log_console=False)

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        app.logger.info("cart loaded", extra={"number": number})
        raise LookupError("no such order")

    client = app.test_client()
    identifier = client.get("/orders/7").headers["X-Request-ID"]
    client.get("/nothing")
    telemetry.flush()

    page = telemetry.logs.of_request(identifier, budget_s=2)
    assert ["INFO", "ERROR", "INFO"] == [line.level for line in page.lines]
    assert page.lines == tuple(sorted(page.lines, key=lambda line: line.at))
    error, access = page.lines[1:]
    assert 500 == access.request["http.response.status_code"]
    (occurrence,) = telemetry.errors.occurrences_of_request(identifier)
    assert error.fingerprint == occurrence.group == occurrence.fingerprint
    (found,) = telemetry.logs.search(LogQuery(fingerprint=error.fingerprint)).lines
    assert error == found
    assert monitor.logs is telemetry.logs
    assert monitor.errors is telemetry.errors
    telemetry.shutdown()


def test_before_set_up() -> None:
    """Before telemetry is set up both are empty and say why."""
    alone = Monitor()
    assert isinstance(alone.logs, LogSearch)
    assert "not set up" in alone.logs.search().problem
    assert [] == alone.errors.groups()
