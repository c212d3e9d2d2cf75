"""The prepared overview and the marks of charts, from every worker of a real server."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.faults import workers
from tests.faults.workers import Server, Traffic, serving
from tests.waiting import until

PEEK = """
import os, dataclasses
from proletto_otel.monitoring import monitor

@app.get("/peek")
def peek():
    overview = monitor.overview()
    return jsonify(
        pid=os.getpid(), age_s=overview.age_s, etag=overview.etag, reason=overview.reason,
        count=overview.hour.count if overview.hour else 0,
        errors=overview.hour.errors if overview.hour else 0,
        workers=[w.pid for w in overview.workers], version=overview.version,
        marks=[[a.kind, a.pid, a.version] for a in monitor.annotations(0)],
    )

setup_telemetry(app)
"""


def peek(server: Server) -> dict[str, Any]:
    """What one worker, whichever answers, shows."""
    status, body = server.get("/peek")
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def test_every_worker_shows_the_same_and_a_deploy_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a killed worker and a new version: one content, its age, ends, starts and the deploy."""
    monkeypatch.setattr(workers, "APP", workers.APP.replace("setup_telemetry(app)\n", PEEK))
    version = "OTEL_RESOURCE_ATTRIBUTES"
    with serving(tmp_path, "-w", "4", **{version: "service.version=1.2"}) as server:
        traffic = Traffic(server, 240)
        traffic.wait()
        shown: dict[int, dict[str, Any]] = {}

        def all_show_it() -> bool:
            found = peek(server)
            if traffic.sent <= found["count"]:
                shown[found["pid"]] = found
            return len(shown) == 4

        until(all_show_it)
        assert {""} == {found["reason"] for found in shown.values()}
        assert all(found["age_s"] < 30 and found["errors"] == 20 for found in shown.values())
        assert {"1.2"} == {found["version"] for found in shown.values()}
        until(lambda: set(peek(server)["workers"]) == set(server.pids()))
        killed = server.pids()[0]
        os.kill(killed, signal.SIGKILL)
        until(lambda: ["worker_ended", killed, "1.2"] in peek(server)["marks"])
    with serving(tmp_path, "-w", "4", **{version: "service.version=1.3"}) as server:
        until(lambda: peek(server)["version"] == "1.3")
        marks = peek(server)["marks"]

    assert ["1.2", "1.3"] == [version for kind, _, version in marks if kind == "deploy"]
    assert shown.keys() <= {pid for kind, pid, _ in marks if kind == "worker_ended"}
