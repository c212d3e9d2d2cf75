"""With Flask-Login, and nothing else to do, lines say who was logged in."""

from __future__ import annotations

import pytest
from flask import Flask
from flask_login import LoginManager, UserMixin, current_user, login_user

from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger
from proletto_otel.testing import TelemetryCapture


class User(UserMixin):
    """Known by a number."""

    def __init__(self, number: int) -> None:
        self.id = number


def shop(manager_first: bool) -> Flask:
    """An application with a login; set up before or after Flask-Login, and twice."""
    app = Flask("shop")
    app.secret_key = "k" * 32

    def manage() -> None:
        LoginManager(app).user_loader(lambda number: User(int(number)))

    if manager_first:
        manage()
    setup_telemetry(app)
    setup_telemetry(app)
    if not manager_first:
        manage()

    @app.get("/login/<int:number>")
    def login(number: int) -> str:
        login_user(User(number))
        return "in"

    @app.get("/cart")
    def cart() -> str:
        shown = str(current_user.get_id()) if current_user.is_authenticated else "nobody"
        logger.info("cart shown")
        return shown

    return app


@pytest.mark.parametrize("manager_first", [True, False])
def test_lines_of_a_request_name_its_user(
    telemetry_capture: TelemetryCapture, manager_first: bool
) -> None:
    """Each client's own; the login itself works as without us; an anonymous one has none."""
    app = shop(manager_first)
    ada, bob, nobody = (app.test_client() for _ in range(3))
    ada.get("/login/7").close()
    bob.get("/login/8").close()
    shown = [client.get("/cart").text for client in (ada, bob, nobody, ada)]

    assert ["7", "8", "nobody", "7"] == shown
    lines = [line for line in telemetry_capture.logs if line["body"] == "cart shown"]
    assert ["7", "8", None, "7"] == [line["attributes"].get("user_id") for line in lines]
