"""Programs under test as child processes: any server, one application, a scripted collector."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import free_port
from tests.waiting import PATIENCE_S, until

APP = """
import logging, os
from flask import Flask, jsonify
from proletto_otel import setup_telemetry

app = Flask(__name__)
VERSION = 1


@app.get("/item/<int:item>")
def item(item):
    logging.getLogger("shop").info("item asked for", extra={"item": item})
    return jsonify(pid=os.getpid(), version=VERSION)


telemetry = setup_telemetry(app, app_name="shop", log_console=False)
"""
ROUTE = "/item/<int:item>"
COUNT = "http_server_request_duration_seconds_count"
Line = dict[str, Any]


class Program:
    """A child process with everything that it writes in *directory*.

    Args:
        directory: Its working directory; the application is `shop.py` there.
        collector: Base URL for OTLP.
        settings: More environment variables.
    """

    def __init__(self, directory: Path, collector: str, **settings: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        if not self.app.exists():
            self.app.write_text(APP)
        ours = ("OTEL_", "PROLETTO_", "MONITOR_", "WERKZEUG_")
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {
            "LOG_DIR": str(self.logs),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "PYTHONDONTWRITEBYTECODE": "1",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def app(self) -> Path:
        """The application's source."""
        return self.directory / "shop.py"

    @property
    def logs(self) -> Path:
        """Where the log files are."""
        return self.directory / "logs"

    @property
    def output(self) -> str:
        """What it printed."""
        return (self.directory / "output").read_text()

    def start(self, *command: str, serves: bool = True) -> None:
        """Start; wait until it answers if it *serves*."""
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=self.directory, env=self._environment, stdout=output, stderr=output
            )
        if serves:
            until(self._answers, "the server answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.output
        with suppress(OSError, http.client.HTTPException):
            return self.get("/livez")[0] == 200
        return False

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """One request on a connection of its own; headers by name with `_` for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers=sent)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def ask(self, ids: list[str], clients: int = 8) -> set[int]:
        """A request for each of *ids*, several at once; the processes that answered."""

        def one(number: int) -> int:
            status, body = self.get(f"/item/{number}", X_Request_ID=ids[number])
            assert status == 200, body
            return int(json.loads(body)["pid"])

        with ThreadPoolExecutor(clients) as pool:
            return set(pool.map(one, range(len(ids))))

    def counted(self) -> int:
        """Requests that one scrape of one worker tells of."""
        families = text_string_to_metric_families(self.get("/metrics")[1].decode())
        samples = [sample for family in families for sample in family.samples]
        mine = [s for s in samples if s.name == COUNT and s.labels.get("http_route") == ROUTE]
        return sum(int(sample.value) for sample in mine)

    def lines(self, logger: str) -> list[Line]:
        """What a logger wrote to the structured file."""
        text = (self.logs / "shop_structured.json").read_text()
        return [line for line in map(json.loads, text.splitlines()) if line["logger"] == logger]

    def end(self, number: int = signal.SIGTERM) -> float:
        """Send a signal; the seconds until the process ended."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)
        return time.monotonic() - began

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def abandon(self) -> None:
        """End what still runs."""
        if self.process is None or self.process.poll() is not None:
            return
        for process in self.family():
            with suppress(psutil.Error):
                process.kill()
        self.process.wait(PATIENCE_S)


@contextmanager
def program(directory: Path, collector: str, **settings: str) -> Iterator[Program]:
    """A program that does not outlive the block."""
    made = Program(directory, collector, **settings)
    try:
        yield made
    finally:
        made.abandon()
