"""The injection corpus: hostile text in everything that people and programs can name, on all pages.

What the pages themselves say has no `<img`: each one that a browser sees there came from outside.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient

from proletto_otel import setup_telemetry
from proletto_otel.error_logging import get_logger
from proletto_otel.monitoring import monitor
from proletto_otel.monitoring_routes import MonitoringPage
from tests.waiting import until
from tests.web.dashboard import ADMIN, HOSTILE, SAME_ORIGIN, csrf_of
from tests.web.test_browser import Visit, chromium, sync_api
from tests.web.test_closed import served

__all__ = ["chromium"]
pytestmark = pytest.mark.usefixtures("telemetry_capture")
CORPUS = (
    HOSTILE,
    "<svg/onload=document.title='pwned'>",
    "javascript:document.title='pwned'",
    "\" autofocus onfocus=\"document.title='pwned'",
    "' onmouseover='document.title=`pwned`' x='",
    "</textarea></title></style><script>document.title='pwned'</script>",
    "{{ cycler.__init__.__globals__ }}{% raw %}",
    "\u202e\u2028]]>&lt;script&gt;&#60;img src=x&#62;",
)
LISTS = ("logs", "errors", "requests")
PARAMETERS = (
    "text", "level", "logger", "identifier", "component", "user", "pattern", "cursor", "at",
    "range", "from", "sort", "state", "callers", "hosts", "limit", "without", "as",
)  # fmt: skip
ROUTE = "/\" onfocus=\"document.title='pwned'\" x='/"
"""Werkzeug takes `<` for its own."""
NAME = "<img src=x>shop"
"""As much of a hostile text as a name may be."""


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """A shop in which everything has a hostile name."""
    made = Flask("shop")
    telemetry = setup_telemetry(
        made, environment="development", service_name=NAME, log_console=False, log_files=True,
        log_dir=str(tmp_path), resource_attributes={"service.version": "<img src=x>1"},
        monitoring_pages=[
            MonitoringPage(path="/own", label=NAME, description=HOSTILE,
                           view=lambda: [dict.fromkeys(CORPUS, HOSTILE)])
        ],
    )  # fmt: skip

    @made.get("/<path:text>")
    def any_page(text: str) -> str:
        telemetry.set_user(HOSTILE)
        for number, hostile in enumerate(CORPUS):
            get_logger(f"{NAME}.{number}").warning(
                hostile, **{hostile: hostile, "component": hostile}
            )
        if "fail" in text:
            error = type(NAME, (ValueError,), {})(HOSTILE)
            error.add_note(HOSTILE)
            raise error
        return text

    made.add_url_rule(f"{ROUTE}<int:n>", "odd", lambda n: f"{1 // n}", methods=["GET"])
    for number, hostile in enumerate(CORPUS):
        said = {"status": "degraded", "message": hostile}
        monitor.register_health_check(f"odd {number}", lambda said=said: said)
    fill(made)
    return made


def fill(app: Flask) -> None:
    """Requests, an error, a silence, a level, a thread: each with a hostile name."""
    client = app.test_client()
    for hostile in CORPUS:
        headers = {"User-Agent": hostile.encode("ascii", "replace").decode(), "X-Request-ID": "x"}
        client.get("/fail", query_string={"q": hostile}, headers=headers)
        client.get(f"/{hostile}")
    client.get(f"{ROUTE}0")
    logging.getLogger(f"{NAME}.std").error(HOSTILE, extra={"user": HOSTILE})
    monitor.silence("*", 600, NAME, HOSTILE)
    for name in (NAME, "shop.odd"):
        logging.getLogger(name)
    assert monitor.log_levels is not None
    monitor.log_levels.set("shop.odd", "DEBUG", HOSTILE)


def pages(client: FlaskClient) -> dict[str, str]:
    """Every page, with hostile parameters as well."""
    found = [g["fingerprint"] for g in client.get(f"{ADMIN}/api/errors").get_json()]
    paths = [
        *("", "/errors", "/errors?state=all", "/requests", "/requests?callers=errors", "/logs"),
        *("/logs?level=ERROR&as=table", "/health", "/alerts", "/system?as=table", "/telemetry"),
        *("/own", "/nothing/<img src=x>", "/request/<img src=x>", "/errors/<img src=x>"),
        f"/requests/endpoint?method=GET&route={quote(ROUTE)}<int:n>",
        "/requests/endpoint?method=<img src=x>&route=<img src=x>",
        *(f"/errors/{fingerprint}" for fingerprint in found),
        *(f"/{page}?{name}=%3Cimg%20src=x%3E%22%3E" for page in LISTS for name in PARAMETERS),
    ]  # fmt: skip
    return {
        path: client.get(f"{ADMIN}{path}", headers={"Accept": "text/html"}).text for path in paths
    }


def test_no_page_has_markup_that_it_did_not_write(app: Flask) -> None:
    """Log messages, loggers, keys, exceptions, notes, paths, agents, users, checks, silences."""
    client = app.test_client()
    ask_for_threads(client)
    shown = pages(client)

    assert [] == [path for path, html in shown.items() if "<img" in html or "<svg/" in html]
    assert [] == [path for path, html in shown.items() if html.count("<script") > 1]
    assert [] == [path for path, html in shown.items() if ' onfocus="' in html]
    seen = {path for path, html in shown.items() if "&lt;img src=x" in html}
    everywhere = {"", "/errors", "/requests", "/logs", "/health", "/alerts", "/telemetry", "/own"}
    assert everywhere <= seen  # it is there, literally
    assert "pwned" in shown["/logs"]


def ask_for_threads(client: FlaskClient) -> None:
    """Have the names of this process's threads on the page, one of them hostile."""
    ended = threading.Event()
    odd = threading.Thread(target=ended.wait, name=HOSTILE, daemon=True)
    odd.start()
    try:
        workers = until(lambda: client.get(f"{ADMIN}/api/pages/telemetry").get_json()["workers"])
        form = {"csrf": csrf_of(client.get(f"{ADMIN}/telemetry")), "pid": workers[0]["pid"]}
        client.post(f"{ADMIN}/actions/thread-dump", data=form, headers=SAME_ORIGIN)
        until(lambda: HOSTILE in client.get(f"{ADMIN}/api/thread-dumps").text.replace("\\", "")
              or "onerror" in client.get(f"{ADMIN}/api/thread-dumps").text)  # fmt: skip
    finally:
        ended.set()


@pytest.mark.skipif(sync_api is None, reason="apt-get install chromium")
def test_nothing_runs_in_a_browser(app: Flask, chromium: Any) -> None:
    """Every page is opened, its folds too, then its cards are swapped and its log is followed."""
    client = app.test_client()
    paths = list(pages(client))
    with served(app) as port:
        visit = Visit(chromium, port)
        for path in paths:
            visit.open(path)
            visit.page.evaluate(
                "for (const d of document.querySelectorAll('details')) d.open = true"
            )
            assert 0 == visit.page.locator("main img, main script, main iframe").count(), path
            assert "pwned" not in visit.page.title(), path
        visit.open("/logs")
        before = visit.page.locator("#lines li").count()
        visit.page.click("#follow")
        client.get("/fail")
        visit.page.wait_for_selector(f"#lines li:nth-child({before + 1})")
        visit.open("/alerts")
        monitor.silence("*", 600, f"{NAME}2", HOSTILE)
        visit.page.wait_for_selector("text=shop2")
        assert 0 == visit.page.locator("main img, main script").count()
        assert "pwned" not in visit.page.title()
        assert [] == [t for t in visit.troubles if "404" not in t]
        visit.context.close()
