"""axe-core finds nothing serious on any page, in either scheme, with data in every card."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.stack.npm import packages
from tests.stack.servers import wait_for
from tests.waiting import PATIENCE_S
from tests.web.dashboard import ADMIN
from tests.web.test_browser import Visit, chromium, sync_api
from tests.web.test_tours import Shop, shop, visit

__all__ = ["chromium", "shop", "visit"]
pytestmark = pytest.mark.skipif(sync_api is None, reason="apt-get install chromium")
AXE = Path(__file__).parent / "axe"
PAY = f"/requests/endpoint?method=GET&route={quote('/pay/<int:months>')}"
PAGES = (
    "", "/errors", "/requests", "/requests?range=deploy&callers=errors", PAY, f"{PAY}&as=table",
    "/logs", "/logs?level=ERROR&as=table", "/health", "/alerts", "/system", "/system?as=table",
    "/system?from=2026-01-01T00:00Z&to=2026-01-01T01:00Z", "/telemetry", "/request/nobody",
    "/request/axe-1",
)  # fmt: skip
WORST = """async () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const found = await axe.run();
  return found.violations
    .filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(" | ")}`);
}"""


@cache
def axe() -> str:
    """The checker's script."""
    return (packages(AXE) / "node_modules/axe-core/axe.min.js").read_text()


def violations(page: Any) -> list[str]:
    """What is serious or critical on the page, with everything that folds opened."""
    page.evaluate(axe())
    found: list[str] = page.evaluate(WORST)
    return found


def fill(shop: Shop) -> str:
    """Traffic, errors, users; waits until they are shown. The error's fingerprint."""
    for number in range(12):
        shop.ask(f"/orders/{number}")
        shop.ask("/pay/0", f"axe-{number}")

    def api(path: str) -> Any:
        with urllib.request.urlopen(f"{shop.base}{ADMIN}/api/{path}", timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    groups = wait_for("the error", lambda: api("pages/errors")["groups"])
    wait_for("the charts", lambda: api("pages/requests")["endpoints"])
    return str(groups[0]["fingerprint"])


SUBMIT = """([action, values]) => {
  const form = document.querySelector(`form[action$='/${action}']`);
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  form.requestSubmit();
}"""
"""Fills a form in and sends it, as its button does."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_on_any_page(shop: Shop, visit: Callable[[], Visit], scheme: str) -> None:
    """Names, roles, contrast, tables, forms: WCAG 2 A and AA as axe checks them."""
    axe()
    shop.start()
    fingerprint = fill(shop)
    page = visit().page
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{shop.base}{ADMIN}/telemetry")
    # In one step each: a live update between two would put another form in this one's place.
    page.evaluate(SUBMIT, ["log-level", {"logger": "proletto"}])
    page.wait_for_selector("form[action$='/log-level-reset']")
    page.evaluate(SUBMIT, ["thread-dump", {}])
    page.wait_for_selector("details[id^=dump]")
    bad = {}
    for path in (*PAGES, f"/errors/{fingerprint}"):
        page.goto(f"{shop.base}{ADMIN}{path}")
        found = violations(page)
        if found:
            bad[path] = found
    assert {} == bad
