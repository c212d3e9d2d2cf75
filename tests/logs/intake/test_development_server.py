"""`flask run` with our set-up: each request once, a readable banner, no way in for who reads it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.core.conventions import MESSAGE
from tests.servers import free_port
from tests.waiting import PATIENCE_S, until

APP = """
import logging, os
from flask import Flask
from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger

app = Flask("shop_app")
setup_telemetry(app, log_dir=os.environ["HERE"])
if not app.logger.handlers:
    app.logger.addHandler(logging.StreamHandler())

@app.get("/hi")
def hi():
    app.logger.debug("debugging")
    app.logger.warning("served")
    return "hi"
"""


class Served:
    """What one request to `flask run --debug` left."""

    def __init__(self, directory: Path) -> None:
        (directory / "shop.py").write_text(APP)
        port = free_port()
        environment = {
            **os.environ, "HERE": str(directory), "OTEL_SDK_DISABLED": "1", "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "",
        }  # fmt: skip
        out, error = directory / "out", directory / "err"
        with out.open("w") as to_out, error.open("w") as to_error:
            command = ["-m", "flask", "--app", "shop", "run", "--debug", "--port", str(port)]
            server = subprocess.Popen(
                [sys.executable, *command], cwd=directory, env=environment, stdout=to_out,
                stderr=to_error, start_new_session=True,
            )  # fmt: skip
        try:
            until(lambda: _listens(port))
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/hi", timeout=PATIENCE_S
            ) as answer:
                assert b"hi" == answer.read()
            until(lambda: "GET /hi" in out.read_text())
            until(lambda: "PIN" in out.read_text() + error.read_text())
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(PATIENCE_S)
        self.out, self.error = out.read_text(), error.read_text()
        self.text = (directory / "proletto.log").read_text()
        lines = (directory / "proletto_structured.json").read_text().splitlines()
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in lines]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """One run of the real server for all tests of this file."""
    return Served(tmp_path_factory.mktemp("flask"))


def test_each_request_is_printed_once(served: Served) -> None:
    """Our access line is there, werkzeug's line is not."""
    printed = [line for line in (served.out + served.error).splitlines() if "GET /hi" in line]

    assert 1 == len(printed)
    assert 1 == served.text.count("GET /hi")


def test_what_the_application_logs_is_printed_once(served: Served) -> None:
    """An app that adds a handler of its own where `app.logger` has none finds Flask's in place."""
    assert 1 == (served.out + served.error).count("- served ")


def test_debug_lines_of_the_application_appear(served: Served) -> None:
    """`app.logger.debug` is recorded in debug mode, as Flask promises."""
    assert ["debugging"] == [line[MESSAGE] for line in served.lines if line["level"] == "DEBUG"]


def test_banner_is_readable(served: Served) -> None:
    """Each line of the banner is one line, without colours."""
    banner = [line[MESSAGE] for line in served.lines if line["logger"] == "werkzeug"]

    assert [" * Running on http"] == [line[:18] for line in banner if "Running on" in line]
    assert any(line.startswith("WARNING: This is a development server") for line in banner)
    assert not [line for line in banner if "\\n" in line or "\\x1b" in line or "[31m" in line]


def test_debugger_pin_is_shown_and_recorded_nowhere(served: Served) -> None:
    """Who sees the terminal can use the debugger; who reads the files cannot."""
    assert 1 == served.error.count("Debugger PIN: ")
    pin = served.error.split("Debugger PIN: ")[1].split()[0]
    assert 11 == len(pin)
    assert pin not in served.text + json.dumps(served.lines) + served.out
