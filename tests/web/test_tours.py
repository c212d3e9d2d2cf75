"""The ways people take through the dashboard, in a real Chromium over gunicorn with two workers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import PostgreSQL, free_port, needs_postgresql
from tests.stack.servers import ROOT, Server
from tests.waiting import PATIENCE_S
from tests.web.dashboard import ADMIN
from tests.web.test_browser import Visit, chromium, sync_api

__all__ = ["chromium"]
pytestmark = pytest.mark.skipif(sync_api is None, reason="apt-get install chromium")
ENVIRONMENT = {
    "FLASK_ENV": "development",
    "MONITOR_ADMIN_TOKEN": "",
    "MONITOR_HEALTH_CHECK_INTERVAL": "1",
    "MONITOR_UNHEALTHY_THRESHOLD": "2",
    "PROLETTO_ALERT_INTERVAL": "1",
    "PROLETTO_LOG_CONSOLE": "0",
    "OTEL_SDK_DISABLED": "1",
    "PROLETTO_STRICT": "0",
    "PYTHONPATH": str(ROOT),
}


class Shop:
    """`tour_app` under gunicorn; what it stores stays over restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.server: Server | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, version: str = "1.0", **more: str) -> None:
        """Start it as this version and wait until it answers."""
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}"]
        command += ["--workers", "2", "tests.web.tour_app:app"]
        env = {
            **ENVIRONMENT, **more,
            "LOG_DIR": str(self.folder / "logs"),
            "OTEL_RESOURCE_ATTRIBUTES": f"service.version={version}",
        }  # fmt: skip
        self.server = Server(command, self.folder / "console.log", env)
        self.server.wait_ready(f"{self.base}/orders/1")

    def stop(self) -> None:
        """End it by its pid."""
        if self.server is not None:
            self.server.stop()

    def ask(self, path: str, request_id: str = "") -> None:
        """One request, whatever becomes of it."""
        headers = {"X-Request-ID": request_id} if request_id else {}
        request = urllib.request.Request(self.base + path, headers=headers)
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=PATIENCE_S).read()

    def lines_of(self, request_id: str) -> int:
        """How many lines of its log have this ID."""
        (log,) = self.folder.glob("logs/*_structured.json")
        lines = map(json.loads, log.read_text().splitlines())
        return sum(line.get("request_id") == request_id for line in lines)


def quiet_port() -> int:
    """A port that stays free while its server is away: no outgoing connection is given it."""
    # another run on this machine begins elsewhere, and takes no port whose server is away
    for port in range(21_000 + os.getpid() % 9_000, 31_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def visit(chromium: Any, shop: Shop) -> Iterator[Callable[[], Visit]]:
    """Opens windows; nothing may go wrong in them."""
    opened: list[Visit] = []

    def make() -> Visit:
        opened.append(Visit(chromium, shop.port, viewport={"width": 1440, "height": 900}))
        return opened[-1]

    yield make
    for one in opened:
        one.context.close()
    assert [] == [t for one in opened for t in one.troubles if "Failed to load resource" not in t]


def test_failing_traffic_is_followed_to_its_end(shop: Shop, visit: Callable[[], Visit]) -> None:
    """The open overview turns red; error, stack trace, request ID, its log lines, resolved."""
    shop.start()
    page = visit().page
    page.goto(f"{shop.base}{ADMIN}")
    assert page.is_visible("text=No alert is firing")
    for number in range(12):
        shop.ask("/pay/0", f"tour-{number}")

    page.wait_for_selector("#tile-errors .big.bad")
    page.wait_for_selector("#firing li.critical")
    page.click("#errors a:has-text('ZeroDivisionError')")
    assert "4900 // months" in page.inner_text("#stack pre .here")
    request_id = page.inner_text("#facts a:has-text('tour-')")
    page.click("#facts a:has-text('tour-')")
    assert "instalments are asked for" in page.inner_text("#lines")
    assert "ZeroDivisionError" in page.inner_text("#lines")
    assert shop.lines_of(request_id) == page.locator("#lines li").count()
    page.go_back()
    page.click("button:has-text('Resolve')")
    assert "Reopen" in page.inner_text("#state")
    page.goto(f"{shop.base}{ADMIN}")
    assert "ZeroDivisionError" not in page.inner_text("#errors")


def test_alert_is_acknowledged_and_silenced(shop: Shop, visit: Callable[[], Visit]) -> None:
    """It fires, is seen on the open page, somebody is on it, then it is silent for an hour."""
    shop.start()
    page = visit().page
    page.goto(f"{shop.base}{ADMIN}/alerts")
    row = "tr[id*=error_rate]:has-text('Error rate'):has(.state.critical)"
    for _ in range(12):
        shop.ask("/pay/0")

    page.wait_for_selector(row)
    page.click(f"{row} button:has-text('Acknowledge')")
    page.wait_for_selector(f"{row}:has-text('is on it until')")
    page.goto(f"{shop.base}{ADMIN}")
    page.wait_for_selector("#firing li:has-text('is on it')")
    page.goto(f"{shop.base}{ADMIN}/alerts")
    page.click(f"{row} button:has-text('End')")
    page.click(f"{row} summary")
    page.fill(f"{row} input[name=reason]", "the bank is down")
    page.click(f"{row} details button")
    page.wait_for_selector(f"{row}:has-text('silent until')")
    assert "the bank is down" in page.inner_text("#audit")


@needs_postgresql
def test_database_goes_and_comes_back(
    shop: Shop, visit: Callable[[], Visit], tmp_path: Path
) -> None:
    """Health shows that PostgreSQL is away and, when it is back, how long it was."""
    with PostgreSQL(tmp_path / "pg", quiet_port()) as database:
        shop.start(TOUR_DATABASE=database.url)
        page = visit().page
        page.goto(f"{shop.base}{ADMIN}/health")
        page.wait_for_selector("#check-database .state.healthy")
        database.stop()
        page.wait_for_selector("#check-database .state.unhealthy")
        database.start()
        page.wait_for_selector("#check-database .state.healthy")
        back = page.locator("#changes tr:has(.state.unhealthy):has(.state.healthy)").first
        assert "unhealthy → healthy" in " ".join(back.inner_text().split())
        assert back.locator("[data-label='Before lasted']").inner_text().endswith(("s", "min"))


def test_deploy_and_lost_store_are_told(shop: Shop, visit: Callable[[], Visit]) -> None:
    """Another version keeps the history and is marked; of a corrupt store is said what is lost."""
    shop.start("1.0")
    for number in range(6):
        shop.ask("/pay/0", f"before-{number}")
    page = visit().page
    page.goto(f"{shop.base}{ADMIN}/errors")
    page.wait_for_selector("#groups a:has-text('ZeroDivisionError')")
    shop.stop()
    shop.start("2.0")
    page.goto(f"{shop.base}{ADMIN}")
    page.wait_for_selector("#deploy:has-text('2.0')")
    assert "ZeroDivisionError" in page.inner_text("#errors")
    page.goto(f"{shop.base}{ADMIN}/requests?range=deploy")
    assert "Endpoints since version 2.0" in page.inner_text("#endpoints")
    shop.stop()
    (store,) = shop.folder.glob("logs/.state/*/store.sqlite")
    for beside in store.parent.glob("store.sqlite-*"):
        beside.unlink()
    store.write_bytes(b"no database " * 10_000)
    shop.start("2.0")
    page.goto(f"{shop.base}{ADMIN}/errors")
    assert "The store was corrupt and was set aside" in page.inner_text("main .banner")
    assert "ZeroDivisionError" not in page.inner_text("main .grid")
    page.goto(f"{shop.base}{ADMIN}/logs?identifier=before-0")
    assert "ZeroDivisionError" in page.inner_text("#lines")
