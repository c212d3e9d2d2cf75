"""A user's own test suite, run by a real pytest: no file is left, everything can be seen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

SHOP = """
import logging
from flask import Flask
from proletto_otel import setup_telemetry
from proletto_otel.error_logging import handle_errors
from proletto_otel.monitoring import monitor

def create_app():
    app = Flask("shop")

    @app.get("/")
    def index():
        app.logger.warning("seen")
        return "fine"

    @app.get("/boom")
    def boom():
        raise ValueError("broken")

    setup_telemetry(app)
    return app

app = create_app()
monitor.register_health_check("stock", lambda: True)
"""


def run(directory: Path, tests: str, *arguments: str, shop: str = SHOP, **environment: str) -> str:
    """Run *tests* beside the shop, as its author would; what pytest printed."""
    (directory / "shop.py").write_text(shop)
    (directory / "test_shop.py").write_text(tests)
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PROLETTO_", "PYTEST_", "OTEL_", "LOG_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "."],
        cwd=directory, env={**clean, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


PLAIN = """
from shop import app, create_app

def test_requests():
    client = app.test_client()
    assert client.get("/").text == "fine"
    assert client.get("/").headers["X-Request-ID"]
    assert client.get("/boom").status_code == 500
    assert client.get("/readyz").status_code == 200
    assert b"http_server_request" in client.get("/metrics").data

def test_log(caplog):
    create_app().test_client().get("/")
    assert "seen" in caplog.messages
"""


def test_a_test_run_leaves_nothing_and_prints_nothing(tmp_path: Path) -> None:
    """No folder, no file, no line between pytest's dots; pages work."""
    said = run(tmp_path, PLAIN)

    assert ["..", "2 passed"] == [line.split(" in ")[0].split("  ")[0].strip()
                                  for line in said.splitlines() if line]  # fmt: skip
    assert {"shop.py", "test_shop.py"} == {path.name for path in tmp_path.iterdir()}


ERRORS = """
from shop import app

def test_errors():
    client = app.test_client()
    assert client.get("/").text == "fine"
    assert client.get("/boom").status_code == 500
"""
NO_TELEMETRY = SHOP.replace("    setup_telemetry(app)\n", "")


def test_flasks_own_handler_prints_what_it_did(tmp_path: Path) -> None:
    """Where pytest does not take the records, a suite's author sees the lines of before."""
    said = []
    for name, shop in (("without", NO_TELEMETRY), ("with", SHOP)):
        (tmp_path / name).mkdir()
        plain = ("--capture=no", "-p", "no:logging")  # Flask adds none beside pytest's handler
        lines = run(tmp_path / name, ERRORS, *plain, shop=shop).splitlines()
        # without times, and without the traceback's frames, of which one is ours
        said.append([re.sub(r"[\d:.,-]+s?", "", x) for x in lines if not x.startswith(" ")])

    assert said[0] == said[1]
    assert 1 == sum(" in shop " in line for line in said[0])


def test_what_is_asked_for_is_written(tmp_path: Path) -> None:
    """A setting for files gets files; the switch for all of it makes tests like production."""
    run(tmp_path, PLAIN, LOG_DIR=str(tmp_path / "asked"))
    assert (tmp_path / "asked" / "proletto.log").stat().st_size

    said = run(tmp_path, PLAIN, "-s", PROLETTO_UNDER_TEST="normal", OTEL_SDK_DISABLED="1")
    assert (tmp_path / "logs" / ".state").is_dir()
    assert "seen" in said


def test_testing_without_pytest_is_quiet(tmp_path: Path) -> None:
    """`TESTING` before the set-up is enough, for unittest and others."""
    program = """
from flask import Flask
from proletto_otel import setup_telemetry
app = Flask("shop")
app.config["TESTING"] = True
setup_telemetry(app)
app.logger.error("seen")
app.test_client().get("/")
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PROLETTO_")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment,
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip

    assert (0, "") == (done.returncode, done.stdout)
    assert [] == list(tmp_path.iterdir())


CAPTURED = """
from shop import app, create_app
from proletto_otel.error_logging import logger
from proletto_otel.monitoring import monitor

def test_before():
    assert app.test_client().get("/").text == "fine"

def test_an_application_from_before(telemetry_capture):
    app.test_client().get("/")
    assert ["GET /"] == [span["name"] for span in telemetry_capture.spans]
    assert "seen" in [record["body"] for record in telemetry_capture.logs]
    assert 1 == telemetry_capture.metric("http.server.request.duration", http_route="/")
    assert [check.name for check in monitor.get_health().checks] == ["stock"]

def test_between():
    assert app.test_client().get("/").headers["X-Request-ID"]

def test_a_new_application(telemetry_capture):
    create_app().test_client().get("/boom")
    assert ["GET /boom"] == [span["name"] for span in telemetry_capture.spans]
    assert ["ERROR"] == [r["severity"] for r in telemetry_capture.logs if r["severity"] != "INFO"]

def test_no_application(telemetry_capture):
    logger.error("alone")
    assert ["alone"] == [record["body"] for record in telemetry_capture.logs]

def test_both(telemetry_capture):
    create_app().test_client().get("/")
    app.test_client().get("/")
    assert 2 == len(telemetry_capture.spans)
"""


@pytest.mark.parametrize(
    "environment", [{}, {"OTEL_SDK_DISABLED": "1"}, {"OTEL_LOGS_EXPORTER": "none"}]
)
def test_the_fixture_captures_whatever_was_set_up_when(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """An application from before the fixture, one made in the test, both, none; any settings."""
    run(tmp_path, CAPTURED, **environment)


FREED = """
import gc, time, weakref
from shop import create_app

def test_apps_are_freed():
    alive = []
    for _ in range(60):
        app = create_app()
        app.test_client().get("/")
        alive.append(weakref.ref(app))
        del app
    # a thread of ours may still work for some of them
    deadline = time.monotonic() + 30
    while sum(ref() is not None for ref in alive) > 1 and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    assert sum(ref() is not None for ref in alive) <= 1
"""


def test_applications_of_a_factory_are_freed(tmp_path: Path) -> None:
    """A suite that makes an application for each test does not keep them all."""
    run(tmp_path, FREED)
