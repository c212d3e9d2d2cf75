"""Real gunicorn and Celery processes: each line once, the master's whole, jobs with their facts."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.core.conventions import MESSAGE
from tests.servers import free_port
from tests.waiting import PATIENCE_S, until

WEB = """
import os, time
from flask import Flask
from proletto_otel import setup_telemetry

app = Flask("shop")
setup_telemetry(app, log_dir=os.environ["HERE"] + "/logs")

@app.get("/stream")
def stream():
    def body():
        yield "a"
        raise ValueError("mid stream")
    return body()

@app.get("/slow")
def slow():
    time.sleep(60)
"""
JOBS = """
import os
from celery import Celery
from proletto_otel import background, setup_telemetry
from proletto_otel.error_logging import get_logger

here = os.environ["HERE"]
app = Celery("shop", broker="filesystem://localhost")
app.conf.broker_transport_options = {
    "data_folder_in": here + "/q", "data_folder_out": here + "/q", "control_folder": here + "/c",
}
app.conf.worker_hijack_root_logger = False
setup_telemetry(service_name="shop-worker", log_dir=here + "/logs")
log = get_logger("shop.mail")

@app.task
@background(queue="mail")
def send(order):
    log.info("receipt sent", order=order)
    print("printed by the task")

@app.task
@background(queue="mail")
def fail(order):
    raise LookupError("gone")
"""


def lines(directory: Path) -> list[dict[str, Any]]:
    """The structured file of a run."""
    path = directory / "logs/proletto_structured.json"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextlib.contextmanager
def running(directory: Path, *command: str) -> Iterator[None]:
    """A server of its own session; ended with all its processes. It prints to `out`."""
    environment = {
        **os.environ, "HERE": str(directory), "OTEL_SDK_DISABLED": "1", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    with (directory / "out").open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=directory, env=environment, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(PATIENCE_S)


def ask(port: int, path: str) -> None:
    """Get *path*, whatever comes."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S).read()


def test_gunicorn_without_preload(tmp_path: Path) -> None:
    """With our settings module: the master's lines come whole, an error is recorded once."""
    (tmp_path / "shop.py").write_text(WEB)
    port, out = free_port(), tmp_path / "out"
    options = ["-b", f"127.0.0.1:{port}", "-t", "3", "-c", "python:proletto_otel.gunicorn"]
    with running(tmp_path, "gunicorn", *options, "shop:app"):
        until(lambda: "Booting worker" in out.read_text())
        ask(port, "/stream")
        ask(port, "/slow")
        until(lambda: "WORKER TIMEOUT" in out.read_text())
        until(lambda: len([x for x in lines(tmp_path) if x["level"] == "ERROR"]) >= 2)

    printed = out.read_text()
    for word in (
        "Listening at",
        "WORKER TIMEOUT",
        "Handling signal: term",
        "Shutting down: Master",
    ):
        found = [line for line in printed.splitlines() if word in line]
        assert 1 == len(found), (word, printed)
        assert re.match(r"\[\d{4}-\d\d-\d\d .*\] \[\d+\] \[\w+\] ", found[0])
    errors = [line[MESSAGE] for line in lines(tmp_path) if line["level"] == "ERROR"]
    assert ["ValueError: mid stream in GET /stream", "SystemExit: 1 in GET /slow"] == errors
    assert any(line["logger"] == "gunicorn.error" for line in lines(tmp_path))


def test_celery_with_redirected_output(tmp_path: Path) -> None:
    """A worker with its default `worker_redirect_stdouts`: the console speaks, each line is one."""
    pytest.importorskip("celery")
    (tmp_path / "jobs.py").write_text(JOBS)
    for name in ("q", "c"):
        (tmp_path / name).mkdir()
    worker = ["celery", "-A", "jobs", "worker", "-P", "solo", "-l", "INFO"]
    quiet = ["--without-heartbeat", "--without-gossip", "--without-mingle"]
    with running(tmp_path, *worker, *quiet):
        send = "import jobs; jobs.send.delay(7); jobs.fail.delay(8)"
        environment = {**os.environ, "HERE": str(tmp_path), "OTEL_SDK_DISABLED": "1"}
        subprocess.run(
            [sys.executable, "-c", send], cwd=tmp_path, env=environment, check=True,
            timeout=PATIENCE_S,
            capture_output=True,
        )  # fmt: skip
        until(lambda: [x for x in lines(tmp_path) if "raised" in x[MESSAGE]])

    found, printed = lines(tmp_path), (tmp_path / "out").read_text()
    (sent,) = (line for line in found if line[MESSAGE] == "receipt sent")
    assert ("shop.mail", 7, "mail") == (sent["logger"], sent["order"], sent["queue"])
    redirected = [line for line in found if line["logger"] == "celery.redirected"]
    assert ["printed by the task"] == [line[MESSAGE] for line in redirected]
    assert 1 == printed.count(" - receipt sent ")
    assert 1 == printed.count(" - printed by the task")
    (failed,) = (line for line in found if line["level"] == "ERROR")
    assert ("celery.app.trace", "mail", "LookupError") == (
        failed["logger"], failed["queue"], failed["exception"]["type"],
    )  # fmt: skip
    assert 32 == len(failed["request_id"])
