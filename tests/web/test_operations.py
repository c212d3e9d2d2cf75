"""Telemetry's page: levels of loggers at run time, threads of a worker, who may change them."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from flask_login import LoginManager, UserMixin

from proletto_otel.monitoring import monitor
from proletto_otel.runtime.thread_stacks import MAX_FRAMES
from tests.faults.serving import Program, program
from tests.waiting import PATIENCE_S, until
from tests.web.dashboard import ADMIN, SAME_ORIGIN, TOKEN, csrf_of, shop

PAGE = f"{ADMIN}/telemetry"
KEY = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client(telemetry_capture: object) -> FlaskClient:
    """Somebody at this machine."""
    return shop().test_client()


def post(client: FlaskClient, action: str, **form: str) -> Any:
    """Send one of the page's forms."""
    token = csrf_of(client.get(PAGE))
    data = {"csrf": token, **form}
    return client.post(f"{ADMIN}/actions/{action}", data=data, headers=SAME_ORIGIN)


def test_a_level_is_set_shown_audited_and_reset(client: FlaskClient) -> None:
    """By the forms of the page; its JSON and the API say the same."""
    logging.getLogger("shop.payments")
    answer = post(client, "log-level", logger="shop.payments", level="DEBUG", seconds="1800")
    assert (303, PAGE) == (answer.status_code, answer.headers["Location"])
    page = client.get(PAGE).text
    (row,) = client.get(f"{ADMIN}/api/pages/telemetry").get_json()["log_levels"]

    assert re.search(r"in (30|2\d) min", page)  # a busy machine needs a while for a page
    assert ("shop.payments", "DEBUG", "developer") == (row["name"], row["level"], row["by"])
    assert ["shop.payments"] == [
        r["name"] for r in client.get(f"{ADMIN}/api/log-levels").get_json()
    ]
    assert logging.DEBUG == logging.getLogger("shop.payments").level
    assert "DEBUG for 30 min" in page  # the audit

    post(client, "log-level-reset", logger="shop.payments")
    assert [] == client.get(f"{ADMIN}/api/log-levels").get_json()
    assert logging.NOTSET == logging.getLogger("shop.payments").level
    assert "log level reset" in client.get(PAGE).text


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"logger": "no such", "level": "DEBUG"}, "expected a logger's name"),
        ({"logger": "root", "level": "LOUD"}, "expected one of DEBUG"),
        ({"logger": "root", "level": "DEBUG", "seconds": "1e9"}, "24 hours"),
        ({"logger": "root", "level": "DEBUG", "seconds": "soon"}, "a number of seconds"),
        ({"logger": "werkzoig", "level": "DEBUG"}, "did you mean werkzeug"),
    ],
)
def test_a_form_that_does_not_fit_is_answered_with_what_fits(
    client: FlaskClient, form: dict[str, str], message: str
) -> None:
    """And changes nothing."""
    logging.getLogger("werkzeug")
    answer = post(client, "log-level", **form)

    assert (400, True) == (answer.status_code, message in unescape(answer.text))
    assert [] == client.get(f"{ADMIN}/api/log-levels").get_json()


@pytest.mark.parametrize(
    ("action", "form"),
    [
        ("log-level", {"logger": "root", "level": "DEBUG"}),
        ("log-level-reset", {"logger": "root"}),
        ("thread-dump", {"pid": str(os.getpid())}),
    ],
)
def test_viewers_see_and_change_nothing(
    telemetry_capture: object, action: str, form: dict[str, str]
) -> None:
    """No forms, and 403 for who sends them nevertheless."""
    client = shop(environment="production", authorize=lambda: "viewer").test_client()
    assert monitor.log_levels is not None
    monitor.log_levels.set("root", "WARNING", "anna")
    page = client.get(PAGE)
    answer = client.post(f"{ADMIN}/actions/{action}", data=form, headers=SAME_ORIGIN)

    assert (200, True, False) == (page.status_code, "anna" in page.text, "actions/" in page.text)
    assert 403 == answer.status_code
    assert ["WARNING"] == [level.level for level in monitor.log_levels.current()]


@pytest.mark.parametrize("login", [False, True], ids=["no logins", "Flask-Login"])
@pytest.mark.parametrize("user", ["", "7"], ids=["nobody", "user 7"])
def test_change_names_who_authorize_let_in(
    telemetry_capture: object, login: bool, user: str
) -> None:
    """The user of Flask-Login, where it is used and somebody is logged in."""
    app = shop(environment="production", authorize=lambda: True)
    app.secret_key = "k" * 32
    if login:
        LoginManager(app).user_loader(User)
    client = app.test_client()
    if user:
        with client.session_transaction() as session:
            session["_user_id"] = user
    post(client, "log-level", logger="root", level="DEBUG")
    (level,) = client.get(f"{ADMIN}/api/log-levels").get_json()

    assert (user if login and user else "authorized") == level["by"]


class User(UserMixin):
    """Known by a text."""

    def __init__(self, name: str) -> None:
        self.id = name


def test_threads_of_this_worker(client: FlaskClient) -> None:
    """Asked, answered, shown, audited."""
    until(lambda: client.get(f"{ADMIN}/api/pages/telemetry").get_json()["workers"])
    answer = post(client, "thread-dump", pid=str(os.getpid()))
    page = client.get(PAGE).text
    (dump,) = client.get(f"{ADMIN}/api/thread-dumps").get_json()

    assert 303 == answer.status_code
    assert "answered" in page
    assert "test_threads_of_this_worker" in page
    assert f"process {os.getpid()}" in page
    assert (os.getpid(), "developer") == (dump["pid"], dump["by"])
    assert 400 == post(client, "thread-dump", pid="1").status_code


def test_what_is_stored_and_for_how_long(client: FlaskClient) -> None:
    """Each kind, with what is there now and its limit."""
    for _ in range(3):
        client.get("/pay/0")
    monitor.errors.totals()  # writes down what was counted
    kinds = client.get(f"{ADMIN}/api/pages/telemetry").get_json()["retention"]
    found = {row["kind"]: (row["kept"], row["now"], row["limit"]) for row in kinds}

    assert ("365 d", "876,000 rows") == (
        found["Metrics, each 2 h"][0],
        found["Metrics, each 2 h"][2],
    )
    assert ("90 d", "144,000 rows") == (
        found["Requests, each 3 h"][0],
        found["Requests, each 3 h"][2],
    )
    assert ("1 row", "5,000 rows") == found["Groups of errors"][1:]
    assert "64 MB" == found["Occurrences of errors"][2]
    assert "Occurrences of errors" in client.get(PAGE).text


# --- several workers -----------------------------------------------------------------------------
APP = """
import logging, os
from flask import Flask, jsonify
from proletto_otel import setup_telemetry
from proletto_otel.error_logging import get_logger

app = Flask(__name__)
orders = logging.getLogger("shop.orders")


@app.get("/item")
def item():
    orders.debug("stdlib debug", extra={"pid": os.getpid()})
    get_logger("shop.ours").debug("ours debug", pid=os.getpid())
    return jsonify(pid=os.getpid(), level=orders.getEffectiveLevel())


setup_telemetry(app, app_name="shop", log_console=False)
"""
WORKERS = 4


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Program]:
    """The shop on gunicorn with four workers."""
    (tmp_path / "shop.py").write_text(APP)
    settings = {"MONITOR_ADMIN_TOKEN": TOKEN, "OTEL_SDK_DISABLED": "1", "FLASK_ENV": "production"}
    with program(tmp_path, "http://127.0.0.1:1", **settings) as made:
        where = ("-b", f"127.0.0.1:{made.port}", "--workers", str(WORKERS))
        made.start(sys.executable, "-m", "gunicorn", *where, "shop:app")
        until(lambda: len(levels(made)) == WORKERS, "every worker answers")
        yield made


def levels(made: Program) -> dict[int, int]:
    """What the standard library's logger records, by worker."""
    found = {}
    for _ in range(20):
        answer = json.loads(made.get("/item")[1])
        found[answer["pid"]] = answer["level"]
    return found


def all_at(made: Program, level: int) -> bool:
    """Whether every worker was asked and has this level."""
    found = levels(made)
    return len(found) == WORKERS and set(found.values()) == {level}


def act(made: Program, action: str, **form: str) -> int:
    """Change something as a program with the token does."""
    connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=PATIENCE_S)
    headers = {**KEY, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"{ADMIN}/actions/{action}", urlencode(form), headers)
    return connection.getresponse().status


def api(made: Program, path: str) -> Any:
    """JSON of the admin pages."""
    return json.loads(made.get(f"{ADMIN}/api/{path}", **KEY)[1])


def test_a_level_holds_in_all_workers_until_it_ends(served: Program) -> None:
    """Whichever worker got the form; they all follow, and all go back."""
    assert 200 == act(served, "log-level", logger="shop", level="DEBUG", seconds="15", unknown="1")
    until(lambda: all_at(served, 10), "all say more")
    until(lambda: all_at(served, 20), "all are back")
    debug = served.lines("shop.orders") + served.lines("shop.ours")

    assert WORKERS == len({line["pid"] for line in debug})
    assert {"stdlib debug", "ours debug"} == {line["message"] for line in debug}


def test_any_worker_tells_its_threads(served: Program) -> None:
    """Each of the four, asked through whichever; one that is gone does not."""
    pids = until(
        lambda: len(found := [w["pid"] for w in api(served, "pages/telemetry")["workers"]])
        == WORKERS and found
    )  # fmt: skip
    for pid in pids:
        assert 200 == act(served, "thread-dump", pid=str(pid))

    def answered() -> list[dict[str, Any]]:
        return [dump for dump in api(served, "thread-dumps") if dump["answered"]]

    until(lambda: len(answered()) == WORKERS, "all answered")
    for dump in answered():
        assert "MainThread" == dump["threads"][0]["name"]
        frames = dump["threads"][0]["frames"]
        # the innermost are told: those of one that answers a page meanwhile reach less far out
        assert any("gunicorn" in frame for frame in frames) or len(frames) == MAX_FRAMES
        assert dump["answered"] - dump["asked"] < 8


def test_a_name_that_utf_8_cannot_carry(client: FlaskClient) -> None:
    """Of a logger after a file, for example: the page, its JSON and its refresh show its escape."""
    odd = "shop.caf\udce9"
    logging.getLogger(odd)
    try:
        page = client.get(PAGE)
        twin = client.get(f"{ADMIN}/api/pages/telemetry")
        refresh = client.get(f"{ADMIN}/api/live?page=telemetry")
    finally:
        del logging.Logger.manager.loggerDict[odd]

    assert [200, 200, 200] == [page.status_code, twin.status_code, refresh.status_code]
    assert r"shop.caf\udce9" in page.text
    assert r"shop.caf\udce9" in twin.get_json()["loggers"]
    assert "shop" in str(refresh.get_json()["cards"])
