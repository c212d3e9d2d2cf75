"""A real gunicorn with a small application, its traffic, and its page of metrics."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import free_port
from tests.waiting import PATIENCE_S, until

APP = """
import os
from flask import Flask, jsonify
from proletto_otel import setup_telemetry

app = Flask(__name__)
for number in range(12):
    def view(item, number=number):
        if number == 11:
            return jsonify(pid=os.getpid()), 503
        return jsonify(pid=os.getpid())
    app.add_url_rule(f"/r{number}/<int:item>", f"r{number}", view)


setup_telemetry(app)
"""
ROUTES = 12
COUNT = "http_server_request_duration_seconds_count"
Key = tuple[str, str]
"""Route template and status code."""


def key_of(number: int) -> Key:
    """What the server should count a request to route *number* under."""
    return f"/r{number}/<int:item>", "503" if number == ROUTES - 1 else "200"


class Server:
    """gunicorn as a child process, with everything it writes in *directory*."""

    def __init__(self, directory: Path, *options: str, **settings: str) -> None:
        (directory / "shop.py").write_text(APP)
        self.directory = directory
        self.port = free_port()
        self._output = (directory / "output").open("w")
        environment = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("OTEL_", "PROLETTO_", "MONITOR_"))
        }
        environment |= {"LOG_DIR": str(directory / "logs"), "PROLETTO_LOG_CONSOLE": "0"}
        environment |= {"OTEL_SDK_DISABLED": "1"} | settings
        bind = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-b", bind, *options, "shop:app"],
            cwd=directory, env=environment, stdout=self._output, stderr=self._output,
        )  # fmt: skip

    def get(self, path: str) -> tuple[int, bytes]:
        """One request on a connection of its own.

        Raises:
            OSError: when the worker died.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def counts(self) -> Counter[Key]:
        """Requests by route and status, as one scrape of one worker tells."""
        status, body = self.get("/metrics")
        assert status == 200, body
        found: Counter[Key] = Counter()
        for family in text_string_to_metric_families(body.decode()):
            for sample in family.samples:
                route = sample.labels.get("http_route", "")
                if sample.name == COUNT and route.startswith("/r"):
                    found[route, sample.labels["http_response_status_code"]] += int(sample.value)
        return found

    def pids(self) -> list[int]:
        """The workers."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def stop(self) -> None:
        """SIGTERM, as a service manager would."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._output.close()


@contextmanager
def serving(directory: Path, *options: str, **settings: str) -> Iterator[Server]:
    """A server that answers, with all its workers: one may answer before the last is there."""
    server = Server(directory, *options, **settings)
    workers = int(options[options.index("-w") + 1]) if "-w" in options else 1
    try:
        until(lambda: _answers(server))
        until(lambda: len(server.pids()) >= workers)
        yield server
    finally:
        server.stop()


class Traffic:
    """Clients that go round the routes until each sent its share."""

    def __init__(self, server: Server, requests: int, clients: int = 4) -> None:
        self.answered: Counter[Key] = Counter()
        self.broken: Counter[Key] = Counter()
        """Requests whose worker died: it may have counted them, or not."""
        self._server = server
        self._lock = threading.Lock()
        share = requests // clients
        self._threads = [threading.Thread(target=self._run, args=(share,)) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    @property
    def sent(self) -> int:
        """Requests that have ended, well or not."""
        with self._lock:
            return self.answered.total() + self.broken.total()

    @property
    def running(self) -> bool:
        """Whether some client is still at work."""
        return any(thread.is_alive() for thread in self._threads)

    def wait(self) -> None:
        """Until all clients are done."""
        for thread in self._threads:
            thread.join()

    def _run(self, share: int) -> None:
        for i in range(share):
            key, into = key_of(i % ROUTES), self.answered
            try:
                self._server.get(f"/r{i % ROUTES}/{i}")
            except OSError:
                into = self.broken
            with self._lock:
                into[key] += 1


def _answers(server: Server) -> bool:
    assert server.process.poll() is None, (server.directory / "output").read_text()
    with suppress(OSError):
        return server.get("/livez")[0] < 500
    return False
