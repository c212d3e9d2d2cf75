"""Probes and /metrics are answered whatever the application does to its requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, abort, redirect
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from proletto_otel import setup_telemetry
from proletto_otel.testing import TelemetryCapture

PATHS = ("/livez", "/readyz", "/health", "/healthz", "/metrics")


def redirects(app: Flask) -> None:
    """Everybody has to log in."""
    app.before_request(lambda: redirect("/login"))


def refuses(app: Flask) -> None:
    """A header is asked for."""
    app.before_request(lambda: abort(401))


def raises(app: Flask) -> None:
    """The database is down, and each request begins there."""

    def load_user() -> None:
        raise ConnectionError("no database")

    app.before_request(load_user)


def limits(app: Flask) -> None:
    """One request a day."""
    from flask_limiter import Limiter
    from flask_limiter.util import get_remote_address

    Limiter(
        get_remote_address, app=app, default_limits=["1 per day"],
        application_limits=["1 per day"], storage_uri="memory://",
    )  # fmt: skip


def insists_on_https(app: Flask) -> None:
    """Flask-Talisman redirects plain HTTP."""
    from flask_talisman import Talisman

    Talisman(app)


def trusts_one_host(app: Flask) -> None:
    """Other names are a bad request."""
    app.config["TRUSTED_HOSTS"] = ["shop.example"]


def has_a_name(app: Flask) -> None:
    """Only its own name matches."""
    app.config["SERVER_NAME"] = "shop.example"
    app.subdomain_matching = True


def matches_hosts(app: Flask) -> None:
    """Each route has a host."""
    app.url_map.host_matching = True
    app.add_url_rule("/", "root", lambda: "fine", host="shop.example")


def breaks_afterwards(app: Flask) -> None:
    """Whatever the answer was, it is spoilt."""

    @app.after_request
    def spoil(response: Any) -> Any:
        raise RuntimeError("no session")


@pytest.mark.parametrize(
    "does",
    [redirects, refuses, raises, limits, insists_on_https, trusts_one_host, has_a_name,
     matches_hosts, breaks_afterwards],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_an_orchestrator_gets_its_answer(
    telemetry_capture: TelemetryCapture, does: Callable[[Flask], None], first: bool
) -> None:
    """Not 302, 401, 429 or 500: it would restart every worker. Twice, for limits."""
    app = Flask("shop")
    if first:
        does(app)
    setup_telemetry(app, log_console=False)
    if not first:
        does(app)
    client = app.test_client()
    answers = [client.get(path, base_url="http://10.1.2.3:8000") for path in PATHS * 2]

    assert [200] * 10 == [answer.status_code for answer in answers]
    assert all(answer.headers["X-Request-ID"] for answer in answers)
    assert "" == client.head("/livez").text
    assert not telemetry_capture.metric("http.server.request.duration")


def test_a_mounted_application_answers_below_its_mount(
    telemetry_capture: TelemetryCapture,
) -> None:
    """Beside another one, and with APPLICATION_ROOT set."""
    app = Flask("shop")
    app.config["APPLICATION_ROOT"] = "/shop"
    setup_telemetry(app, log_console=False)
    client = Client(DispatcherMiddleware(Flask("front"), {"/shop": app}))

    assert [200, 404] == [client.get(path).status_code for path in ("/shop/livez", "/livez")]


def test_only_reading_is_answered_for_the_application(
    telemetry_capture: TelemetryCapture,
) -> None:
    """What it has at the same path under another method, or below, is its own."""
    app = Flask("shop")
    setup_telemetry(app, log_console=False)
    app.add_url_rule("/health", "report", lambda: "thanks", methods=["POST"])
    app.add_url_rule("/livez/deep", "deep", lambda: "deep")
    client = app.test_client()

    assert ["thanks", "deep"] == [client.post("/health").text, client.get("/livez/deep").text]
    assert {"status": "pass"} == client.get("/health").get_json(force=True)
    assert 404 == client.post("/livez").status_code


def test_a_route_for_everything_does_not_take_the_probes(
    telemetry_capture: TelemetryCapture,
) -> None:
    """The catch-all of a single-page application answers 200 to anything."""
    app = Flask("shop")
    setup_telemetry(app, log_console=False)
    app.add_url_rule("/<path:rest>", "page", lambda rest: "<html>")

    assert b"<html>" not in app.test_client().get("/livez").data


def test_details_are_for_who_is_logged_in(telemetry_capture: TelemetryCapture) -> None:
    """The application's own rule is asked with its session, also before Flask."""
    from flask import session

    app = Flask("shop")
    app.secret_key = "for sessions"
    setup_telemetry(app, log_console=False, authorize=lambda: session.get("admin"))
    app.add_url_rule("/login", "login", lambda: str(session.update(admin=True)))
    stranger, admin = app.test_client(), app.test_client()
    admin.get("/login").close()

    assert ["checks" in c.get("/health").get_json(force=True) for c in (stranger, admin)] == [
        False,
        True,
    ]
