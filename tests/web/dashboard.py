"""A small shop with the admin pages, for tests of them."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger
from proletto_otel.monitoring import monitor

ADMIN = "/admin/monitoring"
TOKEN = "0pen-sesame"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SAME_ORIGIN = {**BROWSER, "Origin": "http://localhost"}
HOSTILE = "<img src=x onerror=alert(1)> '\"</script><script>document.title='pwned'</script> {{7*7}}"


def shop(**settings: Any) -> Flask:
    """An application that works, fails and says odd things; open to this machine by default."""
    app = Flask("shop")
    said = {"environment": "development"} | settings
    setup_telemetry(app, log_console=False, **said)
    monitor.register_health_check("bank", lambda: {"status": "degraded", "message": HOSTILE})

    @app.get("/orders/<int:n>")
    def order(n: int) -> str:
        logger.info("order read", order_id=n)
        return "order"

    @app.get("/pay/<int:months>")
    def pay(months: int) -> str:
        logger.warning(HOSTILE)
        return str(4900 // months)

    @app.get("/hostile")
    def hostile() -> str:
        raise ValueError(HOSTILE)

    return app


def traffic(app: Flask) -> str:
    """Some requests, good and bad; the request ID of one that failed."""
    client = app.test_client()
    client.get("/orders/1")
    client.get("/nowhere")
    client.get("/hostile", headers={"User-Agent": HOSTILE})
    return str(client.get("/pay/0").headers["X-Request-ID"])


def csrf_of(page: TestResponse) -> str:
    """The token in the forms of *page*."""
    found = re.search(r'name="csrf" value="([0-9a-f]{40})"', page.text)
    assert found is not None
    return found[1]
