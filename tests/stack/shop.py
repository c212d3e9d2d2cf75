"""The application of the end-to-end tests: it logs, it refuses, it fails.

gunicorn tests.stack.shop:app
"""

from __future__ import annotations

from flask import Flask, abort

from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger
from proletto_otel.monitoring import monitor


class PaymentDeclinedError(Exception):
    """The bank said no."""


def create_app() -> Flask:
    """Three routes and what they log."""
    app = Flask(__name__)

    @app.get("/orders/<int:order_id>")
    def show(order_id: int) -> dict[str, int]:
        if order_id == 0:
            abort(404)
        logger.info("order shown", order_id=order_id)
        return {"order_id": order_id}

    @app.post("/orders")
    def place() -> tuple[str, int]:
        logger.warning("stock is low")
        return "placed", 201

    @app.post("/orders/<int:order_id>/payment")
    def pay(order_id: int) -> str:
        logger.info("charging", order_id=order_id)
        raise PaymentDeclinedError(f"card of order {order_id} expired")

    setup_telemetry(app)
    monitor.register_health_check("warehouse", lambda: True)
    return app


app = create_app()
