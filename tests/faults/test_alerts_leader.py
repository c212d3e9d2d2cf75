"""Four gunicorn workers, one voice: alerts are told once, whoever leads and whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tests.faults import workers
from tests.faults.workers import Server, serving
from tests.servers import free_port
from tests.slack_server import SlackServer
from tests.waiting import PATIENCE_S, until

APP = """
from pathlib import Path
from flask import Flask
from proletto_otel import setup_telemetry
from proletto_otel.monitoring import monitor

app = Flask(__name__)
setup_telemetry(app)
pressure = Path(__file__).with_name("pressure")
monitor.register_gauge("pressure", lambda: float(pressure.read_text()), unit="Pa")
monitor.register_threshold("pressure", critical_threshold=10, duration=5)
monitor.register_threshold("cpu_percent", critical_threshold=5, duration=5)
"""


class People:
    """Everybody who is told: a webhook's receiver and a mail box."""

    def __init__(self) -> None:
        told, mails = self.told, self.mails = [], []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        class Inbox:
            async def handle_DATA(self, _s: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
                mails.append(str(message_from_bytes(envelope.content)["Subject"]))
                return "250 OK"

        self.smtp_port = free_port()
        self.web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        self.slack = SlackServer()
        self.slack.__enter__()
        self.smtp = Controller(Inbox(), hostname="127.0.0.1", port=self.smtp_port)
        self.smtp.start()

    def settings(self) -> dict[str, str]:
        """Where a service sends its alerts."""
        return {
            "ALERT_WEBHOOK_URL": f"http://127.0.0.1:{self.web.server_port}/",
            "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(self.smtp_port), "SMTP_STARTTLS": "0",
            "SLACK_WEBHOOK_URL": self.slack.webhook_url, "PROLETTO_SLACK_ALLOW_INSECURE": "1",
            "ALERT_EMAIL_TO": "ada@example.org", "MONITOR_SAMPLE_INTERVAL": "1",
            "PROLETTO_ALERT_INTERVAL": "0.5", "PROLETTO_DEFAULT_THRESHOLDS": "0",
        }  # fmt: skip

    def of(self, name: str) -> list[str]:
        """The events of one threshold, as the webhook heard them."""
        return [told["event"] for told in self.told if told["name"] == name]

    def titled(self, words: str) -> list[str]:
        """Slack messages whose title holds *words*."""
        return [m.title for m in self.slack.messages if words in m.title]

    def mailed(self, words: str) -> list[str]:
        """Subjects of emails that hold *words*."""
        found = [str(make_header(decode_header(subject))) for subject in self.mails]
        return [subject for subject in found if words in subject]

    def close(self) -> None:
        """Nobody listens any more."""
        self.slack.__exit__(None, None, None)
        self.web.shutdown()
        self.web.server_close()
        self.smtp.stop()


@pytest.fixture
def people() -> Iterator[People]:
    """Receivers on free ports."""
    made = People()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(workers, "APP", APP)
    press(tmp_path, 1)


def press(directory: Path, value: float) -> None:
    """Change what the gauge reads, at once."""
    (directory / "new").write_text(str(value))
    os.replace(directory / "new", directory / "pressure")


def leader(server: Server) -> int | None:
    """The worker that evaluates the thresholds."""
    directory = server.directory / "logs" / ".state" / "proletto" / "evaluators"
    (lock, *_) = [*directory.glob("*.lock"), None]
    if lock is None:
        return None
    inode = str(lock.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            return int(fields[4])
    return None


def settled(server: Server) -> bool:
    """Whether every entry was delivered and struck off: a kill between both may tell twice."""
    with closing(
        sqlite3.connect(server.directory / "logs" / ".state" / "proletto" / "store.sqlite")
    ) as db:
        return db.execute("SELECT COUNT(*) FROM alert_outbox").fetchone() == (0,)


def log_entries(server: Server, name: str) -> list[str]:
    """`alert_event` of each log entry about one threshold."""
    path = server.directory / "logs" / "proletto_structured.json"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [r["alert_event"] for r in records if r.get("alert_name") == name]


def test_alert_of_four_workers_is_told_once(tmp_path: Path, people: People) -> None:
    """Beyond the limit for 5 s: one Slack message, one email, one log entry; then one recovery."""
    with serving(tmp_path, "-w", "4", **people.settings()) as server:
        press(tmp_path, 50)
        until(lambda: people.of("pressure") == ["firing"])
        press(tmp_path, 1)
        until(lambda: len(people.of("pressure")) > 1)
        until(lambda: len(people.mailed("pressure")) > 1)
        until(lambda: len(people.titled("pressure")) > 1)

    assert ["firing", "resolved"] == people.of("pressure")
    assert 2 == len([subject for subject in people.mails if "pressure" in subject])
    assert ["🔴 CRITICAL pressure · proletto", "✅ RESOLVED pressure · proletto"] == [
        message.title for message in people.slack.messages if "pressure" in message.title
    ]
    assert ["firing", "resolved"] == log_entries(server, "pressure")
    (message, *_) = (told for told in people.told if told["name"] == "pressure")
    assert (50.0, "Pa", 10, socket.gethostname()) == tuple(
        message[name] for name in ("value", "unit", "limit", "host")
    )


def test_cpu_burner_is_seen(tmp_path: Path, people: People) -> None:
    """The processor is busy for 5 s: one Slack message, one email, one log entry."""
    burner = subprocess.Popen(["nice", sys.executable, "-c", "while True: pass"])
    try:
        with serving(tmp_path, "-w", "4", **people.settings()) as server:
            until(lambda: people.of("cpu_percent") == ["firing"])
            until(lambda: people.titled("HighCpu") and people.mailed("HighCpu"))
    finally:
        burner.kill()
        burner.wait()

    assert ["firing"] == people.of("cpu_percent")[:1]
    assert 1 == people.of("cpu_percent").count("firing")
    assert 1 == log_entries(server, "cpu_percent").count("firing")
    assert 1 == len(people.titled("CRITICAL HighCpu"))
    assert 1 == len(people.mailed("CRITICAL HighCpu"))


def test_killed_leader_is_followed_without_loss_or_double(tmp_path: Path, people: People) -> None:
    """SIGKILL inside the window, after the alert, and before its end: still once each."""
    with serving(tmp_path, "-w", "4", **people.settings()) as server:

        def kill_leader() -> None:
            until(lambda: leader(server) in server.pids())
            before = leader(server)
            assert before is not None
            os.kill(before, signal.SIGKILL)
            until(lambda: leader(server) not in (None, before))

        press(tmp_path, 50)
        kill_leader()
        until(lambda: people.of("pressure") == ["firing"] and settled(server))
        kill_leader()
        kill_leader()
        press(tmp_path, 1)
        kill_leader()
        until(lambda: len(people.of("pressure")) > 1 and settled(server))
        kill_leader()
        press(tmp_path, 70)
        until(lambda: len(people.of("pressure")) > 2)

    assert ["firing", "resolved", "firing"] == people.of("pressure")
    assert ["firing", "resolved", "firing"] == log_entries(server, "pressure")


CRON = """
import sys, time
from proletto_otel import setup_telemetry
from proletto_otel.monitoring import monitor

telemetry = setup_telemetry()
monitor.register_health_check("ftp", lambda: True)
monitor.register_gauge("pressure", lambda: 1.0)
telemetry.activate()
while not monitor.get_check_states():
    time.sleep(0.05)
print("leads", flush=True)
sys.stdin.readline()
"""


def test_cron_job_takes_no_alert_over(tmp_path: Path, people: People) -> None:
    """It came first and shares LOG_DIR and APP_NAME: the web app's threshold is still evaluated."""
    settings = people.settings()
    cron = subprocess.Popen(
        [sys.executable, "-c", CRON], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env={**os.environ, **settings, "LOG_DIR": str(tmp_path / "logs"),
                        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
                        "PROLETTO_LOG_CONSOLE": "0"},
    )  # fmt: skip
    try:
        assert cron.stdout is not None
        assert "leads\n" == cron.stdout.readline()
        with serving(tmp_path, "-w", "2", **settings):
            press(tmp_path, 50)
            until(lambda: people.of("pressure") == ["firing"])
            press(tmp_path, 1)
            until(lambda: len(people.of("pressure")) > 1)
    finally:
        cron.communicate("\n", timeout=PATIENCE_S)

    assert ["firing", "resolved"] == people.of("pressure")
    assert [] == people.of("monitoring:unevaluated")
