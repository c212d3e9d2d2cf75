"""Who does not see the admin pages and /metrics: behind a real nginx, by method, by spelling."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from proletto_otel import setup_telemetry
from proletto_otel.testing import TelemetryCapture
from tests.servers import free_port
from tests.waiting import PATIENCE_S, until

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
ADMIN = "/admin/monitoring"
CLOSED_PATHS = (ADMIN, f"{ADMIN}/api/system", "/metrics")
PROXIES = {
    "plain": "",
    "host": "proxy_set_header Host $http_host;",
    "proto": "proxy_set_header X-Forwarded-Proto $scheme;",
    "via": 'proxy_http_version 1.1; proxy_set_header Via "1.1 edge";',
    "cloudflare": "proxy_http_version 1.1; proxy_set_header CF-Connecting-IP $remote_addr;",
    "client-ip": "proxy_http_version 1.1; proxy_set_header True-Client-IP $remote_addr;",
}
pytestmark = pytest.mark.skipif(
    not os.path.exists(NGINX) and not os.environ.get("PROLETTO_REQUIRE_ALL"),
    reason="nginx is not installed",
)


@contextlib.contextmanager
def served(app: Flask) -> Iterator[int]:
    """The application on a real server; its port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(PATIENCE_S)


@contextlib.contextmanager
def proxied(directory: Path, port: int) -> Iterator[dict[str, int]]:
    """A real nginx before *port*: the port of each kind of configuration."""
    ports = {name: free_port() for name in PROXIES}
    servers = "\n".join(
        f"server {{ listen 127.0.0.1:{ports[name]};"
        f" location / {{ proxy_pass http://127.0.0.1:{port}; {lines} }} }}"
        for name, lines in PROXIES.items()
    )
    temporary = " ".join(
        f"{kind}_temp_path {directory};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""
    (directory / "nginx.conf").write_text(
        f"{user} daemon off; master_process off; pid {directory}/pid; error_log {directory}/errors;"
        f" events {{}} http {{ access_log off; {temporary} {servers} }}"
    )
    process = subprocess.Popen([NGINX, "-p", str(directory), "-c", str(directory / "nginx.conf")])
    try:
        until(lambda: all(map(_listens, ports.values())))
        yield ports
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def asked(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    """Status, body and headers of one request over a real connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def made(environment: str | None, token: str, **more: Any) -> Flask:
    """A shop with that environment and token; nothing else is said."""
    app = Flask("shop")
    said = {"environment": environment} if environment else {}
    setup_telemetry(app, log_console=False, admin_token=token, metrics_token=token, **said, **more)
    return app


@pytest.mark.parametrize("token", ["", "0pen-sesame"])
@pytest.mark.parametrize("environment", [None, "development", "production"])
def test_only_the_authenticated_see_anything_behind_a_proxy(
    telemetry_capture: TelemetryCapture, tmp_path: Path, environment: str | None, token: str
) -> None:
    """A real nginx on this machine, whatever it adds, whatever name the client asks for."""
    closed = {401} if token else {403, 404}
    with served(made(environment, token)) as port, proxied(tmp_path, port) as ports:
        for proxy in ports.values():
            for host in ("localhost", "127.0.0.1", "shop.example"):
                found = {asked(proxy, path, Host=host)[0] for path in CLOSED_PATHS}
                assert found <= closed, (proxy, host)
                assert b"checks" not in asked(proxy, "/health", Host=host)[1]
            key = {"Authorization": f"Bearer {token}"}
            opened = {asked(proxy, path, **key)[0] for path in CLOSED_PATHS}
            assert opened == ({200} if token else {403, 404})


@pytest.mark.parametrize(
    ("environment", "debug", "status"),
    [(None, False, 404), (None, True, 200), ("development", False, 200), ("production", True, 404)],
)
def test_development_has_to_be_said(
    telemetry_capture: TelemetryCapture,
    monkeypatch: pytest.MonkeyPatch,
    environment: str | None,
    debug: bool,
    status: int,
) -> None:
    """The default environment is what a server forgot to set; debug, or a setting, says it."""
    monkeypatch.delenv("FLASK_ENV", raising=False)
    app = made(environment, "")
    app.debug = debug

    assert status == app.test_client().get(ADMIN).status_code


def test_the_reloader_says_it_too(
    telemetry_capture: TelemetryCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`flask run --reload` is no server of anybody's."""
    monkeypatch.delenv("FLASK_ENV", raising=False)
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")

    assert 200 == made(None, "").test_client().get(ADMIN).status_code


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X")
SPELLINGS = (
    ADMIN, f"{ADMIN}/", f"/{ADMIN}", f"{ADMIN}//", f"{ADMIN}/api", f"{ADMIN}/api/system",
    f"{ADMIN}/api/system/", f"{ADMIN}//api/system", f"{ADMIN}/api//system", "/admin//monitoring",
    f"{ADMIN}/%2e%2e", f"{ADMIN}/api/health/x/history", "/admin/monitoring%2fapi%2fsystem",
)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_hidden_pages_are_hidden_by_every_method_and_spelling(
    telemetry_capture: TelemetryCapture, method: str
) -> None:
    """404 as for any page that does not exist: no 405 with `Allow`, no redirect to the page."""
    client = made("production", "").test_client()
    missing = client.open("/no/such/page", method=method)
    found = [client.open(path, method=method) for path in SPELLINGS]

    assert {(404, missing.data)} == {(answer.status_code, answer.data) for answer in found}
    assert not any("Allow" in answer.headers or "Location" in answer.headers for answer in found)


@pytest.mark.parametrize("method", METHODS)
def test_with_a_token_every_method_asks_for_it(
    telemetry_capture: TelemetryCapture, method: str
) -> None:
    """And with it only reading is allowed."""
    client = made("production", "0pen").test_client()
    key = {"Authorization": "Bearer 0pen"}
    answers = [client.open(ADMIN, method=method, headers=h).status_code for h in ({}, key)]

    assert [401, 200 if method in ("GET", "HEAD") else 405] == answers


def test_extensions_that_list_routes_find_nothing_odd(
    telemetry_capture: TelemetryCapture,
) -> None:
    """APIFlask documents every route with every method."""
    from apiflask import APIFlask

    app = APIFlask("shop")
    setup_telemetry(app, log_console=False, environment="development")
    client = app.test_client()

    assert [200, 200] == [client.get(path).status_code for path in ("/openapi.json", ADMIN)]
