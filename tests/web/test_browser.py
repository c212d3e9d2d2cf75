"""The admin pages in a real Chromium: no errors, no other host, no scrolling to the side, live."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from proletto_otel.monitoring import monitor
from tests.waiting import PATIENCE_S
from tests.web.dashboard import ADMIN, HOSTILE, TOKEN, shop, traffic
from tests.web.test_closed import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
sync_api = None
if CHROMIUM is not None or os.environ.get("PROLETTO_REQUIRE_ALL"):
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
pytestmark = [
    pytest.mark.usefixtures("telemetry_capture"),
    pytest.mark.skipif(sync_api is None, reason="apt-get install chromium"),
]
PAGES = (
    "",
    "/errors",
    "/requests",
    "/logs",
    "/health",
    "/alerts",
    "/system?range=7d",
    "/telemetry",
)
WIDTHS = (390, 1440, 2560)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for all tests."""
    assert sync_api is not None
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One window, and everything that went wrong in it."""

    def __init__(self, chromium: Any, port: int, **context: Any) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.context = chromium.new_context(**context)
        self.page = self.context.new_page()
        self.context.set_default_timeout(PATIENCE_S * 1000)
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: self.troubles.append("a dialog"))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: str) -> None:
        """Load a page of ours."""
        self.page.goto(f"{self.base}{ADMIN}{path}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_at_every_width(chromium: Any, scheme: str) -> None:
    """No error, no violation of the Content-Security-Policy, no other host, no side scrolling."""
    app = shop()
    traffic(app)
    with served(app) as port:
        for width in WIDTHS:
            visit = Visit(
                chromium, port, viewport={"width": width, "height": 900}, color_scheme=scheme
            )
            for path in PAGES:
                visit.open(path)
                wide = visit.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (path, width)
                assert "pwned" not in visit.page.title()
            assert [] == visit.troubles
            assert all(url.startswith(visit.base) for url in visit.requests)
            visit.context.close()


def test_tour_from_overview_to_resolved(chromium: Any) -> None:
    """Log in, open the error, see the code, go to its request, come back, resolve it."""
    app = shop(environment="production", admin_token=TOKEN)
    request_id = traffic(app)
    with served(app) as port:
        visit = Visit(chromium, port)
        page = visit.page
        visit.open("")
        page.fill("input[name=token]", TOKEN)
        page.fill("input[name=name]", "anna")
        page.click("button")
        page.click("#errors a:has-text('ZeroDivisionError')")
        assert "4900 // months" in page.inner_text("#stack pre .here")
        page.click(f"#facts a:has-text('{request_id}')")
        assert "ZeroDivisionError" in page.inner_text("#errors")
        page.go_back()
        page.click("button:has-text('Resolve')")
        assert "by anna" in page.inner_text("#state")
        assert "Reopen" in page.inner_text("#state")
        visit.open("/errors?state=resolved")
        assert "ZeroDivisionError" in page.inner_text("#groups")
        # the form was answered 401 at first: Chromium reports that as an error on its console
        assert [] == [t for t in visit.troubles if "401" not in t]
        visit.context.close()


def test_values_come_without_loading_the_page(chromium: Any) -> None:
    """A silence set by somebody else appears; what is open stays open."""
    app = shop()
    traffic(app)
    with served(app) as port:
        visit = Visit(chromium, port)
        visit.open("/alerts")
        visit.page.click("#channels summary")
        monitor.silence("*", 600, "ben", "maintenance")
        visit.page.wait_for_selector("text=by ben: maintenance")
        assert visit.page.evaluate("document.querySelector('#silence-all').open")
        visit.context.close()


def test_tabs_of_one_page_share_their_answers(chromium: Any) -> None:
    """One asks, the others show what it was told; a tab with another range does not."""
    app = shop()
    traffic(app)
    with served(app) as port:
        visit = Visit(chromium, port)
        visit.open("/alerts")
        others = [visit.context.new_page() for _ in range(3)]
        for number, tab in enumerate(others):
            tab.goto(f"{visit.base}{ADMIN}/alerts{'' if number else '?range=6h'}")
            tab.evaluate(
                "() => { window.fetch = () => new Promise(() => {}); }"
            )  # no answer of its own
        monitor.silence("*", 600, "ben", "maintenance")
        for tab in (visit.page, *others[1:]):
            tab.wait_for_selector("text=by ben: maintenance", state="attached")
        assert "by ben" not in others[0].inner_text("main")
        assert [] == visit.troubles
        visit.context.close()


def test_pages_read_without_script(chromium: Any) -> None:
    """Numbers, charts and forms are in the HTML."""
    app = shop()
    traffic(app)
    with served(app) as port:
        visit = Visit(chromium, port, java_script_enabled=False)
        visit.open("")
        assert re.search(r"CPU usage\s+\d", visit.page.inner_text("#system"))
        assert visit.page.is_visible(".range button")
        visit.open("/alerts")
        visit.page.click("text=Silence everything (maintenance)")
        visit.page.click("button:has-text('Silence everything')")
        assert "Everything is silent until" in visit.page.inner_text("#channels")
        visit.context.close()


def test_hostile_text_runs_nothing_in_live_updates(chromium: Any) -> None:
    """I9: cards are swapped as HTML that the server escaped."""
    app = shop()
    with served(app) as port:
        visit = Visit(chromium, port)
        visit.open("")
        traffic(app)
        visit.page.wait_for_selector("#errors a:has-text('ValueError')")
        assert HOSTILE[:20] in visit.page.inner_text("#errors")
        assert [] == visit.troubles
        assert "pwned" not in visit.page.title()
        visit.context.close()


def test_keys_and_read_outs(chromium: Any) -> None:
    """`/` finds the search box, `g e` goes to Errors, `j` selects; charts answer the arrow keys."""
    app = shop()
    traffic(app)
    with served(app) as port:
        visit = Visit(chromium, port)
        page = visit.page
        visit.open("/system")
        page.keyboard.press("/")
        assert "q" == page.evaluate("document.activeElement.name")
        page.keyboard.press("Escape")
        page.focus("#metric-cpu_percent .chart")
        page.keyboard.press("ArrowLeft")
        read = page.inner_text("#metric-cpu_percent .readout")
        assert not read or "mean" in read  # nothing is measured yet, or it is read out
        page.keyboard.press("Escape")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("g")
        page.keyboard.press("e")
        page.wait_for_url("**/errors")
        page.keyboard.press("j")
        assert 1 == page.locator("tr.sel").count()
        page.keyboard.press("Enter")
        page.wait_for_selector("#stack")
        assert [] == visit.troubles
        visit.context.close()


def test_log_is_searched_and_followed(chromium: Any, tmp_path: Any) -> None:
    """Text, level, a link to one line with its neighbours; new lines come by themselves."""
    app = shop(log_dir=str(tmp_path), log_files=True)
    traffic(app)
    with served(app) as port:
        visit = Visit(chromium, port)
        page = visit.page
        visit.open("/logs?level=WARNING&text=img")
        page.wait_for_selector("#lines li")
        assert HOSTILE[:20] in page.inner_text("#lines li:first-child")
        page.click("#lines li:first-child a.when")
        assert 1 == page.locator("#lines li.hit").count()
        assert "GET /orders/1" in page.inner_text("#lines")
        visit.open("/logs?text=order")
        before = page.locator("#lines li").count()
        page.click("#follow")
        app.test_client().get("/orders/2")
        page.wait_for_selector(f"#lines li:nth-child({before + 1})")
        assert [] == visit.troubles
        visit.context.close()
