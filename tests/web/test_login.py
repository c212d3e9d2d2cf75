"""The login form, roles and changes: who may do what, and that it is written down."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from flask import Flask, session
from flask.testing import FlaskClient
from flask_login import LoginManager
from flask_talisman import Talisman
from flask_wtf.csrf import CSRFProtect

from proletto_otel.core import config
from proletto_otel.testing import TelemetryCapture
from proletto_otel.web import session as sessions
from proletto_otel.web.actions import ACTIONS
from proletto_otel.web.catalog import pages
from tests.web.dashboard import ADMIN, BROWSER, SAME_ORIGIN, TOKEN, csrf_of, shop, traffic

pytestmark = pytest.mark.usefixtures("telemetry_capture")
BEARER = {"Authorization": f"Bearer {TOKEN}"}
VIEW = "look-only"
SILENCE = f"{ADMIN}/actions/silence"
EVERYTHING = {"alert": "*", "seconds": "600", "reason": "test"}


def closed_shop(**settings: Any) -> Flask:
    """Only the token opens it."""
    return shop(**({"environment": "production", "admin_token": TOKEN} | settings))


def logged_in(app: Flask, path: str = ADMIN, mount: str = "") -> FlaskClient:
    """A browser that sent the form."""
    client = app.test_client()
    answer = client.post(
        path, data={"token": TOKEN, "name": "anna"}, headers=SAME_ORIGIN,
        environ_overrides={"SCRIPT_NAME": mount},
    )  # fmt: skip
    assert (303, f"{mount}{path}") == (answer.status_code, answer.headers["Location"])
    return client


def test_token_in_the_form_opens_the_page_that_was_asked_for() -> None:
    """By a signed cookie that no script and no other site can use."""
    client = logged_in(closed_shop(), f"{ADMIN}/alerts")
    cookie = client.get_cookie(sessions.COOKIE, path=ADMIN)

    assert cookie is not None
    assert (True, "Strict", ADMIN) == (cookie.http_only, cookie.same_site, cookie.path)
    assert "anna" in client.get(f"{ADMIN}/alerts").text


def test_no_secret_key_is_needed_and_the_applications_session_is_left_alone() -> None:
    """The key comes from the token."""
    app = closed_shop()
    assert app.secret_key is None
    client = logged_in(app)

    assert 200 == client.get(ADMIN).status_code
    with app.test_request_context():
        assert not session


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], "é", TOKEN + "x"])
def test_another_token_opens_nothing(token: str) -> None:
    """The form again, without a cookie."""
    client = closed_shop().test_client()
    answer = client.post(ADMIN, data={"token": token}, headers=SAME_ORIGIN)

    assert (401, True) == (answer.status_code, "not the token" in answer.text)
    assert "Set-Cookie" not in answer.headers
    assert 401 == client.get(ADMIN).status_code


def test_guessing_is_slowed_down() -> None:
    """Ten wrong ones in a minute, in whatever way; then even the right one waits."""
    app = closed_shop()
    before = logged_in(app)
    client = app.test_client()
    wrong = base64.b64encode(b"anna:guess").decode()
    for kind in (f"Bearer {TOKEN[:-1]}", f"Basic {wrong}", "Bearer x"):
        assert 401 == client.get(ADMIN, headers={"Authorization": kind}).status_code
    for _ in range(7):
        client.post(ADMIN, data={"token": "guess"}, headers=SAME_ORIGIN)
    answer = client.post(ADMIN, data={"token": TOKEN}, headers=SAME_ORIGIN)
    with_bearer = [client.get(f"{ADMIN}{path}", headers=BEARER) for path in ("", "/errors", "/x")]

    assert [429] * 4 == [a.status_code for a in (answer, *with_bearer)]
    assert 1 == len({a.data for a in with_bearer})
    for each in (answer, *with_bearer):
        assert 0 < int(each.headers["Retry-After"]) <= 60
        assert ("no-store", "nosniff") == tuple(
            each.headers[name] for name in ("Cache-Control", "X-Content-Type-Options")
        )
    # who is in stays in, and other clients are not concerned
    assert 200 == before.get(ADMIN).status_code
    elsewhere = {"REMOTE_ADDR": "10.1.2.3"}
    assert 200 == client.get(ADMIN, headers=BEARER, environ_overrides=elsewhere).status_code


def test_tokens_of_the_application_are_no_attempts() -> None:
    """Its users send bearers of their own; only who is kept out is counted."""
    app = closed_shop(authorize=lambda: True)
    client = app.test_client()
    theirs = {"Authorization": "Bearer of-the-application"}
    for _ in range(12):
        assert 200 == client.get(ADMIN, headers=theirs).status_code

    assert 200 == client.get(ADMIN, headers=BEARER).status_code


def test_strangers_do_not_push_the_audit_out() -> None:
    """Ten failed logins a minute are stored; the log has all of them."""
    app = closed_shop()
    logged_in(app)
    stranger = app.test_client()
    for number in range(30):
        stranger.post(
            f"{ADMIN}/login", data={"token": "guess"}, headers=SAME_ORIGIN,
            environ_overrides={"REMOTE_ADDR": f"10.0.0.{number}"},
        )  # fmt: skip
    found = [e.action for e in app.extensions["proletto_monitoring"].audit.latest(100)]

    assert 10 >= found.count("login failed")
    assert "login" in found


# --- viewers -------------------------------------------------------------------------------------
def test_viewer_token_sees_every_page_and_changes_nothing() -> None:
    """W1: every rule that is registered; as a bearer, a password, and in the form."""
    app = closed_shop(viewer_token=VIEW)
    traffic(app)
    form = app.test_client()
    form.post(ADMIN, data={"token": VIEW, "name": "vera"}, headers=SAME_ORIGIN)
    basic = base64.b64encode(f"vera:{VIEW}".encode()).decode()
    ways = {
        "bearer": (app.test_client(), {"Authorization": f"Bearer {VIEW}"}),
        "basic": (app.test_client(), {"Authorization": f"Basic {basic}"}),
        "session": (form, {}),
    }
    site = app.extensions["proletto_monitoring"]
    for way, (client, headers) in ways.items():
        for page in pages(site):
            if page.method == "GET":
                status = client.get(sample(page.path), headers=headers).status_code
                assert status in (200, 303, 404), (way, page.path, status)
        shown = client.get(f"{ADMIN}/alerts", headers=headers).text
        assert "actions/silence" not in shown
        assert "viewer" in shown
        for action in ACTIONS:
            if action != "logout":
                answer = client.post(
                    f"{ADMIN}/actions/{action}", data=EVERYTHING, headers={**SAME_ORIGIN, **headers}
                )
                assert 403 == answer.status_code, (way, action)
    assert [] == site.monitor.get_silences()
    assert [] == [e for e in site.audit.latest(100) if e.action != "login"]


def test_a_viewer_token_alone_opens_the_form() -> None:
    """Nobody is an operator then."""
    app = shop(environment="production", viewer_token=VIEW)
    client = app.test_client()

    assert 'type="password"' in client.get(ADMIN, headers=BROWSER).text
    client.post(ADMIN, data={"token": VIEW}, headers=SAME_ORIGIN)
    assert 200 == client.get(ADMIN, headers=BROWSER).status_code


def test_an_operators_session_does_not_come_from_the_viewer_token() -> None:
    """The signature's key is the token: a cookie of the one is none of the other."""
    app = closed_shop(viewer_token=VIEW)
    for token, offered in ((TOKEN, True), (VIEW, False)):
        cookie = {"Cookie": f"{sessions.COOKIE}={sessions.begin(token, 'anna')}"}
        page = app.test_client(use_cookies=False).get(f"{ADMIN}/alerts", headers=cookie)
        assert (200, offered) == (page.status_code, "actions/silence" in page.text)


def test_one_token_for_both_makes_operators() -> None:
    """And the set-up says so."""
    _, warnings = config.load({}, {}, {"MONITOR_ADMIN_TOKEN": "x1", "MONITOR_VIEWER_TOKEN": "x1"})

    assert ["MONITOR_VIEWER_TOKEN='***': expected another token than MONITOR_ADMIN_TOKEN; it"
            " makes operators"] == warnings  # fmt: skip
    client = closed_shop(viewer_token=TOKEN).test_client()
    assert "actions/silence" in client.get(f"{ADMIN}/alerts", headers=BEARER).text


@pytest.mark.parametrize(
    "change",
    [lambda v: v[:-1] + ("0" if v[-1] != "0" else "1"), lambda v: "9" + v, lambda v: "x.y.z.w",
     lambda v: v.replace(".", ""), lambda v: "é", lambda v: "." * 600],
)  # fmt: skip
def test_a_forged_cookie_opens_nothing(change: Any) -> None:
    """Any other byte, any other form."""
    value = change(sessions.begin(TOKEN, "anna"))
    client = closed_shop().test_client(use_cookies=False)
    answer = client.get(ADMIN, headers={"Cookie": f"{sessions.COOKIE}={value}"})

    assert 401 == answer.status_code


@pytest.mark.parametrize(("token", "ago"), [("older-token", 0.0), (TOKEN, 13 * 3600.0)])
def test_a_cookie_ends_with_its_token_and_after_twelve_hours(token: str, ago: float) -> None:
    """A new token ends every session."""
    import time

    value = sessions.begin(token, "anna", time.time() - ago)
    client = closed_shop().test_client(use_cookies=False)

    answer = client.get(ADMIN, headers={"Cookie": f"{sessions.COOKIE}={value}"})

    assert 401 == answer.status_code


@pytest.mark.parametrize("said", [TOKEN, VIEW])
def test_logout_ends_the_session(said: str) -> None:
    """The form in the header of every page; a viewer has it, too."""
    client = closed_shop(viewer_token=VIEW).test_client()
    client.post(ADMIN, data={"token": said}, headers=SAME_ORIGIN)
    token = csrf_of(client.get(ADMIN))
    answer = client.post(f"{ADMIN}/actions/logout", data={"csrf": token}, headers=SAME_ORIGIN)

    assert (303, ADMIN) == (answer.status_code, answer.headers["Location"])
    assert 401 == client.get(ADMIN).status_code


@pytest.mark.parametrize(
    ("headers", "with_token", "status"),
    [
        (SAME_ORIGIN, True, 303),
        (SAME_ORIGIN, False, 403),
        (BROWSER, True, 403),
        ({**BROWSER, "Origin": "http://evil.example"}, True, 403),
        ({**BROWSER, "Origin": "null"}, True, 403),
        ({**BROWSER, "Referer": "http://localhost/x"}, True, 303),
        ({**SAME_ORIGIN, "Sec-Fetch-Site": "cross-site"}, True, 403),
        ({**SAME_ORIGIN, "Sec-Fetch-Site": "same-site"}, True, 403),
        ({**BROWSER, "Sec-Fetch-Site": "same-origin"}, True, 303),
    ],
)
def test_only_our_own_forms_change_something(
    headers: dict[str, str], with_token: bool, status: int
) -> None:
    """W2: Origin and token, both."""
    client = logged_in(closed_shop())
    token = csrf_of(client.get(f"{ADMIN}/alerts")) if with_token else "0" * 40
    answer = client.post(SILENCE, data={**EVERYTHING, "csrf": token}, headers=headers)

    assert status == answer.status_code
    silences = client.get(f"{ADMIN}/api/alerts").get_json()["silences"]
    assert (status == 303) == bool(silences)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_nothing_changes_but_by_post(method: str) -> None:
    """W2: no GET writes."""
    client = logged_in(closed_shop())
    csrf_of(client.get(f"{ADMIN}/alerts"))
    answer = client.open(f"{SILENCE}?alert=*&seconds=600", method=method, headers=SAME_ORIGIN)

    assert (405, "POST") == (answer.status_code, answer.headers["Allow"])
    assert [] == client.get(f"{ADMIN}/api/alerts").get_json()["silences"]


def test_a_program_changes_with_its_bearer_alone() -> None:
    """No browser adds one by itself; the answer is JSON."""
    client = closed_shop().test_client()
    key = {"Authorization": f"Bearer {TOKEN}"}
    good = client.post(SILENCE, data=EVERYTHING, headers=key)
    bad = client.post(SILENCE, data={"alert": "nope", "seconds": "5"}, headers=key)
    odd = client.post(f"{ADMIN}/actions/explode", headers=key)

    assert (200, "silence") == (good.status_code, good.get_json()["action"])
    assert (400, True) == (bad.status_code, "expected * or one of" in bad.get_json()["error"])
    assert 404 == odd.status_code


def test_viewers_read_and_change_nothing() -> None:
    """`authorize` returns "viewer"; no forms are offered, a POST is refused with the reason."""
    app = shop(environment="production", authorize=lambda: "viewer")
    client = app.test_client()
    page = client.get(f"{ADMIN}/alerts")
    answer = client.post(SILENCE, data=EVERYTHING, headers=SAME_ORIGIN)

    assert (200, False) == (page.status_code, "actions/silence" in page.text)
    assert 403 == answer.status_code


def test_changes_are_shown_and_logged(telemetry_capture: TelemetryCapture) -> None:
    """Who, how, what, to what."""
    app = closed_shop()
    traffic(app)
    client = logged_in(app)
    group = client.get(f"{ADMIN}/api/errors").get_json()[0]
    token = csrf_of(client.get(f"{ADMIN}/errors/{group['fingerprint']}"))
    client.post(
        f"{ADMIN}/actions/error-status", headers=SAME_ORIGIN,
        data={"csrf": token, "fingerprint": group["fingerprint"], "status": "resolved"},
    )  # fmt: skip
    page = client.get(f"{ADMIN}/errors/{group['fingerprint']}").text
    logged = [r for r in telemetry_capture.logs if r["body"] == "admin: error-status"]

    assert "Reopen" in page
    assert "by anna" in page
    assert "error status" in client.get(f"{ADMIN}/telemetry").text
    assert [("anna", "session", group["fingerprint"])] == [
        tuple(r["attributes"][name] for name in ("who", "way", "target")) for r in logged
    ]


@pytest.mark.parametrize("mount", ["", "/shop"])
def test_works_beside_csrf_protect_talisman_and_below_a_mount_point(mount: str) -> None:
    """Flask-WTF checks its own forms and not ours; links, cookies and redirects have the mount."""
    app = closed_shop()
    app.secret_key = "of the application"
    CSRFProtect(app)
    Talisman(app, force_https=False)
    app.add_url_rule("/theirs", "theirs", lambda: "posted", methods=["POST"])
    client = logged_in(app, f"{ADMIN}/alerts", mount)
    at = {"SCRIPT_NAME": mount}
    page = client.get(f"{ADMIN}/alerts", environ_overrides=at)
    answer = client.post(
        SILENCE, data={**EVERYTHING, "csrf": csrf_of(page)}, headers=SAME_ORIGIN,
        environ_overrides=at,
    )  # fmt: skip

    assert f'href="{mount}{ADMIN}/static/' in page.text
    assert (303, f"{mount}{ADMIN}/alerts") == (answer.status_code, answer.headers["Location"])
    assert 400 == client.post("/theirs").status_code


def test_login_page_is_there_beside_flask_login() -> None:
    """Where the application sends strangers to its own login, the token has a page of its own."""
    app = closed_shop()
    app.secret_key = "of the application"
    manager = LoginManager(app)
    manager.login_view = "theirs"  # type: ignore[assignment]  # as its docs set it
    manager.user_loader(lambda name: None)
    app.add_url_rule("/theirs", "theirs", lambda: "")
    client = app.test_client()

    assert "/theirs" in client.get(ADMIN, headers=BROWSER).headers["Location"]
    assert 'type="password"' in client.get(f"{ADMIN}/login", headers=BROWSER).text
    assert 303 == client.post(
        f"{ADMIN}/login", data={"token": TOKEN}, headers=SAME_ORIGIN
    ).status_code  # fmt: skip
    assert 200 == client.get(ADMIN, headers=BROWSER).status_code


def test_token_opens_while_the_users_database_is_down() -> None:
    """Flask-Login cannot say who this is: the form for the token is there, and no 500."""
    app = closed_shop()
    app.secret_key = "of the application"

    def load(name: str) -> None:
        raise ConnectionError("no such server")

    LoginManager(app).user_loader(load)
    client = app.test_client()
    with client.session_transaction() as stored:
        stored["_user_id"] = "1"

    assert 'type="password"' in client.get(ADMIN, headers=BROWSER).text
    client.post(ADMIN, data={"token": TOKEN}, headers=SAME_ORIGIN)
    assert 200 == client.get(ADMIN, headers=BROWSER).status_code


def sample(path: str) -> str:
    """A path that a rule matches."""
    return f"{ADMIN}{re.sub('<[^>]*>', '1', path)}"


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")


def test_hidden_rules_look_like_no_page_at_all() -> None:
    """W1: every rule that is registered, by every method."""
    app = shop(environment="production")
    client = app.test_client()
    for method in METHODS:
        missing = client.open("/no/such/page", method=method)
        for page in pages(app.extensions["proletto_monitoring"]):
            answer = client.open(sample(page.path), method=method, headers=BROWSER)
            assert (404, missing.data) == (answer.status_code, answer.data), page.path


def test_no_rule_is_open_without_the_token() -> None:
    """W1: every rule that is registered, by every method; only files of ours are for the form."""
    app = closed_shop()
    client = app.test_client()
    for method in METHODS:
        for page in pages(app.extensions["proletto_monitoring"]):
            found = client.open(sample(page.path), method=method).status_code
            assert found in ({401} if page.open_to is None else {401, 404}), page.path
