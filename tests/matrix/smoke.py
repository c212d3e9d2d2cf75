"""What must work with every version: set-up, requests, errors, logs, /metrics, health, database.

    python smoke.py FOLDER        # with OTEL_EXPORTER_OTLP_ENDPOINT set

Runs in an environment that holds the installed wheel and no test tools; it writes `request_id` and
`trace_id` of its failed request to `FOLDER/ids.json`, for the one who runs the OTLP server.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
from pathlib import Path

import structlog
from flask import Flask, Response, request_started
from opentelemetry import trace

from proletto_otel import setup_telemetry
from proletto_otel.error_logging import ErrorCapture, logger
from proletto_otel.monitoring import database_check, monitor

folder = Path(sys.argv[1])
database = folder / "app.db"
database.touch()  # a check finds no database that nobody has made
os.environ |= {"LOG_DIR": str(folder / "logs"), "SECRET_KEY": "x"}

app = Flask("shop")
telemetry = setup_telemetry(app, db=f"sqlite:///{database}")
orders = telemetry.meter.create_counter("shop.orders")
sizes = telemetry.meter.create_histogram("shop.order.size")
monitor.register_health_check("own_database", database_check(f"sqlite:///{database}"))
started: list[Flask] = []


def remember(sender: Flask, **more: object) -> None:
    """A signal of Flask's still reaches others."""
    started.append(sender)


request_started.connect(remember)


@app.get("/orders/<int:number>")
def order(number: int) -> dict[str, str]:
    """A request with a span, two instruments and a line of each logging library."""
    with telemetry.tracer.start_as_current_span("price"):
        orders.add(1)
        sizes.record(number)
    logging.getLogger("shop.std").warning("order %s by logging", number)
    structlog.get_logger("shop.struct").warning("order by structlog", number=number)
    logger.info("order", number=number, password="hunter2")
    return {"trace": format(trace.get_current_span().get_span_context().trace_id, "032x")}


@app.get("/fail")
def fail() -> str:
    """A request that fails."""
    return str(1 / 0)


@app.get("/handled")
def handled() -> str:
    """Errors that are logged where they are handled."""
    with ErrorCapture("stock", reraise=False):
        raise LookupError("handled here")
    return "instead"


@app.get("/stream")
def stream() -> Response:
    """A streamed answer."""
    return Response((str(n) for n in range(3)), mimetype="text/plain")


client = app.test_client()
answer = client.get("/orders/7", headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
assert answer.status_code == 200, answer.data
assert answer.headers["X-Request-ID"]
assert len(answer.get_json()["trace"]) == 32
failed = client.get("/fail")
assert failed.status_code == 500
assert client.get("/missing").status_code == 404
assert client.get("/handled").data == b"instead"
assert client.get("/stream").data == b"012"
assert started

assert telemetry.flush(300), telemetry.status()
whole = "".join(path.read_text() for path in (folder / "logs").glob("proletto*"))
assert "order 7 by logging" in whole
assert "order by structlog" in whole
assert "hunter2" not in whole
assert "handled here" in whole
assert "ZeroDivisionError: division by zero in GET /fail" in whole
request_id = failed.headers["X-Request-ID"]
assert json.dumps(request_id) in whole

page = client.get("/metrics").get_data(as_text=True)
for expected in (
    'http_response_status_code="500"',
    'http_route="/orders/<int:number>"',
    "shop_orders_total",
    "shop_order_size_bucket",
):
    assert expected in page, (expected, page)
failures = [
    x for x in page.splitlines() if x.startswith("proletto_telemetry_internal_errors_total{")
]
assert not failures, failures

for probe in ("/livez", "/readyz", "/health"):
    assert client.get(probe).status_code == 200, client.get(probe).data
assert {c.name: c.status for c in monitor.get_health().checks}["own_database"] == "healthy"

rows = sqlite3.connect(database).execute("SELECT message, request_id FROM error_logs").fetchall()
assert any("division by zero" in message and its == request_id for message, its in rows), rows
telemetry.shutdown()
(folder / "ids.json").write_text(json.dumps({"request_id": request_id}))
