"""Rows D13 to D16: forks, kills, dead threads and jumping clocks cost no record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.emitter import ROOT, Emitter, dropped
from tests.faults.test_delivery_outage import arrived, assert_complete, uids
from tests.otlp_sink import OtlpSink, SinkProcess
from tests.waiting import PATIENCE_S, until


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SinkProcess]:
    started = SinkProcess(tmp_path).start()
    yield started
    started.kill()


def test_killed_worker_leaves_what_it_spooled(sink: SinkProcess, tmp_path: Path) -> None:
    """D14: claims of a killed worker, half a file and garbage: all else is delivered later."""
    state = tmp_path / "state"
    sink.kill()
    with Emitter(sink.url, state, LEASE_S="2") as first:
        for _ in range(20):
            first.ask("emit 10")
            first.ask("flush")
        totals = first.law()
    assert 200 == totals["ledger"]["otlp_traces"]["spooled"]
    claimed = sorted((state / "spool" / "traces").iterdir())[0]
    claimed.rename(f"{claimed}.claimed-{int(time.time())}-dead")
    half = state / "spool" / "logs" / ".tmp-00000000000000000001-3-dead-1.otlp"
    half.write_bytes(b"half")
    os.utime(half, (time.time() - 60, time.time() - 60))
    (state / "spool" / "logs" / "00000000000000000001-3-x-1.otlp").write_bytes(b"garbage")
    (state / "spool" / "logs" / "core").write_bytes(b"\0" * 100)
    sink.start()
    with Emitter(sink.url, state, run="b", LEASE_S="2") as second:
        until(lambda: arrived(sink, 200))
        until(lambda: second.ask("totals")["ledger"]["otlp_traces"]["delivered"] == 200)
        after = second.law()

    assert_complete(sink, 200)
    # the file with the good name and the bad content is as old as 1970: too old, and counted
    assert {"spool_expired": 3} == dropped(after)
    assert 1 == after["errors"]["spool.garbage"]
    assert [] == [p.name for s in ("traces", "logs") for p in (state / "spool" / s).iterdir()]


def test_sender_that_is_killed_begins_again(sink: SinkProcess, tmp_path: Path) -> None:
    """D15: SystemExit wherever the thread may be, ten times: back each time, counted, 0 lost."""
    with Emitter(sink.url, tmp_path / "state", rate=200) as app:
        app.ask("go")
        for i in range(10):
            until(lambda n=i: murdered(app, n))
        app.ask("pause")
        requests = app.ask("totals")["requests"]
        until(lambda: arrived(sink, requests))
        totals = app.law()

    assert totals["errors"]["export.thread"] >= 10
    assert {} == dropped(totals)
    assert requests == len(uids(sink.records("traces")))


def murdered(app: Emitter, before: int) -> bool:
    """Kill the export thread; whether it noticed (Python ignores what a weak reference raises)."""
    app.ask("murder")
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if app.ask("totals")["errors"].get("export.thread", 0) > before:
            return True
    return False


def test_jumping_clock_stalls_nothing(sink: SinkProcess, tmp_path: Path) -> None:
    """D16: the wall clock goes an hour back and forth; records arrive within five seconds."""
    with Emitter(sink.url, tmp_path / "state") as app:
        for i, jump in enumerate(("0", "-3600", "3600", "3600", "-7200")):
            app.ask(f"clock {jump}")
            app.ask("emit 50")
            until(lambda n=50 * (i + 1): arrived(sink, n))
        totals = app.law()

    assert {} == dropped(totals)
    assert {} == totals["errors"]


def test_jumping_clock_loses_nothing_of_the_spool(sink: SinkProcess, tmp_path: Path) -> None:
    """D16: an outage with the clock jumping in between is drained all the same."""
    sink.kill()
    with Emitter(sink.url, tmp_path / "state") as app:
        for jump in ("0", "-3600", "7200"):
            app.ask(f"clock {jump}")
            app.ask("emit 50")
            app.ask("flush")
        app.ask("clock -3600")
        assert 150 == app.law()["ledger"]["otlp_traces"]["spooled"]
        sink.start()
        until(lambda: arrived(sink, 150))
        totals = app.law()

    assert {} == dropped(totals)
    assert_complete(sink, 150)


FORK = """
import json, os, sys, time
from pathlib import Path
from proletto_otel.core.config import load
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.core.metrics.registry import registry
from proletto_otel.export.encoding import otlp
from proletto_otel.export.exporter import OtlpExporter

def emit(who, n):
    for i in range(n):
        exporter.logs.put(otlp.log_record(
            time_ns=1, severity_number=9, severity_text="INFO", body="x",
            attributes=otlp.log_attribute("uid", f"{who}-{i}")))

def end(who):
    exporter.stop(time.monotonic() + 5)
    counts = ledger.totals()["otlp_logs"]
    os.write(1, (json.dumps([who, counts]) + "\\n").encode())

exporter = OtlpExporter(load({}, {}, os.environ)[0], Path(sys.argv[1]), None, registry.collect)
exporter.start()
emit("parent", 300)
time.sleep(0.7)  # the export thread is in the middle of a request that takes a second
emit("queued", 50)
children = []
for k in range(3):
    pid = os.fork()
    if pid == 0:
        registry.reset()
        exporter.forked()
        exporter.start()
        emit(f"child{k}", 100)
        end(f"child{k}")
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
end("parent")
"""


def test_fork_during_an_export_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """D13: three children of a busy parent: each sends its own, under its own instance ID."""
    with OtlpSink() as sink:
        sink.hanging.set()
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, str(tmp_path)],
            env=os.environ | environ, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(1.5)
        sink.hanging.clear()
        lines = process.communicate(timeout=PATIENCE_S)[0].splitlines()
        until(lambda: len({r["attributes"]["uid"] for r in sink.logs}) >= 650)
        found = [record["attributes"]["uid"] for record in sink.logs]
        instances = {
            record["attributes"]["uid"].split("-")[0]: record["resource"]["service.instance.id"]
            for record in sink.logs
        }
    emitted = {"parent": 300, "queued": 50} | {f"child{k}": 100 for k in range(3)}
    counts = dict(map(json.loads, lines))

    assert {f"{who}-{i}" for who, n in emitted.items() for i in range(n)} == set(found)
    assert 4 == len({instances[who] for who in ("parent", "child0", "child1", "child2")})
    assert instances["queued"] == instances["parent"]
    for who, n in {"parent": 350, "child0": 100, "child1": 100, "child2": 100}.items():
        dropped_here = sum(counts[who]["dropped"].values())
        assert n == counts[who]["delivered"] + counts[who]["spooled"] + dropped_here
        assert 0 == dropped_here
