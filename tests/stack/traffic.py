"""Traffic for `shop`: which requests, what they must answer, and gunicorn that serves them."""

from __future__ import annotations

import http.client
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import free_port
from tests.stack.servers import ROOT, Server, wait_for
from tests.waiting import PATIENCE_S, slowness

CLIENTS = 8


@dataclass(frozen=True, slots=True)
class Request:
    """One request and what it must look like in the telemetry."""

    request_id: str
    method: str
    path: str
    route: str
    """Empty where no route matches."""
    status: int

    @property
    def fails(self) -> bool:
        """Whether the application raises."""
        return self.status == 500

    @property
    def span_name(self) -> str:
        """Method and route template, as the semantic conventions want it."""
        return f"{self.method} {self.route}".rstrip()


def requests(prefix: str, count: int = 300) -> list[Request]:
    """*count* requests, a tenth of them failing, each with an ID of its own."""
    kinds = (
        [("GET", "/orders/{}", "/orders/<int:order_id>", 200)] * 6
        + [("POST", "/orders", "/orders", 201)]
        + [("GET", "/orders/0", "/orders/<int:order_id>", 404)]
        + [("GET", "/nowhere/{}", "", 404)]
        + [("POST", "/orders/{}/payment", "/orders/<int:order_id>/payment", 500)]
    )
    made = []
    for number in range(1, count + 1):
        method, path, route, status = kinds[number % len(kinds)]
        request_id = f"{prefix}-{number:04d}"
        made.append(Request(request_id, method, path.format(number), route, status))
    return made


def expected_counts(made: list[Request]) -> Counter[tuple[str, str, str]]:
    """How often each (method, route, status) must have been counted."""
    return Counter((request.method, request.route, str(request.status)) for request in made)


@dataclass
class Service:
    """`shop` under gunicorn."""

    name: str
    folder: Path
    otlp: str
    options: tuple[str, ...]
    port: int = 0
    metric_interval_ms: int = 1000
    more: Mapping[str, str] = field(default_factory=dict)
    """More environment variables."""

    def start(self) -> None:
        """Start gunicorn; it accepts connections when this returns or soon after."""
        self.port = free_port()
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}"]
        command += [*self.options, "tests.stack.shop:app"]
        self.folder.mkdir(exist_ok=True)
        self.server = Server(command, self.folder / "console.log", self._env())

    def _env(self) -> dict[str, str]:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp,
            "OTEL_SERVICE_NAME": self.name,
            "OTEL_METRIC_EXPORT_INTERVAL": str(self.metric_interval_ms),
            "APP_NAME": "shop",
            "FLASK_ENV": "production",
            "LOG_DIR": str(self.folder / "logs"),
            "PROLETTO_STATE_DIR": str(self.folder / "state"),
            "PYTHONPATH": str(ROOT),
            # As users run it: our own failures are counted, not raised.
            "PROLETTO_STRICT": "0",
        }
        return {**os.environ, **env, **self.more}

    def call(self, request: Request) -> None:
        """Send one request; status and request ID of the answer must be right."""
        status, request_id, _ = self.fetch(request.method, request.path, request.request_id)
        assert (request.status, request.request_id) == (status, request_id)

    def call_all(self, made: list[Request]) -> None:
        """Send them all, a few at a time."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(self.call, made))

    def fetch(self, method: str, path: str, request_id: str = "") -> tuple[int, str | None, str]:
        """Status, request ID and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        headers = {"X-Request-ID": request_id} if request_id else {}
        try:
            self._connect(connection)
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers["X-Request-ID"], answer.read().decode()
        except OSError as error:
            raise AssertionError(f"{method} {path}: {error!r}; {self.server.tail()}") from error
        finally:
            connection.close()

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        def connected() -> bool:
            assert self.server.process.poll() is None, self.server.tail()
            try:
                connection.connect()
            except ConnectionRefusedError:
                return False
            return True

        wait_for("gunicorn to listen", connected)

    def terminate(self, seconds: float) -> None:
        """SIGTERM; it must be gone within *seconds*, by itself, or more on a busy machine."""
        self.server.process.terminate()
        began = time.monotonic()
        assert 0 == self.server.process.wait(PATIENCE_S), self.server.tail()
        assert time.monotonic() - began < seconds * slowness()
