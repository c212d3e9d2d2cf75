"""The application that is measured: three kinds of request, and what each must leave behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

REQUEST_ID = "0d5a7f10-7e57-4bad-9b0b-{:012x}"
"""`X-Request-ID` of the request with this number; the receiver searches for it."""


@dataclass(frozen=True)
class Kind:
    """One kind of request."""

    path: str
    per_round: int
    """Requests in one round."""
    status: int = 200
    events: tuple[str, ...] = ()
    """Messages that the application logs in each request."""
    exception: str = ""
    """Text of the exception that each request raises."""


KINDS = {
    "hello": Kind("/hello", 3000),
    "logs": Kind("/orders/{number}", 2000, events=("order read", "price found", "order sent")),
    "error": Kind("/broken", 1000, status=500, exception="KeyError: 'no such price'"),
}


def create_app(log: Any) -> Any:
    """The Flask application; it logs by `log.info(event, **fields)`."""
    from flask import Flask

    app = Flask("bench")

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/orders/<int:number>")
    def order(number: int) -> dict[str, int]:
        log.info("order read", order_id=number, lines=number % 5, source="cache")
        log.info("price found", order_id=number, cents=number * 7 + 99, currency="EUR")
        log.info("order sent", order_id=number, carrier=f"c-{number % 3}", parcels=1)
        return {"order": number}

    @app.get("/broken")
    def broken() -> dict[str, str]:
        return price_of("unknown")

    return app


def price_of(product: str) -> dict[str, str]:
    """Fail one call below the view, as real errors do."""
    raise KeyError("no such price")
