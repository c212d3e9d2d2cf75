"""Payments and refunds: what goes wrong when a bank is away, and one honest bug."""

from __future__ import annotations

import json
import sqlite3
from http.client import HTTPException
from typing import Any
from urllib.request import Request, urlopen

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue
from opentelemetry import propagate

from proletto_otel.error_logging import get_logger, handle_errors

from .store import database, find

BANK_TIMEOUT_S = 1.0

pages = Blueprint("payments", __name__)
log = get_logger("shop.payments")


class BankUnavailable(Exception):
    """The bank did not answer, or not with a decision."""


@pages.errorhandler(BankUnavailable)
def bank_unavailable(_error: BankUnavailable) -> ResponseReturnValue:
    """The customer may try again; the error is already logged by `charge`."""
    return {"error": "the bank does not answer, please try again"}, 503


@pages.post("/orders/<int:order_id>/payment")
def pay(order_id: int) -> ResponseReturnValue:
    """Charge the order at the bank."""
    order = find("orders", order_id)
    decision = charge(order_id, order["total_cents"])
    if not decision["accepted"]:
        log.warning("payment declined", order_id=order_id, reason=decision["reason"])
        return {"error": decision["reason"]}, 402
    with database() as connection:
        connection.execute("UPDATE orders SET payments = payments + 1 WHERE id = ?", (order_id,))
    log.info("payment accepted", order_id=order_id, total_cents=order["total_cents"])
    return {"order_id": order_id, "paid": True}


@handle_errors(reraise=True, component="payments")
def charge(order_id: int, cents: int) -> dict[str, Any]:
    """Ask the bank; the request ID and the trace go along in the headers."""
    headers = {"Content-Type": "application/json"}
    propagate.inject(headers)
    body = json.dumps({"order_id": order_id, "cents": cents}).encode()
    url = f"{current_app.config['BANK_URL']}/charges"
    try:
        with urlopen(Request(url, body, headers), timeout=BANK_TIMEOUT_S) as answer:
            decision: dict[str, Any] = json.load(answer)
            return decision
    except (OSError, HTTPException) as error:
        raise BankUnavailable(f"no decision on order {order_id}") from error


@pages.post("/orders/<int:order_id>/refund")
def refund(order_id: int) -> ResponseReturnValue:
    """Give back the last instalment. Nobody thought of orders that were never paid."""
    order = find("orders", order_id)
    log.info("refund asked for", order_id=order_id)
    return {"order_id": order_id, "refund_cents": instalment(order)}


def instalment(order: sqlite3.Row) -> int:
    """What one payment of the order was, in cents."""
    return int(order["total_cents"] // order["payments"])
