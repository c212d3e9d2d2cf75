"""The application of the tours: it takes money, it fails, it needs a database."""

from __future__ import annotations

import os

from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger
from proletto_otel.monitoring import database_check, monitor


def create_app() -> Flask:
    """Two routes, a threshold, and a check of the database where there is one."""
    app = Flask("shop")

    @app.get("/orders/<int:n>")
    def order(n: int) -> str:
        telemetry.set_user(f"user-{n % 3}")
        return f"order {n}"

    @app.get("/pay/<int:months>")
    def pay(months: int) -> str:
        logger.warning("instalments are asked for", months=months)
        return str(4900 // months)

    telemetry = setup_telemetry(app)
    monitor.register_threshold("error_rate", critical_threshold=5, min_requests=5)
    if os.environ.get("TOUR_DATABASE"):
        monitor.register_health_check(
            "database", database_check(os.environ["TOUR_DATABASE"]), timeout=20
        )
    return app


app = create_app()
