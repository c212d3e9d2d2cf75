"""The access log line: what one finished request looks like as an event with facts.

Writing it is the log pipeline's work; its IDs come from the context, which is still current.
"""

from __future__ import annotations

import logging
from typing import Any

from proletto_otel.request.exchange import Exchange

LOGGER = "proletto.access"
EVENT = "request finished"


def level_of(exchange: Exchange) -> int:
    """WARNING when the server failed (the error has its own line); a 404 is the caller's affair."""
    return logging.WARNING if exchange.status >= 500 or exchange.exception else logging.INFO


def access_facts(exchange: Exchange) -> dict[str, Any]:
    """Method, path, route, status, duration and who asked; in milliseconds and bytes."""
    facts: dict[str, Any] = {
        "method": exchange.method,
        "path": exchange.path,
        "route": exchange.route,
        "status": exchange.status or None,
        "duration_ms": round(exchange.duration_s * 1000, 3),
        "client": exchange.environ.get("REMOTE_ADDR"),
    }
    if exchange.response_size is not None:
        facts["bytes"] = exchange.response_size
    return facts
