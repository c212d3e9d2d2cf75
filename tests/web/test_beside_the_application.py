"""The admin pages beside an application: its routes, lists, hooks and life stay its own."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from flask import Flask, g, request, url_for

from proletto_otel import setup_telemetry

ADMIN = "/admin/monitoring"
pytestmark = pytest.mark.usefixtures("telemetry_capture")


def made(**settings: Any) -> Flask:
    """A shop whose pages are open to this machine."""
    app = Flask("shop")
    setup_telemetry(app, log_console=False, environment="development", **settings)
    return app


def rules(app: Flask) -> list[str]:
    """What `flask routes` shows."""
    return [repr(rule) for rule in app.url_map.iter_rules()]


def templates(app: Flask) -> list[str]:
    """What the template loaders find."""
    return app.jinja_env.list_templates()


def test_lists_of_the_application_stay_its_own() -> None:
    """No rule, blueprint or template of ours, before and after the pages were used."""
    bare, app = Flask("shop"), made()
    for _ in range(2):
        for listed in (rules, templates, lambda app: list(app.blueprints)):
            assert listed(bare) == listed(app)
        assert 200 == app.test_client().get(ADMIN).status_code


@pytest.mark.parametrize(
    ("rule", "path", "is_theirs"),
    [
        (ADMIN, ADMIN, True),
        (f"{ADMIN}/api/system", f"{ADMIN}/api/system", True),
        (f"{ADMIN}/mine", f"{ADMIN}/mine", True),
        (f"{ADMIN}/<path:rest>", f"{ADMIN}/mine", True),
        (f"{ADMIN}/<path:rest>", f"{ADMIN}/api/system", False),
        ("/<path:rest>", ADMIN, False),
        ("/<path:rest>", f"{ADMIN}/api/system", False),
        ("/<path:rest>", f"{ADMIN}s", True),
        ("/admin/<name>", ADMIN, False),
    ],
)
def test_own_route_wins_and_a_catch_all_does_not(rule: str, path: str, is_theirs: bool) -> None:
    """A front end's catch-all leaves the admin pages reachable."""
    app = made()
    app.add_url_rule(rule, "theirs", lambda **_: "theirs")

    assert is_theirs == (app.test_client().get(path).text == "theirs")


def test_own_route_keeps_its_methods() -> None:
    """The application posts where we show; what neither answers is refused by our rule."""
    app = made()
    app.add_url_rule(ADMIN, "theirs", lambda: "theirs", methods=["POST"])
    client = app.test_client()

    assert "theirs" == client.post(ADMIN).text
    assert [200, 405] == [client.open(ADMIN, method=m).status_code for m in ("GET", "DELETE")]


def test_pages_run_like_views_of_the_application() -> None:
    """`before_request` sees the endpoint, `authorize` what it set; links can be built."""
    seen: list[str | None] = []
    app = made(authorize=lambda: g.user == "root")
    app.add_url_rule("/login", "login", lambda: "")

    @app.before_request
    def load() -> None:
        g.user = "root"
        seen.extend((request.endpoint, url_for("login")))

    assert 200 == app.test_client().get(ADMIN).status_code
    assert ["proletto_monitoring_overview", "/login"] == seen


@pytest.mark.parametrize("kind", [{}, {"host_matching": True, "static_host": "shop.example"}])
@pytest.mark.parametrize("mount", ["", "/shop"])
def test_pages_are_found_in_every_kind_of_url_map(kind: dict[str, Any], mount: str) -> None:
    """Host matching, and below a mount point."""
    app = Flask("shop", **kind)
    setup_telemetry(app, log_console=False, admin_token="0pen")
    headers = {"Authorization": "Bearer 0pen"}
    answer = app.test_client().get(
        ADMIN, headers=headers, environ_overrides={"SCRIPT_NAME": mount}
    )  # fmt: skip

    assert 200 == answer.status_code


@pytest.mark.parametrize("path", ["/", ADMIN])
def test_application_is_freed(path: str) -> None:
    """The collector frees an application that nobody holds: no signal, no table keeps it."""
    app = made()
    app.test_client().get(path)
    left = weakref.ref(app)
    del app
    gc.collect()

    assert left() is None
