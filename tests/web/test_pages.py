"""The admin pages: what they show, their JSON, their files; and while everything else is down."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from proletto_otel.core.metrics.registry import Family
from proletto_otel.error_logging import logger
from proletto_otel.monitoring import monitor
from proletto_otel.monitoring.overview import OLD_S, OverviewMark
from proletto_otel.state.snapshots import Snapshots
from proletto_otel.web import assets, live, routes
from proletto_otel.web.access import Access
from proletto_otel.web.catalog import ADMIN_PAGES, pages
from proletto_otel.web.openapi import document
from proletto_otel.web.own_pages import MonitoringPage
from proletto_otel.web.pages import navigation, overview
from proletto_otel.web.pages.request import target
from proletto_otel.web.site import Site
from tests.monitoring.bound import Bound
from tests.web.dashboard import ADMIN, HOSTILE, shop, traffic

pytestmark = pytest.mark.usefixtures("telemetry_capture")
FIXED = [page for page in ADMIN_PAGES if "<" not in page.path and page.name != "endpoint"]
EVERY = [p.path for p in FIXED] + ["/requests/endpoint?method=GET&route=/pay/<int:months>"]


@pytest.fixture
def app() -> Flask:
    """A shop that some people used."""
    made = shop()
    traffic(made)
    return made


@pytest.mark.parametrize("path", EVERY)
def test_pages_show_hostile_text_literally(app: Flask, path: str) -> None:
    """I9: no markup of ours is made of a log message, an exception, a check or a user agent."""
    answer = app.test_client().get(f"{ADMIN}{path}")

    assert 200 == answer.status_code
    assert "<img src=x" not in answer.text
    assert 1 == answer.text.count("<script")
    assert not re.search(r"<style|\sstyle=", answer.text)


def test_group_shows_code_and_request(app: Flask) -> None:
    """The failing line, library frames folded, the breadcrumb, the way to the request."""
    client = app.test_client()
    groups = client.get(f"{ADMIN}/api/errors").get_json()
    group = next(g for g in groups if g["type"] == "ZeroDivisionError")
    page = client.get(f"{ADMIN}/errors/{group['fingerprint']}").text

    assert re.search(r'class="here"><i>\d+</i>\s+return str\(4900 // months\)', page)
    assert "library frames</summary>" in page
    assert "&lt;img src=x" in page
    assert f"{ADMIN}/request/{group['request_id']}" in page


def test_request_page_has_everything_of_one_request(app: Flask) -> None:
    """By its ID: the error, the endpoint."""
    request_id = traffic(app)
    page = app.test_client().get(f"{ADMIN}/request/{request_id}")

    assert 200 == page.status_code
    assert "ZeroDivisionError" in page.text
    assert "/pay/&lt;int:months&gt;" in page.text
    assert "<dt>Method</dt><dd>GET</dd>" in page.text
    assert not re.search(r"<dt>(duration_ms|process_id|http\.)", page.text)


@pytest.mark.parametrize(
    ("text", "path", "query"),
    [
        ("10f7ef67ec713d25", "/errors/10f7ef67ec713d25", {}),
        (" ba41cd8dda8010af73a5402247b3fd1c ", "/request/ba41cd8dda8010af73a5402247b3fd1c", {}),
        ("/orders", "/requests", {"text": "/orders"}),
        ("level:ERROR", "/logs", {"level": "ERROR"}),
        ("duration:>250", "/logs", {"duration_min": "250"}),
        ("duration:<= 0.5 ms", "/logs", {"duration_max": "0.5"}),
        ("duration:long", "/logs", {"text": "duration:long"}),
        ("payment failed", "/logs", {"text": "payment failed"}),
        ("//evil.example", "/requests", {"text": "//evil.example"}),
    ],
)
def test_search_box_knows_what_it_got(text: str, path: str, query: dict[str, str]) -> None:
    """IDs, fingerprints, paths, fields, text."""
    assert (path, query) == target(text)


@pytest.mark.parametrize("text", ["//evil.example", "\\\\evil.example", "https://evil.example/1"])
def test_search_redirects_to_no_other_site(app: Flask, text: str) -> None:
    """W2: no open redirect."""
    answer = app.test_client().get(f"{ADMIN}/search", query_string={"q": text})

    assert answer.headers["Location"].startswith(f"{ADMIN}/")


@pytest.mark.parametrize("path", ["/errors/nothing", "/requests/endpoint?route=/no", "/nothing"])
def test_what_is_not_there_is_404(app: Flask, path: str) -> None:
    """With a sentence, and as JSON."""
    assert 404 == app.test_client().get(f"{ADMIN}{path}").status_code


@pytest.mark.parametrize("page", FIXED, ids=lambda page: page.name)
def test_every_page_has_its_json(app: Flask, page: object) -> None:
    """Under `api/pages/`, without what is drawn."""
    name = page.name  # type: ignore[attr-defined]  # parametrized
    answer = app.test_client().get(f"{ADMIN}/api/pages/{name}")

    assert (200, "application/json") == (answer.status_code, answer.content_type)
    assert "<svg" not in answer.text


def test_openapi_document_names_every_route(app: Flask) -> None:
    """Everything that is JSON and every action, with the parameters of its path."""
    found = app.test_client().get(f"{ADMIN}/api/openapi.json").get_json()
    site = app.extensions["proletto_monitoring"]
    expected = {
        re.sub(r"<(?:path:)?(\w+)>", r"{\1}", page.path)
        for page in pages(site)
        if page.path.startswith(("/api/", "/actions/"))
    }

    assert ("3.1.0", expected) == (found["openapi"], set(found["paths"]))
    assert found == document(pages(site), ADMIN)
    for path, operations in found["paths"].items():
        parameters = [p for o in operations.values() for p in o["parameters"]]
        captured = {p["name"] for p in parameters if p["in"] == "path"}
        assert set(re.findall(r"{(\w+)}", path)) == captured


def test_polls_of_a_page_that_is_the_same_are_304(app: Flask) -> None:
    """A card that changed comes again."""
    client = app.test_client()
    query = f"{ADMIN}/api/live?page=alerts"
    first = client.get(query)
    again = client.get(query, headers={"If-None-Match": first.headers["ETag"]})
    monitor.silence("*", 600, "anna")
    changed = client.get(query, headers={"If-None-Match": first.headers["ETag"]})

    assert [200, 200] == [first.status_code, changed.status_code]
    assert (304, b"") == (again.status_code, again.data) or again.status_code == 200
    assert "alerts" in changed.get_json()["cards"]


def test_polls_of_the_overview_share_an_answer(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten tabs cost one page; other people and other questions get their own."""
    made: list[str] = []
    read = overview.PAGE.read
    tag = ["1-1"]
    monkeypatch.setattr(monitor, "overview_mark", lambda: OverviewMark(etag=tag[0]))
    counted = replace(overview.PAGE, read=lambda asked: made.append("") or read(asked))
    monkeypatch.setitem(navigation.BY_NAME, "overview", counted)
    client = app.test_client()
    query = f"{ADMIN}/api/live?page=overview"

    first = client.get(query)
    again = client.get(query, headers={"If-None-Match": first.headers["ETag"]})
    assert (1, first.data) == (len(made), client.get(query).data)
    assert (304, b"") == (again.status_code, again.data)
    client.get(f"{query}&range=6h")
    assert 2 == len(made)
    tag[0] = "2-2"
    assert "tile-errors" in client.get(query).get_json()["cards"]
    assert 3 == len(made)
    for number in range(40):
        client.get(f"{query}&x={number}")
    assert len(app.extensions[routes.ADMIN].live) <= live.MAX_SHARED


def test_polls_of_the_overview_make_its_cards_when_there_is_something_to_see(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the page has seen is compared; new values come after some seconds, a verdict at once."""
    made: list[str] = []
    read = overview.PAGE.read
    counted = replace(overview.PAGE, read=lambda asked: made.append("") or read(asked))
    monkeypatch.setitem(navigation.BY_NAME, "overview", counted)
    client = app.test_client()
    mark = [OverviewMark(etag="1-1", prepared_at=time.time(), verdict="well")]
    monkeypatch.setattr(monitor, "overview_mark", lambda: mark[0])

    def poll(tag: str) -> int:
        made.clear()
        answer = client.get(f"{ADMIN}/api/live?page=overview", headers={"If-None-Match": tag})
        assert answer.status_code in (200, 304)
        return answer.status_code

    seen = f'"well.{int(mark[0].prepared_at * 1000)}."'
    assert (304, []) == (poll(seen), made)
    mark[0] = replace(mark[0], prepared_at=mark[0].prepared_at + live.REFRESHED_S - 0.1)
    assert (304, []) == (poll(seen), made)
    now = mark[0]
    mark[0] = replace(now, etag="9-9", prepared_at=now.prepared_at + 0.2)
    assert 200 == poll(seen)
    assert [""] == made
    mark[0] = replace(now, etag="9-8", verdict="another")
    assert 200 == poll(seen)
    # nobody prepares it any more: the poll itself lets it be made anew
    mark[0] = replace(now, etag="9-7", prepared_at=now.prepared_at - OLD_S - 5)
    assert 200 == poll(seen)
    # the clock was put back since the page was read, or since it was prepared
    mark[0] = replace(now, etag="9-6")
    assert 200 == poll(f'"well.{int((now.prepared_at + 3600) * 1000)}."')
    mark[0] = replace(now, etag="9-5", prepared_at=now.prepared_at + 3600)
    assert 200 == poll(f'"well.{int((now.prepared_at + 3600) * 1000)}."')
    for strange in ("*", '"."', '""', '"..."', f'"{mark[0].verdict}.{"9" * 400}."', 'W/"x.y.z"'):
        poll(strange)


def test_assets_are_immutable_and_small(app: Flask) -> None:
    """By the hash of what they hold; another hash is not found."""
    client = app.test_client()
    for name in assets.TYPES:
        answer = client.get(assets.url(ADMIN, name))
        assert (200, True) == (answer.status_code, "immutable" in answer.headers["Cache-Control"])
        assert len(answer.data) <= 24_000
    assert 404 == client.get(f"{ADMIN}/static/0123456789abcdef/dashboard.css").status_code
    assert 404 == client.get(f"{ADMIN}/static/x/..%2f..%2fsite.py").status_code


def test_first_page_is_within_its_budget(app: Flask) -> None:
    """HTML of at most 45 kB; it names what it has seen, so that its first poll makes no card."""
    page = app.test_client().get(ADMIN)

    assert len(page.data) <= 45_000
    assert re.search(r'data-etag="[0-9a-f]{12}\.\d+\."', page.text)


def test_page_of_the_applications_own() -> None:
    """In the navigation, with its JSON; a failure is its own and no error of the application's."""
    rows = [{"queue": "mail", "waiting": 3}]
    own = [
        MonitoringPage(path="/queue", label="Queue", description="Jobs", view=lambda: rows),
        MonitoringPage(path="/broken", label="Broken", description="", view=lambda: 1 // 0),
    ]
    client = shop(monitoring_pages=own).test_client()
    page, twin = client.get(f"{ADMIN}/queue"), client.get(f"{ADMIN}/api/pages/queue")

    assert ("<td>mail</td>" in page.text, rows) == (True, twin.get_json())
    assert f'href="{ADMIN}/queue"' in client.get(ADMIN).text
    assert (500, True) == (
        client.get(f"{ADMIN}/broken").status_code,
        "ZeroDivisionError" in client.get(f"{ADMIN}/broken").text,
    )
    assert [] == client.get(f"{ADMIN}/api/errors").get_json()


def test_pages_work_while_everything_else_is_down(tmp_path: Path) -> None:
    """Database away, the store rubbish, no log file: every page answers, and says what is lost."""
    bound = Bound(tmp_path, environment="development")

    def database() -> bool:
        raise sqlite3.OperationalError("no such server")

    bound.monitor.register_health_check("database", database)
    app = Flask("shop")
    state = {"state_dir": str(tmp_path), "store": {"shared": True, "last_error": ""}}
    routes.register(
        app,
        Site(
            config=bound.config, monitor=bound.monitor, access=Access(bound.config),
            exposition=lambda accept: ("", ""), status=lambda: state, store=bound.store,
        ),
    )  # fmt: skip
    client = app.test_client()
    assert "was corrupt" not in client.get(ADMIN).text
    (tmp_path / "store.sqlite").write_bytes(b"no database" * 10_000)
    found = {page.path: client.get(f"{ADMIN}{page.path}").status_code for page in FIXED}
    again, health = client.get(ADMIN).text, client.get(f"{ADMIN}/health").text
    bound.close()

    assert {200} == set(found.values()), found
    assert "The store was corrupt and was set aside" in again
    assert "no such server" in health


def test_injected_log_lines_stay_text(app: Flask) -> None:
    """In the JSON as they are, in the page escaped."""
    client = app.test_client()
    groups = client.get(f"{ADMIN}/api/errors").get_json()

    assert HOSTILE in {g["message"] for g in groups}


def test_pages_cost_nothing_at_set_up() -> None:
    """Their modules are imported by the first request for one of them."""
    code = (
        "import sys; from flask import Flask; from proletto_otel import setup_telemetry\n"
        "setup_telemetry(app := Flask('shop')); app.test_client().get('/')\n"
        "print([m for m in sys.modules if m.startswith(('proletto_otel.web.pages',"
        " 'proletto_otel.web.catalog', 'proletto_otel.web.render', 'proletto_otel.web.charts'))])"
    )
    environ = {**os.environ, "PROLETTO_LOG_CONSOLE": "0", "PROLETTO_LOG_FILES": "0"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True
    )

    assert "[]" == found.stdout.strip(), found.stderr


def test_levels_over_time_stand_above_the_log(tmp_path: Path) -> None:
    """Lines by level, as a chart and as a table; around one line there is no strip."""
    app = shop(log_dir=str(tmp_path), log_files=True)
    traffic(app)
    client = app.test_client()
    page = client.get(f"{ADMIN}/logs?as=table&range=15m")

    assert "<caption>Lines by level in the last 15 minutes</caption>" in page.text
    strip = client.get(f"{ADMIN}/api/pages/logs").get_json()["strip"]
    lines = client.get(f"{ADMIN}/api/pages/logs?limit=200").get_json()["found"]["lines"]
    for level in ("INFO", "WARNING", "ERROR"):
        written = sum(line["record"]["level"] == level for line in lines)
        assert 0 < written == sum(strip["counts"]["counts"][level])
    at = lines[0]["cursor"]
    assert client.get(f"{ADMIN}/api/pages/logs?at={at}").get_json()["strip"] is None


def test_what_the_log_page_shows_can_be_downloaded(tmp_path: Path) -> None:
    """A file of JSON lines: each record that the page would show, with the page's filter."""
    app = shop(log_dir=str(tmp_path), log_files=True)
    traffic(app)
    answer = app.test_client().get(f"{ADMIN}/logs/download?level=ERROR")
    records = [json.loads(line) for line in answer.data.splitlines()]

    assert 'attachment; filename="log.ndjson"' == answer.headers["Content-Disposition"]
    assert "application/x-ndjson" == answer.mimetype
    assert records
    assert {"ERROR"} == {record["level"] for record in records}


def test_log_is_filtered_by_duration(tmp_path: Path) -> None:
    """In the page, its JSON, the download and the live tail; links and the form keep it."""
    app = shop(log_dir=str(tmp_path), log_files=True)
    client = app.test_client()
    logger.info("before")
    begin = client.get(f"{ADMIN}/api/pages/logs").get_json()["found"]["newest"]
    for number in range(8):
        logger.info("call %s", number, duration_ms=100.0 * number)
    asked = "duration_min=250&duration_max=600"
    twin = client.get(f"{ADMIN}/api/pages/logs?{asked}").get_json()
    page = client.get(f"{ADMIN}/logs?{asked}&limit=2").text
    lines = client.get(f"{ADMIN}/logs/download?{asked}").data.splitlines()
    tail = client.get(f"{ADMIN}/api/logs/tail?{asked}&cursor={begin}").get_json()

    wanted = [f"call {number}" for number in (6, 5, 4, 3)]
    assert wanted == [line["record"]["message"] for line in twin["found"]["lines"]]
    assert wanted == [json.loads(line)["message"] for line in lines]
    assert 4 == len(tail["lines"])
    assert 'name="duration_min" value="250"' in page
    assert '<details id="more-fields" open>' in page
    (older,) = re.findall(r'href="([^"]*)">Older lines', page)
    assert "duration_min=250&amp;duration_max=600" in older
    assert "call 3" in client.get(older.replace("&amp;", "&")).text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("duration_min=soon", "duration_min=&#39;soon&#39;: expected milliseconds"),
        ("duration_max=-1", "duration_max=&#39;-1&#39;: expected milliseconds"),
        ("duration_min=9&duration_max=1", "expected at least duration_min, which is 9"),
        ("duration_min=<script>", "duration_min=&#39;&lt;script&gt;&#39;: expected"),
    ],
)
def test_wrong_durations_are_said(tmp_path: Path, asked: str, said: str) -> None:
    """The page says what fits and keeps what was typed; files and the tail answer 400."""
    client = shop(log_dir=str(tmp_path), log_files=True).test_client()
    page = client.get(f"{ADMIN}/logs?{asked}")

    assert 200 == page.status_code
    assert said in page.text
    assert client.get(f"{ADMIN}/api/pages/logs?{asked}").get_json()["problem"]
    assert 400 == client.get(f"{ADMIN}/logs/download?{asked}").status_code
    assert 400 == client.get(f"{ADMIN}/api/logs/tail?{asked}").status_code


@pytest.mark.parametrize("path", ["", "/system", "/requests", "/telemetry", "/api/pages/overview"])
def test_a_page_adds_up_the_workers_numbers_once(
    app: Flask, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """All that a page shows is of one time, and costs one reading."""
    merges: list[Snapshots] = []
    merge = Snapshots._merge

    def counted(snapshots: Snapshots) -> list[Family]:
        if threading.current_thread() is threading.main_thread():  # not the ticker's
            merges.append(snapshots)
        return merge(snapshots)

    client = app.test_client()
    monkeypatch.setattr(Snapshots, "_merge", counted)

    assert 200 == client.get(f"{ADMIN}{path}").status_code
    assert len(merges) <= 1


def test_log_lines_say_how_long_it_took(tmp_path: Path) -> None:
    """In the list and around a line; an error whose line has its text says so once."""
    app = shop(log_dir=str(tmp_path), log_files=True)
    client = app.test_client()
    logger.info("called", duration_ms=1234.5)
    try:
        raise ValueError("no stock")
    except ValueError as error:
        logger.exception("failed: %s", error)
        logger.exception("failed")
    page = client.get(f"{ADMIN}/logs").text

    assert 'called <span class="took">took 1.23 s</span>' in page
    assert 1 == page.count("<summary>Stack trace</summary>")
    assert 1 == page.count("<summary>ValueError: no stock</summary>")
