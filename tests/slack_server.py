"""A local Slack: webhooks and `chat.postMessage`, as strict about payloads as the real one.

with SlackServer() as slack:
    slack.answer(429, {"Retry-After": "2"})      # what the next requests get
    ... slack.webhook_url, slack.api_url ...
    assert slack.messages == []
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

TOKEN = "-".join(("xoxb", "test", "token"))
CHANNEL = "C0TEST"


@dataclass
class Received:
    """One request."""

    path: str
    body: dict[str, Any]
    at: float
    """Monotonic seconds."""
    status: int = 200

    @property
    def raw(self) -> str:
        """The payload as text."""
        return json.dumps(self.body, ensure_ascii=False)

    @property
    def title(self) -> str:
        """The header block's text."""
        return str(self.body["blocks"][0]["text"]["text"])


@dataclass
class Planned:
    """What one request gets instead of 200."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    delay_s: float = 0.0


class SlackServer:
    """Serves on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self._plan: deque[Planned] = deque()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._serve(self)

            def do_GET(self) -> None:
                """A page, as the target of a redirect has one; it takes no message."""
                outer.requests.append(Received(self.path, {}, time.monotonic(), 299))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "12")
                self.end_headers()
                self.wfile.write(b'{"ok": true}')

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._lock = threading.Lock()

    @property
    def webhook_url(self) -> str:
        """An incoming webhook."""
        return f"http://127.0.0.1:{self.port}/services/T0/B0/{'x' * 24}"

    @property
    def api_url(self) -> str:
        """Base of the bot API."""
        return f"http://127.0.0.1:{self.port}/api/"

    @property
    def messages(self) -> list[Received]:
        """Requests that were taken."""
        return [r for r in list(self.requests) if r.status == 200]

    def answer(self, status: int, headers: dict[str, str] | None = None, *, times: int = 1,
               body: str = "", delay_s: float = 0.0) -> None:  # fmt: skip
        """Answer the next requests so."""
        self._plan.extend([Planned(status, headers or {}, body, delay_s)] * times)

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        is_json = "json" in handler.headers.get("Content-Type", "")
        if is_json:
            body = json.loads(raw)
        else:
            body = {k: v[0] for k, v in parse_qs(raw.decode()).items()}
            body = {k: json.loads(v) if k == "blocks" else v for k, v in body.items()}
        received = Received(handler.path, body, time.monotonic())
        with self._lock:
            planned = self._plan.popleft() if self._plan else None
            status, text = self._judge(handler, received)
            if planned is not None:
                status, text = planned.status, planned.body or f"planned {planned.status}"
            received.status = (
                status
                if text in ("ok",) or text.startswith('{"ok": true')
                else (status if status != 200 else 499)
            )
            self.requests.append(received)
        if planned is not None and planned.delay_s:
            time.sleep(planned.delay_s)
        handler.send_response(status)
        for name, value in (planned.headers if planned else {}).items():
            handler.send_header(name, value)
        api = handler.path.startswith("/api/")
        handler.send_header("Content-Type", "application/json" if api else "text/plain")
        handler.send_header("Content-Length", str(len(text.encode())))
        handler.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it did not wait
            handler.wfile.write(text.encode())

    def _judge(self, handler: BaseHTTPRequestHandler, received: Received) -> tuple[int, str]:
        problem = misfit(received.body)
        if handler.path.startswith("/services/"):
            return (400, problem) if problem else (200, "ok")
        if handler.path != "/api/chat.postMessage":
            return 404, "no_such_method"
        if handler.headers.get("Authorization") != f"Bearer {TOKEN}":
            problem = "invalid_auth"
        elif received.body.get("channel") != CHANNEL:
            problem = "channel_not_found"
        return 200, json.dumps({"ok": not problem, **({"error": problem} if problem else {})})

    def __enter__(self) -> SlackServer:
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def misfit(body: dict[str, Any]) -> str:
    """Why the real Slack would refuse this payload; empty when it would not."""
    if not body.get("text") and not body.get("blocks"):
        return "no_text"
    blocks = body.get("blocks") or []
    if len(blocks) > 50:
        return "invalid_blocks"
    limits = {"header": 150, "section": 3000, "context": 3000}
    for block in blocks:
        texts = [block["text"]] if "text" in block else []
        fields = block.get("fields", [])
        if len(fields) > 10 or any(len(f["text"]) > 2000 for f in fields):
            return "invalid_blocks"
        for text in [*texts, *fields, *block.get("elements", [])]:
            if not 1 <= len(text["text"]) <= limits[block["type"]]:
                return "invalid_blocks"
            if text["type"] not in ("plain_text", "mrkdwn"):
                return "invalid_blocks"
        if block["type"] == "header" and texts[0]["type"] != "plain_text":
            return "invalid_blocks"
    return ""
