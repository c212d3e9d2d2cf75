"""Rows D1, D2, D5, D6: a collector that is away, hung, busy or refuses costs no record."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.emitter import Emitter, dropped
from tests.otlp_sink import OtlpSink, Reply, SinkProcess
from tests.waiting import slowness, until

OUTAGE_S = 8.0
"""The short form; the full one is ten minutes."""
RATE = 500
ONE_BATCH = 512


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SinkProcess]:
    started = SinkProcess(tmp_path).start()
    yield started
    started.kill()


def uids(records: list[dict[str, Any]]) -> Counter[str]:
    """How often each record arrived."""
    return Counter(record["attributes"]["uid"] for record in records)


def arrived(sink: Any, requests: int) -> bool:
    """Whether all spans and logs of a run are there."""
    return len(uids(sink.records("traces"))) >= requests and (
        len(uids(sink.records("logs"))) >= 2 * requests
    )


def assert_complete(sink: SinkProcess, requests: int) -> None:
    """0 lost, at most the batch that was under way doubled."""
    spans, logs = uids(sink.records("traces")), uids(sink.records("logs"))

    assert {f"a-{i + 1}" for i in range(requests)} == spans.keys()
    assert {f"a-{i + 1}-{k}" for i in range(requests) for k in range(2)} == logs.keys()
    assert spans.total() - len(spans) + logs.total() - len(logs) <= ONE_BATCH


def spooled(totals: dict[str, Any]) -> int:
    """Spans and logs that wait on disk."""
    return sum(totals["ledger"][f"otlp_{signal}"]["spooled"] for signal in ("traces", "logs"))


@pytest.mark.parametrize("fault", ["refused", "hung"])
def test_outage_loses_nothing(sink: SinkProcess, tmp_path: Path, fault: str) -> None:
    """D1, D2: 500 requests a second through an outage: 0 lost, bounded memory, no wait."""
    with Emitter(sink.url, tmp_path / "state", rate=RATE) as app:
        app.ask("go")
        until(lambda: sink.records("logs"))
        before = app.ask("totals")
        sink.kill() if fault == "refused" else sink.pause()
        until(lambda: app.ask("totals")["status"]["logs"]["state"] != "closed")
        time.sleep(OUTAGE_S)
        during = app.law()
        app.ask("go")
        sink.start() if fault == "refused" else sink.resume()
        until(lambda: app.ask("totals")["status"]["logs"]["state"] == "closed")
        app.ask("pause")
        requests = app.ask("totals")["requests"]
        until(lambda: arrived(sink, requests))
        after = app.law()

    grown = during["rss"] - before["rss"]
    doubled = len(sink.records("logs")) - 2 * requests
    print(f"{fault}: {requests} requests, 0 lost, {doubled} logs twice, +{grown / 1e6:.1f} MB")
    assert requests > RATE * OUTAGE_S / 2 / slowness()
    assert during["ledger"]["otlp_logs"]["spooled"] > 0
    assert_complete(sink, requests)
    assert {} == dropped(after)
    assert {} == after["errors"]
    assert grown < 64_000_000
    assert after["slowest_put_s"] < 2.0 * slowness()  # a machine's hiccup, not a request's timeout


def test_full_spool_loses_its_oldest_alone(sink: SinkProcess, tmp_path: Path) -> None:
    """Every record is kept until the spool is full; then the oldest go, counted, and no others."""
    sink.kill()
    most = 1_000_000
    full = {"PROLETTO_SPOOL_MAX_BYTES": str(most), "OTEL_METRICS_EXPORTER": "none"}
    seen: list[dict[str, Any]] = []

    def loses() -> dict[str, int]:
        seen.append(app.law())
        app.ask("go")
        return dropped(seen[-1])

    with Emitter(sink.url, tmp_path / "state", rate=RATE, **full) as app:
        app.ask("go")
        until(loses)
        time.sleep(OUTAGE_S / 2)
        app.ask("pause")
        sink.start()
        until(lambda: spooled(app.law()) == 0)
        after = app.law()
    spans, logs = uids(sink.records("traces")), uids(sink.records("logs"))
    requests, lost = after["requests"], dropped(after)
    missing = {i + 1 for i in range(requests)} - {int(uid.split("-")[1]) for uid in spans}
    on_disk = sum(signal["spool_bytes"] for signal in seen[-1]["status"].values())
    print(f"{requests} requests: {lost} of {3 * requests} records, first at {on_disk} bytes")

    assert len(seen) > 2
    # The two signals are read one after the other, while files come and go.
    assert most * 0.8 < on_disk < most * 1.1
    assert {"spool_full": 3 * requests - len(spans) - len(logs)} == lost
    # A file that is being sent again just then is not deleted, so it may outlive younger ones.
    assert 0 < len(missing) <= max(missing) <= len(missing) + ONE_BATCH


def test_hung_collector_does_not_hold_the_exit(sink: SinkProcess, tmp_path: Path) -> None:
    """D10: with a silent collector the exit keeps its budget; the next start delivers."""
    with Emitter(sink.url, tmp_path / "state") as app:
        sink.pause()
        app.ask("emit 3000")
        totals = app.stop()
    assert totals["took_s"] < 5.0 * slowness()
    assert {} == dropped(totals)
    assert 6000 == totals["ledger"]["otlp_logs"]["spooled"]
    sink.resume()
    with Emitter(sink.url, tmp_path / "state", run="b"):
        until(lambda: arrived(sink, 3000))

    assert_complete(sink, 3000)


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    """D5: a collector that asks for two seconds gets them, and every record afterwards."""
    with OtlpSink() as sink, Emitter(sink.url, tmp_path, OTEL_METRICS_EXPORTER="none") as app:
        sink.refuse = lambda path, items: 0
        sink.replies += [Reply(429, retry_after="2"), Reply(503, retry_after="2")]
        app.ask("emit 100")
        until(lambda: len(uids(sink.spans)) == 100 and len(uids(sink.logs)) == 200)
        totals = app.law()
        requests = list(sink.requests)
    waits = {}
    for path in ("/v1/traces", "/v1/logs"):
        first, second = [r.at for r in requests if r.path == path][:2]
        waits[path] = second - first

    assert all(wait >= 2.0 * 0.99 for wait in waits.values()), waits
    assert all(wait <= 2.0 * 1.2 + 5 for wait in waits.values()), waits  # + a look at the disk
    assert {} == dropped(totals)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_refused_batch_does_not_stop_the_next(tmp_path: Path, status: int) -> None:
    """D6: one batch is set aside and counted, 0 tries of it again, the others flow."""
    quiet = {"OTEL_METRICS_EXPORTER": "none", "OTEL_BLRP_SCHEDULE_DELAY": "60000"}
    with OtlpSink() as sink, Emitter(sink.url, tmp_path, **quiet) as app:
        sink.refuse = lambda path, items: (
            status if any(i["attributes"]["uid"].startswith("a-7-") for i in items) else 0
        )
        for _ in range(5):
            app.ask("emit 10")
            app.ask("flush")
        totals = app.law()
        refused = [r for r in sink.requests if r.status == status]
        lost = 100 - len(uids(sink.logs))

    assert 50 == len(uids(sink.spans))
    assert {f"rejected_{status}": lost} == dropped(totals)
    # 413: halves of 20, 10, 5, … until the two records stand alone; else the one batch of ten
    assert lost == (2 if status == 413 else 20)
    assert status == 413 or 1 == len(refused)
    assert any((tmp_path / "spool" / "rejected").iterdir())
