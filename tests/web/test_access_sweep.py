"""Every rule that is registered, for everybody, in every spelling: only what is allowed happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from proletto_otel.monitoring import monitor
from proletto_otel.monitoring_routes import MonitoringPage
from proletto_otel.web import attempts
from proletto_otel.web.actions import ACTIONS
from proletto_otel.web.catalog import pages
from proletto_otel.web.site import Page
from tests.web.dashboard import ADMIN, BROWSER, SAME_ORIGIN, TOKEN, csrf_of, shop, traffic

pytestmark = pytest.mark.usefixtures("telemetry_capture")
VIEW = "1ook"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
VIEWER = {"Authorization": f"Bearer {VIEW}"}
STRANGERS = {
    "anonymous": {},
    "wrong token": {"Authorization": "Bearer 0pen-sesam"},
    "wrong session": {"Cookie": "proletto_monitoring_session=operator.1.2"},
    "in a browser": BROWSER,
}
FORM = {
    "alert": "*", "seconds": "600", "channel": "alert_log", "logger": "root", "level": "DEBUG",
    "pid": "1", "fingerprint": "1", "status": "resolved",
}  # fmt: skip
FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Referer": "https://evil.example/admin/monitoring"},
    {},
)


@pytest.fixture(autouse=True)
def _sweeps_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many paths are asked with a wrong token here; that they wait is in test_login."""
    monkeypatch.setattr(attempts, "LIMIT", 1_000_000)


@pytest.fixture
def app() -> Flask:
    """A shop that some people used, with a page of its own, Prometheus and Loki."""
    made = shop(
        environment="production", admin_token=TOKEN, viewer_token=VIEW,
        prometheus_url="http://127.0.0.1:9", loki_url="http://127.0.0.1:9",
        monitoring_pages=[
            MonitoringPage(path="/queues", label="Queues", description="", view=lambda: [{"n": 1}])
        ],
    )  # fmt: skip
    traffic(made)
    return made


def rules(app: Flask) -> list[Page]:
    """Every rule, the application's own pages included."""
    found: list[Page] = pages(app.extensions["proletto_monitoring"])
    names = {page.name for page in found}
    assert {"logs_tail", "logs_download", "live", "page_own_queues", "api_thread_dumps"} <= names
    return found


def addresses(page: Page) -> Iterator[str]:
    """Its address with what is really there, and the same of all hosts."""
    name = "log-level" if page.name == "action" else "1"
    path = f"{ADMIN}{re.sub('<[^>]*>', name, page.path)}"
    yield path
    yield f"{path}?hosts=all&range=24h"


def spellings(path: str) -> Iterator[str]:
    """Other ways to write an address."""
    path = path.split("?")[0]
    yield f"{path}/"
    yield f"{path}//"
    yield f"{ADMIN}/%{ord(path[len(ADMIN) + 1 :][:1] or 'x'):02x}{path[len(ADMIN) + 2 :]}"
    yield f"{ADMIN}/..{path}"
    yield f"{ADMIN}/%2e%2e{path}"
    yield f"{ADMIN}/x%2f..%2f{path[len(ADMIN) + 1 :]}"
    yield f"{path}%00"
    yield f"{path};x=1"
    yield path.upper()


def changed(app: Flask) -> list[Any]:
    """Everything that an action changes."""
    site, levels, dumps = (
        app.extensions["proletto_monitoring"],
        monitor.log_levels,
        monitor.thread_dumps,
    )
    assert levels is not None
    assert dumps is not None
    states = [g.state for g in monitor.errors.groups(state=None) if g.state != "open"]
    logs = [e.action for e in site.audit.latest(100) if not e.action.startswith("login")]
    return [*monitor.get_silences(), *levels.current(), *dumps.latest(), *states, *logs]


@pytest.mark.parametrize("who", STRANGERS)
def test_strangers_get_one_answer_everywhere(app: Flask, who: str) -> None:
    """Whatever the rule, its spelling, the method: nothing tells a page from no page."""
    client, found = app.test_client(), set[tuple[int, bytes]]()
    for page in rules(app):
        for address in addresses(page):
            for path in (address, *spellings(address)):
                if page.open_to is None and path.lower().startswith(f"{ADMIN}/"):
                    answer = client.get(path, headers=STRANGERS[who])
                    if path.startswith(f"{ADMIN}/"):
                        found.add((answer.status_code, answer.data))
                    else:
                        assert answer.status_code == 404
    assert 1 == len(found), sorted(found)[:3]
    assert {401} == {status for status, _ in found}
    assert [] == changed(app)


@pytest.mark.parametrize("who", [VIEWER, OPERATOR], ids=["viewer", "operator"])
def test_let_in_only_reading_reads(app: Flask, who: dict[str, str]) -> None:
    """GET and HEAD of a page, nothing by another method, no form by GET, no spelling of a page."""
    client = app.test_client()
    for page in rules(app):
        for address in addresses(page):
            asked = {m: client.open(address, method=m, headers=who) for m in
                     ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE")}  # fmt: skip
            if page.method == "GET":
                assert asked["GET"].status_code in (200, 303, 404, 502), address
                asked["POST"] = client.post(address, headers=who, data=FORM)
                assert_same(asked.pop("GET"), asked.pop("HEAD"))
            assert {405} == {answer.status_code for answer in asked.values()}, address
        for path in spellings(address):
            answer = client.get(path, headers=who)
            same = (
                path.startswith(f"{ADMIN}/%") and "%2e" not in path
            )  # a letter, written otherwise
            named = "<" in page.path or page.path in ("", "/")  # any text is a name there
            fits = (200, 303, 404, 405, 502) if same or named else (404,)
            assert answer.status_code in fits, path
    assert [] == changed(app)


def assert_same(got: TestResponse, head: TestResponse) -> None:
    """HEAD answers as GET, without a body."""
    assert (got.status_code, b"") == (head.status_code, head.data)
    assert got.content_type == head.content_type


@pytest.mark.parametrize("action", ACTIONS)
def test_no_action_by_another_site_a_viewer_or_by_get(app: Flask, action: str) -> None:
    """Each of them, with a session that could: the form has to be ours."""
    client, address = app.test_client(), f"{ADMIN}/actions/{action}"
    client.post(ADMIN, data={"token": TOKEN, "name": "anna"}, headers=SAME_ORIGIN)
    form = {**FORM, "csrf": csrf_of(client.get(f"{ADMIN}/alerts", headers=BROWSER))}
    refused = [
        *(client.post(address, data=form, headers={**BROWSER, **h}) for h in FOREIGN),
        client.get(address, query_string=form, headers=SAME_ORIGIN),
        client.get(f"{address}/", query_string=form, headers=SAME_ORIGIN),
        client.post(f"{address}/", data=form, headers=SAME_ORIGIN),
    ]
    if action != "logout":  # ending one's own session is no change for others
        refused.append(client.post(address, data={**form, "csrf": "0" * 40}, headers=SAME_ORIGIN))
        refused.append(app.test_client().post(address, data=FORM, headers=VIEWER))
    still_in = client.get(f"{ADMIN}/alerts", headers=BROWSER)

    assert {403, 404, 405} >= {answer.status_code for answer in refused}
    assert 200 == still_in.status_code
    assert [] == changed(app)


@pytest.mark.parametrize("action", sorted(ACTIONS.keys() - {"logout", "unsilence"}))
def test_an_operator_changes_it(app: Flask, action: str) -> None:
    """What the sweeps look at is really changed by who may: they can fail."""
    client = app.test_client()
    fingerprint = client.get(f"{ADMIN}/api/errors", headers=OPERATOR).get_json()[0]["fingerprint"]
    workers = client.get(f"{ADMIN}/api/pages/telemetry", headers=OPERATOR).get_json()["workers"]
    form = {**FORM, "fingerprint": fingerprint, "pid": workers[0]["pid"] if workers else "1"}
    answer = client.post(f"{ADMIN}/actions/{action}", data=form, headers=OPERATOR)

    if answer.status_code == 400:  # nothing fires, no worker has published: its reason is told
        assert answer.get_json()["error"]
    else:
        assert 200 == answer.status_code, answer.text
        assert changed(app)
    assert quote(fingerprint) == fingerprint
