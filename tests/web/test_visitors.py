"""Who the visitor is, in a real Chromium: a viewer, somebody with wrong tokens, an operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.dashboard import ADMIN, TOKEN
from tests.web.test_browser import Visit, chromium, sync_api
from tests.web.test_tours import Shop, shop, visit

__all__ = ["chromium", "shop", "visit"]
pytestmark = pytest.mark.skipif(sync_api is None, reason="apt-get install chromium")
VIEWER = "0nly-looking"
CLOSED = {
    "FLASK_ENV": "production", "MONITOR_ADMIN_TOKEN": TOKEN, "MONITOR_VIEWER_TOKEN": VIEWER,
}  # fmt: skip
PAGES = ("", "/errors", "/requests", "/logs", "/health", "/alerts", "/system", "/telemetry")


def log_in(page: Any, shop: Shop, token: str, name: str = "vera") -> None:
    page.goto(f"{shop.base}{ADMIN}")
    page.fill("input[name=token]", token)
    page.fill("input[name=name]", name)
    page.click("button")


def test_viewer_reads_and_changes_nothing(shop: Shop, visit: Callable[[], Visit]) -> None:
    """Every page, no button that changes something; a form sent nevertheless says why not."""
    shop.start(**CLOSED)
    shop.ask("/pay/0", "viewed-1")
    page = visit().page
    log_in(page, shop, VIEWER)

    for path in PAGES:
        assert 200 == page.goto(f"{shop.base}{ADMIN}{path}").status
        assert "vera · viewer" in page.inner_text(".who")
        forms = page.locator("form[action*='/actions/']").evaluate_all(
            "forms => forms.map((form) => form.getAttribute('action'))"
        )
        assert [f"{ADMIN}/actions/logout"] == forms, path
    with page.expect_navigation():
        page.evaluate(
            """(address) => {
              const form = document.querySelector("form[action*='/actions/logout']");
              form.setAttribute("action", address);
              form.insertAdjacentHTML("beforeend", "<input name=alert value=error_rate>");
              form.submit();
            }""",
            f"{ADMIN}/actions/acknowledge",
        )
    assert "Nothing was changed" == page.inner_text("h1")
    assert "viewers change nothing" in page.inner_text("[role=alert]")
    page.click("text=Back to the dashboard")
    page.wait_for_selector("#tile-requests")
    page.goto(f"{shop.base}{ADMIN}/alerts")
    assert "is on it" not in page.inner_text("main")
    page.click("text=Log out")
    page.wait_for_selector("input[name=token]")


def test_wrong_tokens_wait_on_a_page_that_says_how_long(
    shop: Shop, visit: Callable[[], Visit]
) -> None:
    """After ten of them even the right one waits; the form is there to try again."""
    shop.start(**CLOSED)
    page = visit().page
    for number in range(10):
        log_in(page, shop, f"wrong-{number}")
        assert "That is not the token." in page.inner_text("[role=alert]")

    log_in(page, shop, TOKEN)
    said = page.inner_text("[role=alert]")
    assert said.startswith("Too many attempts. Try again in ")
    assert 0 < int(said.split()[-2]) <= 60
    assert page.is_visible("input[name=token]")
    assert "rgb(0, 0, 0)" != page.evaluate(
        "getComputedStyle(document.querySelector('[role=alert]')).color"
    )  # the stylesheet is there, too


def test_settings_say_where_they_come_from(shop: Shop, visit: Callable[[], Visit]) -> None:
    """The table of Telemetry names variable and origin, and shows no secret."""
    shop.start(**CLOSED)
    page = visit().page
    log_in(page, shop, TOKEN, "anna")
    page.goto(f"{shop.base}{ADMIN}/telemetry")
    page.click("#all-settings summary")

    assert ["Variable", "Value", "Origin", "Meaning"] == page.locator(
        "#all-settings thead th"
    ).all_inner_texts()

    def row(name: str) -> str:
        found = page.locator(f"#all-settings tbody tr:has(th:text-is('{name}'))")
        return " ".join(found.inner_text().split())

    assert "7.0" not in row("PROLETTO_ALERT_INTERVAL")
    assert "1.0 environment PROLETTO_ALERT_INTERVAL" in row("PROLETTO_ALERT_INTERVAL")
    assert " default " in row("MONITOR_MAX_SAMPLES")
    assert "environment MONITOR_ADMIN_TOKEN" in row("MONITOR_ADMIN_TOKEN")
    assert TOKEN not in page.content()
    assert VIEWER not in page.content()
