"""No secret of the corpus is found in anything that leaves the process.

What a secret looks like is tested in `tests.core.test_redact`; here every way in meets every way
out, in a process of its own (`tests.faults.secrets_app`).
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from proletto_otel.export.spool.files import unpack
from tests.corpus import ordinary, secrets
from tests.faults.secrets_app import MARK, misses
from tests.otlp_sink import ROOT, OtlpSink, Reply
from tests.slack_server import SlackServer
from tests.waiting import PATIENCE_S

CANARIES = secrets.canaries()
SECRETS = {c.secret: c.text for c in CANARIES} | {v: k for k, v in secrets.keyed()}
SINKS = {
    "console", "file", "error_file", "json_file", "database", "slack", "otlp_traces", "otlp_logs",
}  # fmt: skip


class RawSink(OtlpSink):
    """Keeps the bytes too."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[str, list[bytes]] = {}

    def __enter__(self) -> RawSink:
        self.start()
        return self

    def take(self, path: str, headers: dict[str, str], raw: bytes) -> Reply:
        """Keep one request."""
        body = gzip.decompress(raw) if headers.get("content-encoding") == "gzip" else raw
        self.bytes.setdefault(path, []).append(body)
        return super().take(path, headers, raw)


@dataclass
class Run:
    """What a process left behind."""

    status: dict[str, Any]
    evidence: dict[str, bytes]
    """By the place where it was found."""
    lines: list[dict[str, Any]]
    """The structured file."""
    sink: RawSink
    slack: SlackServer


def run(directory: Path, mode: str, collector: bool) -> Run:
    """Let the process speak and collect what it left."""
    with RawSink() as sink, SlackServer() as slack:
        if not collector:
            sink.stop()
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "LOG_DIR": str(directory / "logs"),
            "PROLETTO_DATABASE_URL": f"sqlite:///{directory}/shop.sqlite",
            "PROLETTO_CAPTURE_LOCALS": "1", "PROLETTO_SLACK_ALLOW_INSECURE": "1",
            "PROLETTO_SLACK_LEVEL": "ERROR", "LOG_LEVEL": "INFO", "CONSOLE_LOG_LEVEL": "INFO",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000", "PROLETTO_STRICT": "1",
        }  # fmt: skip
        if mode == "slack":
            environ["SLACK_WEBHOOK_URL"] = slack.webhook_url
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.secrets_app", mode],
            cwd=ROOT, env=os.environ | environ, capture_output=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    console, _, status = done.stderr.rpartition(MARK.encode())
    assert 0 == done.returncode, str(done.returncode) + done.stderr[-3000:].decode()
    evidence = {"console": done.stdout + console, "status": status}
    evidence |= {path: b"".join(bodies) for path, bodies in sink.bytes.items()}
    evidence["slack"] = "".join(m.raw for m in slack.requests).encode()
    evidence |= dict(files(directory))
    written = (directory / "logs").glob("*.json*")
    lines = [json.loads(x) for file in written for x in file.read_bytes().splitlines()]
    return Run(json.loads(status.splitlines()[0]), evidence, lines, sink, slack)


def files(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, and what is packed in it."""
    for path in directory.rglob("*"):
        if path.is_file():
            name, data = str(path.relative_to(directory)), path.read_bytes()
            if ".otlp" in name:
                data = unpack(data, 1).request()
            yield name, gzip.decompress(data) if name.endswith(".gz") else data


GRAM = 8
FORMS = [
    (form, told) for secret, told in SECRETS.items() for form in {secret, quote(secret)}
]  # fmt: skip
"""Each secret as it is and as a URL writes it."""


def leaks(evidence: dict[str, bytes]) -> list[tuple[str, str, str]]:
    """Where which secret is seen, as it is or as a URL writes it.

    Thousands of secrets in megabytes: only those are searched whose first characters occur.
    """
    found = []
    for place, data in evidence.items():
        text = data.decode("utf-8", "replace")
        for shown in {text, unquote(text)}:
            occur = {shown[n : n + GRAM] for n in range(len(shown))}
            found += [
                (place, told, shown[max(0, shown.find(form) - 60) :][:140])
                for form, told in FORMS
                if (len(form) < GRAM or form[:GRAM] in occur) and form in shown
            ]
    return found


def lost(status: dict[str, Any]) -> dict[str, Any]:
    """What was dropped, by sink."""
    return {name: r["dropped"] for name, r in status["records"].items() if r["dropped"]}


def spoken(directory: Path) -> int:
    """Rows of the database."""
    with closing(sqlite3.connect(directory / "shop.sqlite")) as database:
        return int(database.execute("SELECT count(*) FROM error_logs").fetchone()[0])


def test_no_secret_leaves_the_process(tmp_path: Path) -> None:
    """0 of >= 200 canaries in console, files, OTLP, database, Slack, error groups; 0 uncounted."""
    assert len(CANARIES) >= 200

    found = run(tmp_path, "slack", collector=True)

    assert [] == leaks(found.evidence)[:5]
    assert found.status["flushed"]
    assert {0} == set(found.status["pending"].values())
    assert {} == misses(found.status) == lost(found.status)
    records = found.status["records"]
    assert SINKS <= records.keys()
    # the last requests are closed by the exit, after the status
    assert 10 * len(CANARIES) <= records["otlp_logs"]["delivered"] <= len(found.sink.logs)
    assert 3 * len(CANARIES) <= records["otlp_traces"]["delivered"] <= len(found.sink.spans)
    assert 10 * len(CANARIES) <= records["json_file"]["delivered"] <= len(found.lines)
    assert records["database"]["delivered"] == spoken(tmp_path) >= 2 * len(CANARIES)
    assert found.status["told"] <= len(found.slack.messages) <= records["slack"]["delivered"]
    assert all(f"piece {n}".encode() in found.evidence["slack"] for n in range(4))
    assert ordinary.lines() == [x["message"] for x in found.lines if "ordinary" in x]
    assert ordinary.lines() == [x["ordinary"] for x in found.lines if "ordinary" in x]


def test_no_secret_is_kept_for_later(tmp_path: Path) -> None:
    """Without a collector: 0 canaries in the spool and in a group of errors each."""
    found = run(tmp_path, "groups", collector=False)

    assert [] == leaks(found.evidence)[:5]
    assert {} == misses(found.status)
    assert {} == lost(found.status)
    records = found.status["records"]
    assert [] == found.sink.spans
    assert records["otlp_logs"]["spooled"] >= 10 * len(CANARIES)
    assert any("spool/traces" in place for place in found.evidence)
    assert 200 <= found.status["groups"]
    assert b"Kind17" in found.evidence["logs/.state/proletto/store.sqlite"] + found.evidence.get(
        "logs/.state/proletto/store.sqlite-wal", b""
    )


@pytest.mark.parametrize("text", [c.text for c in CANARIES[:3]])
def test_what_looks_for_leaks_finds_them(text: str) -> None:
    """A canary is found as it is and as a URL writes it."""
    assert leaks({"here": text.encode()})
    assert leaks({"here": quote(text).encode()})
