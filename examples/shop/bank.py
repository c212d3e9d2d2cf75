"""The bank: a tiny HTTP service that the shop depends on, with an off switch.

python bank.py 9001
curl -X POST http://127.0.0.1:9001/off     # and /on
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DECLINED_EVERY = 20
"""Every so many orders one is declined, so that there is something to see."""


class Bank(ThreadingHTTPServer):
    """Accepts charges while it is open."""

    daemon_threads = True
    is_open = True


class Desk(BaseHTTPRequestHandler):
    """Serves one request of the bank."""

    server: Bank

    def do_GET(self) -> None:
        """`/health`: 200 while open, else 503."""
        self._answer(200 if self.server.is_open else 503, {"open": self.server.is_open})

    def do_POST(self) -> None:
        """`/on`, `/off`, `/charges`."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path in ("/on", "/off"):
            self.server.is_open = self.path == "/on"
            self._answer(200, {"open": self.server.is_open})
        elif not self.server.is_open:
            self._answer(503, {"error": "closed"})
        else:
            self._answer(200, decide(json.loads(body)))

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The bank keeps no log; the shop does."""


def decide(charge: dict[str, int]) -> dict[str, object]:
    """Whether the bank accepts a charge."""
    accepted = charge["order_id"] % DECLINED_EVERY != 0
    return {"accepted": accepted, "reason": "" if accepted else "card expired"}


if __name__ == "__main__":
    try:
        Bank(("127.0.0.1", int(sys.argv[1])), Desk).serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
