"""Collector and Grafana as a script: they answer as the real ones do, and break on demand."""

from __future__ import annotations

import base64
import json
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from proletto_otel.stack import dashboard_uids
from tests.cli import scripted_contact

PROXY = "/api/datasources/proxy/uid/"
BOARDS = [{"uid": value} for name, value in vars(dashboard_uids).items() if name.isupper()]
RULES = {"data": {"groups": [{"rules": [{"name": "Watchdog", "health": "ok"}]}]}}


class ScriptedStack:
    """One server for all parts; `broken` says which path prefixes answer with which status."""

    def __init__(self) -> None:
        self.broken: dict[str, int] = {}
        self.answers: dict[str, Any] = {}
        """Path prefix -> JSON, in place of the usual one."""
        self.password = ""
        """Of Grafana's user."""
        self.user = "admin"
        self.clock_off_s = 0.0
        self.taken: set[str] = set()
        """Signals that arrived."""
        self.tenants: set[str | None] = set()
        """The header `X-Tenant` of every export."""
        self.posted: list[Any] = []
        """What was sent to the webhook."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.contact = scripted_contact.Contact(f"{self.url}/hook")
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """The address of all parts."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        """End the server."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def answer(self, path: str, query: str) -> Any:
        """What a path answers when nothing is broken."""
        for prefix, value in self.answers.items():
            if path.startswith(prefix):
                return value
        if path == "/api/search":
            return BOARDS
        if path == scripted_contact.READ:
            return self.contact.shown()
        if path.startswith("/api/prometheus/"):
            return RULES
        if path.startswith(f"{PROXY}prometheus/api/v1/query_exemplars"):
            return {"data": [{"exemplars": []}] if "traces" in self.taken else []}
        if path.startswith(f"{PROXY}prometheus/"):
            return {"data": {"result": [{}] if "metrics" in self.taken else []}}
        if path.startswith(f"{PROXY}loki/"):
            return {"data": {"result": [{"values": [1]}] if "logs" in self.taken else []}}
        return {"version": "12.4.10"}


def _handler(stack: ScriptedStack) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, urlsplit(self.path).query
            if path == "/app":
                self._send(200, {}, {"X-Request-ID": self.headers.get("X-Request-ID", "")})
            else:
                self._send(self._status(path), stack.answer(path, query))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path
            status = self._status(path)
            if path.startswith("/v1/"):
                stack.tenants.add(self.headers.get("X-Tenant"))
            if path.startswith("/v1/") and body and status == 200:
                stack.taken.add(path.removeprefix("/v1/"))
            elif path == "/hook":
                stack.posted.append(json.loads(body))
            answer: Any = {}
            if path == scripted_contact.TEST and status == 200:
                status, answer = stack.contact.tested(json.loads(body))
            self._send(status, answer)

        def _status(self, path: str) -> int:
            found = [status for start, status in stack.broken.items() if path.startswith(start)]
            return found[0] if found else self._of_grafana(path)

        def _of_grafana(self, path: str) -> int:
            """Grafana wants a login, and JSON to be called so."""
            if not path.startswith("/api/") or path == "/api/health":
                return 200
            login = base64.b64encode(f"{stack.user}:{stack.password}".encode()).decode()
            if self.headers.get("Authorization") != f"Basic {login}":
                return 401
            is_json = self.headers.get("Content-Type") == "application/json"
            return 200 if self.command == "GET" or is_json else 422

        def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            is_protobuf = self.path.startswith("/v1/")
            body = b"" if is_protobuf else json.dumps(value).encode()
            self.send_response_only(status)
            self.send_header("Date", formatdate(_now() + stack.clock_off_s, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Stay quiet."""

    return Handler


def _now() -> float:
    import time

    return time.time()
