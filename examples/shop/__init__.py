"""A small shop: what one `setup_telemetry(app)` gives an ordinary Flask application.

Orders live in `orders`, payments in `payments`, the database in `store`; the bank that payments
depend on is a process of its own (`bank`). `demo.py` runs all of it with traffic.
"""

from __future__ import annotations

import importlib.util

from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.monitoring import http_check, monitor

from . import orders, payments, store


def create_app() -> Flask:
    """Build the shop; `SHOP_DATABASE` and `SHOP_BANK_URL` say where its parts are."""
    app = Flask(__name__)
    app.config.from_mapping(DATABASE="shop.db", BANK_URL="http://127.0.0.1:9001")
    app.config.from_prefixed_env("SHOP")
    store.init_app(app)
    app.register_blueprint(orders.pages)
    app.register_blueprint(payments.pages)

    telemetry = setup_telemetry(app, db=error_database(app))
    orders.count_with(telemetry.meter)
    bank = http_check(f"{app.config['BANK_URL']}/health")
    monitor.register_health_check("bank", bank, critical=False, timeout=2, degraded_above=0.5)
    monitor.register_threshold(
        metric="error_rate", warning_threshold=20, critical_threshold=50, duration=30
    )
    return app


def error_database(app: Flask) -> str | None:
    """The shop's own database also keeps its errors, where SQLAlchemy is installed."""
    if importlib.util.find_spec("sqlalchemy") is None:
        return None
    return f"sqlite:///{app.config['DATABASE']}"
