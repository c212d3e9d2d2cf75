"""Products, orders and the day's report, which is slow."""

from __future__ import annotations

import random
import time

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from opentelemetry import trace
from opentelemetry.metrics import Meter

from proletto_otel.error_logging import get_logger, log_function_call

from .store import database, find

pages = Blueprint("orders", __name__)
log = get_logger("shop.orders")
tracer = trace.get_tracer("shop")
instruments = {}


def count_with(meter: Meter) -> None:
    """Make the shop's own instruments; they appear on `/metrics` and in Prometheus."""
    instruments["orders"] = meter.create_counter(
        "shop.orders", unit="{order}", description="Orders placed."
    )


@pages.get("/")
def products() -> ResponseReturnValue:
    """What the shop sells."""
    rows = database().execute("SELECT * FROM products ORDER BY id").fetchall()
    return {"products": [dict(row) for row in rows]}


@pages.get("/products/<int:product_id>")
def product(product_id: int) -> ResponseReturnValue:
    """One product."""
    return dict(find("products", product_id))


@pages.post("/orders")
def place_order() -> ResponseReturnValue:
    """Order one product."""
    wanted = request.get_json()
    chosen, quantity = find("products", wanted["product_id"]), int(wanted["quantity"])
    with database() as connection:
        cursor = connection.execute(
            "INSERT INTO orders (product_id, quantity, total_cents) VALUES (?, ?, ?)",
            (chosen["id"], quantity, chosen["price_cents"] * quantity),
        )
    log.info("order placed", order_id=cursor.lastrowid, product=chosen["name"], quantity=quantity)
    instruments["orders"].add(1, {"product": chosen["name"]})
    return {"order_id": cursor.lastrowid}, 201


@pages.get("/orders/<int:order_id>")
def order(order_id: int) -> ResponseReturnValue:
    """One order."""
    return dict(find("orders", order_id))


@pages.post("/login")
def login() -> ResponseReturnValue:
    """Look at the log line of `check_password`: the password is not in it."""
    form = request.get_json()
    check_password(form["customer"], form["password"])
    return {"welcome": form["customer"]}


@log_function_call(level="INFO")
def check_password(customer: str, password: str) -> bool:
    """Every password is right in this shop."""
    return bool(customer and password)


@pages.get("/reports/daily")
def daily_report() -> ResponseReturnValue:
    """Slow on purpose; the trace shows in which step the time goes."""
    with tracer.start_as_current_span("count orders"):
        count, total = (
            database().execute("SELECT count(*), coalesce(sum(total_cents), 0) FROM orders")
        ).fetchone()
    with tracer.start_as_current_span("draw chart"):
        time.sleep(random.uniform(0.3, 0.9))
    log.info("report made", orders=count)
    return {"orders": count, "total_cents": total}
