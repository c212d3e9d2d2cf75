"""Probes, /metrics and the admin pages: what they say, and to whom."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, redirect
from flask_login import LoginManager, UserMixin, login_user
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse

from proletto_otel.web import attempts, probes, routes
from proletto_otel.web.access import Access
from proletto_otel.web.admin_api import ENDPOINTS
from proletto_otel.web.site import Site
from tests.monitoring.bound import Bound

ADMIN = "/admin/monitoring"
ADMIN_PATHS = [
    ADMIN, f"{ADMIN}/", f"{ADMIN}/nothing", f"{ADMIN}/api/history/cpu_percent",
    f"{ADMIN}/api/health/db/history",
    *(f"{ADMIN}/api/{e.path}" for e in ENDPOINTS if "<" not in e.path),
]  # fmt: skip
FAR: dict[str, Any] = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture(autouse=True)
def _sweeps_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many paths are asked with a wrong token here; that they wait is in test_login."""
    monkeypatch.setattr(attempts, "LIMIT", 1_000_000)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., tuple[Flask, Bound]]]:
    """Build an application with monitoring; settings as keywords."""
    made: list[Bound] = []

    def build(authorize: Any = None, **settings: Any) -> tuple[Flask, Bound]:
        bound = Bound(tmp_path, **({"environment": "development"} | settings))
        made.append(bound)
        app = Flask("shop")
        app.secret_key = "for sessions"
        serve(app, site(bound, authorize))
        return app, bound

    yield build
    for bound in made:
        bound.close()


def serve(app: Flask, shown: Site) -> None:
    """Routes, and the endpoints that the middleware answers before the application."""
    routes.register(app, shown)
    found, below = probes.endpoints(app, shown), app.wsgi_app

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        endpoint = found.get(environ["PATH_INFO"])
        return ((endpoint and endpoint(environ)) or below)(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def site(bound: Bound, authorize: Any = None) -> Site:
    """What telemetry hands to the routes."""
    return Site(
        config=bound.config,
        monitor=bound.monitor,
        access=Access(bound.config, authorize),
        exposition=lambda accept: ("# EOF\n", "text/plain; version=0.0.4"),
        status=lambda: {"sinks": {}},
    )


def get(
    app: Flask, path: str, token: str = "", environ: Any = None, **headers: str
) -> TestResponse:
    """One request; from this machine unless *environ* says otherwise."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return app.test_client().get(path, headers=headers, environ_overrides=environ or {})


# --- probes --------------------------------------------------------------------------------------
def test_liveness_asks_nothing(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """/livez answers while every dependency is down."""
    app, bound = make()
    bound.monitor.register_health_check("db", lambda: False)
    answer = get(app, "/livez", environ=FAR)

    assert (200, {"status": "pass"}) == (answer.status_code, answer.get_json(force=True))


@pytest.mark.parametrize("path", ["/readyz", "/health", "/healthz"])
def test_readiness_is_503_when_a_critical_check_fails(
    make: Callable[..., tuple[Flask, Bound]], path: str
) -> None:
    """200 while it works, 503 when it does not; a check that is not critical never closes."""
    works = [True]
    app, bound = make(monitor_unhealthy_threshold=1)
    bound.monitor.register_health_check("db", lambda: works[0])
    bound.monitor.register_health_check("mail", lambda: False, critical=False)
    assert 200 == get(app, path).status_code
    works[0] = False
    bound.engine.run_now()
    bound.engine.forked()  # forget the view

    answer = get(app, path)

    assert (503, "application/health+json", "no-store") == (
        answer.status_code, answer.content_type, answer.headers["Cache-Control"],
    )  # fmt: skip


def test_anonymous_callers_learn_the_status_only(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """H4: no names, messages or times without access."""
    app, bound = make(admin_token="t0ken")
    bound.monitor.register_health_check("secret-db", lambda: False)
    anonymous, wrong, admin = (get(app, "/health", token=t) for t in ("", "nope", "t0ken"))

    assert {"status": "fail"} == anonymous.get_json(force=True)
    assert anonymous.data == wrong.data
    assert "secret-db" in admin.get_json(force=True)["checks"]


def test_probe_never_runs_the_applications_code(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """A kubelet's probe must not wait for an authorize that asks the database."""
    asked: list[int] = []
    app, _ = make(authorize=lambda: asked.append(1))
    get(app, "/readyz")
    assert [] == asked
    get(app, "/readyz", token="x")

    assert [1] == asked


# --- /metrics ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("environ", "headers", "status"),
    [
        ({}, {}, 200),
        ({"REMOTE_ADDR": "::1"}, {}, 200),
        ({"REMOTE_ADDR": "::ffff:127.0.0.1"}, {}, 200),
        (FAR, {}, 403),
        (FAR, {"X-Forwarded-For": "127.0.0.1"}, 403),
        (FAR, {"X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}, 403),
        ({}, {"X-Forwarded-For": "203.0.113.9"}, 403),
        ({"werkzeug.proxy_fix.orig": FAR}, {}, 403),
        ({"REMOTE_ADDR": ""}, {}, 403),
        ({"REMOTE_ADDR": "localhost"}, {}, 403),
    ],
)
def test_metrics_open_to_this_machine_by_its_address_only(
    make: Callable[..., tuple[Flask, Bound]],
    environ: dict[str, Any],
    headers: dict[str, str],
    status: int,
) -> None:
    """W4: no header opens them; what a proxy passed on is not this machine."""
    app, _ = make()

    assert status == get(app, "/metrics", environ=environ, **headers).status_code


def test_metrics_token_opens_to_others(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """PROLETTO_METRICS_TOKEN; without it 401."""
    app, _ = make(metrics_token="scr4pe")

    assert [401, 401, 200] == [
        get(app, "/metrics", token=t, environ=FAR).status_code for t in ("", "x", "scr4pe")
    ]


def test_metrics_token_is_asked_of_everybody(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """Of this machine too: a proxy on it may look like it."""
    app, _ = make(metrics_token="scr4pe")

    assert [401, 401, 200] == [
        get(app, "/metrics", token=t).status_code for t in ("", "x", "scr4pe")
    ]


@pytest.mark.parametrize("word", ["Bearer", "Bearer ", "bearer \t", "Bearer  ", ""])
@pytest.mark.parametrize("environ", [{}, FAR])
def test_an_empty_token_opens_nothing(
    make: Callable[..., tuple[Flask, Bound]], word: str, environ: dict[str, Any]
) -> None:
    """Where no token is configured none is right, the empty one included."""
    app, bound = make(environment="production")
    bound.monitor.register_health_check("secret-db", lambda: True)
    answers = [get(app, path, environ=FAR, Authorization=word) for path in ("/metrics", ADMIN)]

    assert [403, 404] == [answer.status_code for answer in answers]
    assert b"secret-db" not in get(app, "/health", environ=environ, Authorization=word).data


def test_proxy_fix_does_not_open_metrics(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """A forged header that ProxyFix believes is not believed here."""
    app, _ = make()
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]

    assert 403 == get(
        app, "/metrics", environ=FAR, **{"X-Forwarded-For": "127.0.0.1"}
    ).status_code  # fmt: skip


# --- who may see the admin pages -----------------------------------------------------------------
def sweep(app: Flask, **arguments: Any) -> set[tuple[int, bytes]]:
    """Status and body of every admin path, existing or not."""
    return {
        (answer.status_code, answer.data)
        for answer in (get(app, path, **arguments) for path in ADMIN_PATHS)
    }


def statuses(app: Flask, **arguments: Any) -> set[int]:
    """Statuses of all admin paths that exist."""
    paths = [path for path in ADMIN_PATHS if not path.endswith("nothing")]
    return {get(app, path, **arguments).status_code for path in paths}


def test_without_any_rule_production_has_no_admin_pages(
    make: Callable[..., tuple[Flask, Bound]],
) -> None:
    """404, the same as for any path that does not exist, from this machine too."""
    app, _ = make(environment="production")
    missing = get(app, "/no/such/page")

    assert {(404, missing.data)} == sweep(app)


@pytest.mark.parametrize(
    ("environ", "headers", "status"),
    [
        ({}, {}, 200),
        (FAR, {}, 404),
        ({}, {"Host": "evil.example"}, 404),
        ({}, {"Host": "127.0.0.1:5000"}, 200),
        ({}, {"X-Forwarded-For": "203.0.113.9"}, 404),
        (FAR, {"X-Forwarded-For": "127.0.0.1"}, 404),
    ],
)
def test_without_any_rule_development_is_for_this_machine(
    make: Callable[..., tuple[Flask, Bound]],
    environ: dict[str, str],
    headers: dict[str, str],
    status: int,
) -> None:
    """Loopback only; no proxy, no foreign host name that resolves here."""
    app, _ = make()

    assert {status} == statuses(app, environ=environ, **headers)


def test_token_opens(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """MONITOR_ADMIN_TOKEN, as a bearer; all else is 401 with one body."""
    app, _ = make(admin_token="t0ken", environment="production")

    assert {200} == statuses(app, token="t0ken", environ=FAR)
    for wrong in ("", "T0KEN", "t0ken2", "é"):
        assert {(401, b"closed\n")} == sweep(app, token=wrong)


@pytest.mark.parametrize(
    ("answer", "status"),
    [(lambda: True, 200), (lambda: False, 403), (lambda: None, 403), (lambda request: True, 200),
     (lambda: abort(401), 401), (lambda: redirect("/login"), 302), (lambda: ("no", 403), 403)],
)  # fmt: skip
def test_authorize_decides(
    make: Callable[..., tuple[Flask, Bound]], answer: Any, status: int
) -> None:
    """Truthy lets in; it may abort or answer itself."""
    app, _ = make(authorize=answer)

    assert {status} == statuses(app)


def test_authorize_that_fails_lets_nobody_in(
    make: Callable[..., tuple[Flask, Bound]],
) -> None:
    """403 with nothing of the error."""

    def broken() -> bool:
        raise RuntimeError("hunter2")

    app, _ = make(authorize=broken)
    production, _ = make(authorize=broken, environment="production")

    assert not any(b"hunter2" in body for _, body in sweep(app))
    assert {(403, b"closed\n")} == sweep(production)


class User(UserMixin):
    """A user; *admin* or not."""

    def __init__(self, name: str, admin: bool) -> None:
        self.id = name
        self.is_admin = admin


@pytest.mark.parametrize(
    ("name", "status"), [("root", 200), ("eve", 403), ("deleted", 403), ("", 401)]
)
def test_flask_login_admin_enters(
    make: Callable[..., tuple[Flask, Bound]], name: str, status: int
) -> None:
    """Anonymous 401, not an admin 403, a user who was deleted meanwhile 403."""
    app, _ = make(environment="production")
    users = {
        "root": User("root", True),
        "eve": User("eve", False),
        "deleted": User("deleted", True),
    }
    manager = LoginManager(app)
    manager.user_loader(users.get)

    @app.get("/login")
    def login() -> str:
        login_user(users[name])
        return ""

    client = app.test_client()
    if name:
        client.get("/login")
    users.pop("deleted")

    assert {status} == {
        client.get(path).status_code for path in ADMIN_PATHS if not path.endswith("nothing")
    }


def test_flask_login_locks_no_developer_out(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """In development this machine needs no login; another one does, and so it is with a token."""
    app, _ = make()
    LoginManager(app).user_loader(lambda name: None)
    with_token, _ = make(admin_token="t0ken")
    LoginManager(with_token).user_loader(lambda name: None)

    assert ({200}, {401}) == (statuses(app), statuses(app, environ=FAR))
    assert {401} == statuses(with_token)


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def basic(credentials: str) -> dict[str, str]:
    """The header that a browser makes of what was typed."""
    return {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}


@pytest.mark.parametrize(
    ("credentials", "status"),
    [(":t0k:é", 200), ("anna:t0k:é", 200), ("anna:", 401), ("anna:t0k", 401), ("t0k:é", 401),
     ("", 401), ("x:" + "t" * 9000, 401)],
)  # fmt: skip
def test_browser_opens_pages_with_the_token(
    make: Callable[..., tuple[Flask, Bound]], credentials: str, status: int
) -> None:
    """HTTP Basic: any user name, the token is the password."""
    app, _ = make(admin_token="t0k:é", environment="production")

    assert {status} == statuses(app, environ=FAR, **BROWSER, **basic(credentials))


@pytest.mark.parametrize("word", ["Basic", "Basic ", "Basic ***", "Basic Og", "basic Og=="])
def test_malformed_basic_credentials_open_nothing(
    make: Callable[..., tuple[Flask, Bound]], word: str
) -> None:
    """With a token 401, without one the pages do not exist; the empty password is no token."""
    for arguments, status in (({"admin_token": "t0ken"}, 401), ({}, 404)):
        app, _ = make(environment="production", **arguments)
        assert {status} == statuses(app, environ=FAR, Authorization=word, **BROWSER)


def test_only_a_browser_gets_the_login_form(
    make: Callable[..., tuple[Flask, Bound]],
) -> None:
    """By GET, for HTML, where a token is configured: one body on every path."""
    app, _ = make(admin_token="t0ken", environment="production")
    client = app.test_client()
    asked = [
        client.open(ADMIN, method=method, headers=headers)
        for method in ("GET", "PUT")
        for headers in (BROWSER, {"Accept": "*/*"})
    ]
    hidden, _ = make(environment="production")

    assert [401] * 4 == [answer.status_code for answer in asked]
    assert [["Bearer"]] * 4 == [a.headers.getlist("WWW-Authenticate") for a in asked]
    assert [True, False, False, False] == ['type="password"' in answer.text for answer in asked]
    assert {(401, asked[0].data)} == sweep(app, **BROWSER)
    assert "WWW-Authenticate" not in get(hidden, ADMIN, **BROWSER).headers
    assert {(404, get(hidden, "/no/such/page", **BROWSER).data)} == sweep(hidden, **BROWSER)


def test_a_403_tells_the_developer_what_to_set(
    make: Callable[..., tuple[Flask, Bound]],
) -> None:
    """And nobody else."""
    app, _ = make(authorize=lambda: False)
    production, _ = make(authorize=lambda: False, environment="production")

    assert "MONITOR_ADMIN_TOKEN" in get(app, ADMIN).text
    assert "closed\n" == get(app, ADMIN, environ=FAR).text == get(production, ADMIN).text


# --- what the pages say --------------------------------------------------------------------------
def test_page_shows_what_is_known_and_runs_nothing(
    make: Callable[..., tuple[Flask, Bound]],
) -> None:
    """Escaped, strict CSP, never stored, no script but our own file."""
    app, bound = make()
    bound.monitor.register_health_check("db", lambda: {"status": "degraded", "message": "<script>"})
    answer, health = get(app, ADMIN), get(app, f"{ADMIN}/health")

    assert "CPU usage</th><td>12.5 %" in answer.text
    assert "&lt;script&gt;" in health.text
    for page in (answer, health):
        scripts = re.findall(r"<script(.*?)</script>", page.text, re.DOTALL)
        assert [True] == [bool(re.fullmatch(r' src="[^"]+" defer>', found)) for found in scripts]
        assert not re.search(r"<style|\sstyle=|\son\w+=", page.text)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert ("no-store", "nosniff", "DENY") == tuple(
        answer.headers[h] for h in ("Cache-Control", "X-Content-Type-Options", "X-Frame-Options")
    )


def test_every_page_has_a_json_twin(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """System, requests, health, alerts, errors, history, telemetry."""
    app, bound = make()
    bound.monitor.register_health_check("db", lambda: True)
    bound.errors = [{"type": "ValueError", "count": 3}]

    def api(path: str) -> Any:
        return get(app, f"{ADMIN}/api/{path}").get_json()

    assert 12.5 == api("system")["cpu_percent"]
    assert "healthy" == api("health")["checks"][0]["status"]
    assert "total" in api("requests")
    assert {"alerts", "silences", "notices"} == set(api("alerts"))
    assert [{"type": "ValueError", "count": 3}] == api("errors")
    assert {"metric": "cpu_percent", "samples": []} == api("history/cpu_percent")
    assert "healthy" == api("health/db/history")["transitions"][0]["status"]
    assert {"sinks": {}} == api("telemetry")


@pytest.mark.parametrize(
    "query", ["limit=1e9", "limit=-1", "limit=x", "limit=nan", "since=1e999", "since=-5", "since="]
)
def test_odd_parameters_are_clamped(make: Callable[..., tuple[Flask, Bound]], query: str) -> None:
    """W3: never an error, never everything."""
    app, bound = make()
    bound.errors = [{"n": n} for n in range(1000)]

    assert len(get(app, f"{ADMIN}/api/errors?{query}").get_json()) <= 200
    assert 200 == get(app, f"{ADMIN}/api/history/cpu_percent?{query}").status_code


def test_unknown_metric_is_404_with_the_known_ones(
    make: Callable[..., tuple[Flask, Bound]],
) -> None:
    """A typo is told what fits."""
    app, _ = make()
    answer = get(app, f"{ADMIN}/api/history/cpu")

    assert 404 == answer.status_code
    assert "metric='cpu': expected one of cpu_percent, memory_percent" in answer.get_json()["error"]
    assert 404 == get(app, f"{ADMIN}/api/history/../../etc/passwd%00").status_code


# --- beside the application's own routes ---------------------------------------------------------
@pytest.mark.parametrize("ours_first", [True, False])
def test_applications_own_route_wins(tmp_path: Path, ours_first: bool) -> None:
    """A path the application uses itself stays the application's, in either order."""
    bound = Bound(tmp_path)
    app = Flask("shop")
    if ours_first:
        serve(app, site(bound))

    @app.get("/health")
    def health() -> Response:
        return Response("mine")

    @app.post("/readyz")
    def readyz() -> Response:
        return Response("posted")

    if not ours_first:
        serve(app, site(bound))
    answers = [get(app, "/health").text, get(app, "/readyz").status_code]
    posted = app.test_client().post("/readyz").text
    bound.close()

    assert (["mine", 200], "posted") == (answers, posted)


def test_routes_are_added_once(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """A second set-up adds nothing."""
    app, bound = make()
    before = len(list(app.url_map.iter_rules()))
    routes.register(app, site(bound))

    assert before == len(list(app.url_map.iter_rules()))


def test_prefix_and_metrics_path_can_be_moved(make: Callable[..., tuple[Flask, Bound]]) -> None:
    """PROLETTO_ADMIN_PREFIX, PROLETTO_METRICS_PATH."""
    app, _ = make(admin_prefix="/ops/", metrics_path="/internal/metrics")

    assert [200, 200, 200, 404, 404] == [
        get(app, path).status_code
        for path in ("/ops", "/ops/api/system", "/internal/metrics", "/metrics", ADMIN)
    ]
