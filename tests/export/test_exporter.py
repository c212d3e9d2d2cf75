"""Telemetry reaches the collector, or the disk, or a counter: nothing else can happen to it."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from proletto_otel.cli.spool import command as spool_command
from proletto_otel.core import internal_errors
from proletto_otel.core.config import load
from proletto_otel.core.conventions import TELEMETRY_EXPORT_DURATION
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.core.metrics.registry import Family, Point, registry
from proletto_otel.export import export_thread, sending, signal_exporter, undelivered
from proletto_otel.export.destination import Destination
from proletto_otel.export.encoding import otlp
from proletto_otel.export.exporter import OtlpExporter
from proletto_otel.export.metric_reader import OwnNumbers
from proletto_otel.export.spool import directory as spool_directory
from proletto_otel.runtime import circuit_breaker
from tests.otlp_sink import OtlpSink, Reply
from tests.waiting import slowness, until

Start = Callable[..., OtlpExporter]


def record(text: str) -> bytes:
    """An encoded log record."""
    return otlp.log_record(
        time_ns=1, severity_number=9, severity_text="INFO", body=text, attributes=b""
    )


def flush(exporter: OtlpExporter, seconds: float = 20) -> bool:
    """Flush with time enough."""
    return exporter.flush(time.monotonic() + seconds)


def names(items: list[dict[str, Any]]) -> list[str]:
    """The bodies or names of what arrived."""
    return [item["name"] for item in items]


def misses(exporter: OtlpExporter) -> dict[str, int]:
    """By how much the loss law fails, by sink."""
    found = {}
    for sink, counts in ledger.totals().items():
        pending = exporter.pending(sink.removeprefix("otlp_"))
        known = counts["delivered"] + counts["spooled"] + sum(counts["dropped"].values())
        found[sink] = counts["emitted"] - known - pending
    return {sink: n for sink, n in found.items() if n}


def law(exporter: OtlpExporter) -> dict[str, Any]:
    """Emitted = delivered + spooled + dropped + pending; the counts of logs.

    A record on its way from one count to the next is briefly in neither: read again.
    """
    until(lambda: not misses(exporter))
    logs = ledger.totals()["otlp_logs"]
    return {**logs, "dropped": {reason: n for reason, n in logs["dropped"].items() if n}}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts from zero, every notice may be said, short pauses."""
    registry.reset()
    internal_errors.forget_logged()
    monkeypatch.setattr(circuit_breaker, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(circuit_breaker, "GROWTH", 1.0)
    monkeypatch.setattr(spool_directory, "READ_EVERY_S", 0.05)
    monkeypatch.setattr(export_thread, "LONGEST_SLEEP_S", 0.05)


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as started:
        yield started


@pytest.fixture
def start(sink: OtlpSink, tmp_path: Path) -> Iterator[Start]:
    """Make exporters that end with the test."""
    made: list[OtlpExporter] = []

    def make(
        *, state: Path | None = tmp_path, begin: bool = True, by_itself: bool = False,
        **environ: str,
    ) -> OtlpExporter:  # fmt: skip
        delay = "20" if by_itself else "60000"  # else only a flush sends, so batches are known
        delays = {"BLRP_SCHEDULE_DELAY": delay, "BSP_SCHEDULE_DELAY": delay}
        named = {f"OTEL_{name}": value for name, value in (delays | environ).items()}
        settings, warnings = load({}, {}, {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, **named})
        assert not warnings
        made.append(OtlpExporter(settings, state, environ={}))
        if begin:
            made[-1].start()
        return made[-1]

    yield make
    sink.hanging.clear()
    for exporter in made:
        exporter.stop(time.monotonic() + 10)


def test_three_signals_arrive_under_one_resource(start: Start, sink: OtlpSink) -> None:
    """Spans, log records and metrics reach the collector with resource and scope."""
    exporter = start(SERVICE_NAME="shop", RESOURCE_ATTRIBUTES="team=a%20b,host.name=h1")
    exporter.traces.put(
        otlp.span(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET /", kind=2, start_ns=1,
                    end_ns=2, attributes=otlp.span_attribute("uid", 7)),
        otlp.scope("sqlalchemy", "2"),
    )  # fmt: skip
    exporter.logs.put(record("hello"))
    exporter.metrics(OwnNumbers(lambda: [Family("m", "gauge", "1", "", [Point((("k", "v"),), 5)])]))
    assert flush(exporter)
    (span,), (log,), (metric,) = sink.spans, sink.logs, sink.metrics

    assert ("GET /", {"uid": 7}, "sqlalchemy") == (span["name"], span["attributes"], span["scope"])
    assert ("hello", "proletto_otel") == (log["name"], log["scope"])
    assert [{"value": 5, "attributes": {"k": "v"}}] == metric["points"]
    assert span["resource"] == log["resource"] == metric["resource"]
    expected = {"service.name": "shop", "team": "a b", "host.name": "h1"}
    assert expected.items() <= log["resource"].items()
    law(exporter)


def test_records_leave_by_themselves(start: Start, sink: OtlpSink) -> None:
    """Nobody needs to flush: a record goes out within its delay."""
    exporter = start(by_itself=True)
    exporter.logs.put(record("hello"))
    until(lambda: sink.logs)

    until(lambda: law(exporter)["delivered"] == 1)


def test_what_sends_is_made_once_and_takes_what_was_queued_before(
    start: Start, sink: OtlpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the thread, behind the gate at which a fork waits; no record of before is lost."""
    exporter = start(begin=False)
    made: list[tuple[str, bool]] = []

    class Watched(sending.Sending):
        def __init__(self, *args: Any) -> None:
            gate: Any = exporter.gate
            made.append((threading.current_thread().name, gate._is_owned()))
            super().__init__(*args)

    monkeypatch.setattr(sending, "Sending", Watched)
    exporter.start()
    exporter.logs.put(record("hello"))
    assert flush(exporter)

    assert [("proletto-export", True)] == made
    assert 1 == len(sink.logs)


def test_flush_tells_of_a_request_that_was_under_way(start: Start, sink: OtlpSink) -> None:
    """What was under way when a flush came belongs to it: refused is not delivered."""
    sink.replies.append(Reply(400, delay_s=0.5))
    exporter = start(by_itself=True)
    exporter.logs.put(record("hello"))
    until(lambda: not len(exporter.logs))

    assert not flush(exporter)
    assert {"rejected_400": 1} == law(exporter)["dropped"]
    assert flush(exporter)


def test_records_before_the_start_are_sent_after_it(start: Start, sink: OtlpSink) -> None:
    """What is logged at set-up waits for the process that serves."""
    exporter = start(begin=False)
    exporter.logs.put(record("early"))
    assert [] == sink.logs
    exporter.start()

    assert flush(exporter)
    assert ["early"] == names(sink.logs)


def test_metrics_are_pushed_by_themselves(start: Start, sink: OtlpSink) -> None:
    """Each interval everything is read and sent, with our own health among it."""
    exporter = start(METRIC_EXPORT_INTERVAL="100")
    exporter.metrics(OwnNumbers(registry.collect))
    until(lambda: len(sink.metrics) > 20)
    found = set(names(sink.metrics))

    assert TELEMETRY_EXPORT_DURATION.name in found
    assert {
        "proletto.telemetry.queue.size", "proletto.telemetry.spool.bytes",
        "proletto.telemetry.spool.age", "proletto.telemetry.emitted",
    } <= found  # fmt: skip


def test_metric_that_cannot_be_encoded_costs_itself_alone(
    start: Start, sink: OtlpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad value, for ever in the registry, does not silence the others."""
    monkeypatch.setattr(internal_errors, "strict", False)
    exporter = start()
    bad: Any = "no number"
    families = [Family("bad", "gauge", "1", "", [Point((), bad)]),
                Family("good", "gauge", "1", "", [Point((), 5)])]  # fmt: skip
    exporter.metrics(OwnNumbers(lambda: families))

    assert flush(exporter)
    assert {"good"} == set(names(sink.metrics))


def test_outage_waits_on_disk_and_drains_oldest_first(start: Start, sink: OtlpSink) -> None:
    """Nothing is lost while the collector is away, and all of it comes when it is back."""
    exporter = start()
    sink.stop()
    for i in range(3):
        exporter.logs.put(record(f"{i}"))
        assert not flush(exporter)
    assert 3 == law(exporter)["spooled"]
    assert "open" in exporter.status()["signals"]["logs"]["state"]
    sink.start()
    until(lambda: len(sink.logs) == 3)

    assert ["0", "1", "2"] == names(sink.logs)
    until(lambda: law(exporter)["delivered"] == 3)
    assert exporter.status()["healthy"]


def test_hung_collector_is_asked_without_records(start: Start, sink: OtlpSink) -> None:
    """D2: whatever a hung collector swallowed, a record arrives twice at most when it wakes up."""
    sink.hanging.set()
    exporter = start(EXPORTER_OTLP_TIMEOUT="100")
    exporter.logs.put(record("once or twice"))
    assert not flush(exporter)
    until(
        lambda: (
            exporter._destinations[exporter._exporters["logs"].endpoint.peer].breaker.failures > 3
        )
    )
    sink.hanging.clear()
    until(lambda: law(exporter)["delivered"] == 1)

    assert len(sink.logs) <= 2
    assert 2 <= [request.items for request in sink.requests].count(0)


def test_next_process_delivers_what_the_last_one_left(start: Start, sink: OtlpSink) -> None:
    """The spool outlives the process that filled it."""
    sink.stop()
    first = start()
    first.logs.put(record("left"))
    first.stop(time.monotonic() + 5)
    sink.start()
    start()

    until(lambda: names(sink.logs) == ["left"])


@pytest.mark.parametrize("status", [400, 413, 422])
def test_refused_batch_is_set_aside_and_the_next_flow(
    start: Start, sink: OtlpSink, tmp_path: Path, status: int
) -> None:
    """Row D6: one bad batch is kept for a person, counted, never tried again."""
    sink.refuse = lambda path, items: status if "bad" in names(items) else 0
    exporter = start()
    for text in ("bad", "good"):
        exporter.logs.put(record(text))
        flush(exporter)
    counts = law(exporter)

    assert ["good"] == names(sink.logs)
    assert [status, 200] == [request.status for request in sink.requests]
    assert {f"rejected_{status}": 1} == counts["dropped"]
    assert [f"logs.rejected_{status}.otlp"] == [
        path.name.split(".", 1)[1] for path in (tmp_path / "spool" / "rejected").iterdir()
    ]


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 405, 407, 418, 451])
def test_fault_of_the_endpoint_costs_no_record(
    start: Start, sink: OtlpSink, caplog: pytest.LogCaptureFixture, tmp_path: Path, status: int
) -> None:
    """A wrong address or password: all is kept, asked for again, and people read what to mend."""
    sink.replies += [Reply(status)] * 3
    exporter = start()
    exporter.logs.put(record("kept"))
    assert not flush(exporter)
    assert 0 == law(exporter)["delivered"]
    assert f"HTTP {status}" == exporter.status()["signals"]["logs"]["last_error"]
    until(lambda: names(sink.logs) == ["kept"])

    until(lambda: law(exporter)["delivered"] == 1)
    assert {} == law(exporter)["dropped"]
    assert not (tmp_path / "spool" / "rejected").exists()
    (said,) = [r.getMessage() for r in caplog.records if f"answers {status}" in r.getMessage()]
    assert ("OTEL_EXPORTER_OTLP_" in said) == (status in (301, 307, 401, 403, 404, 405))


def test_outage_that_ends_in_faults_of_the_endpoint_loses_nothing(
    start: Start, sink: OtlpSink
) -> None:
    """Hundreds of batches wait on disk, the server comes back wrong, then right: all arrive."""
    sink.stop()
    exporter = start()
    for i in range(300):
        exporter.logs.put(record(str(i)))
        if i % 30 == 29:
            flush(exporter)
    wrong = [401, 403, 404, 307]
    sink.refuse = lambda path, items: wrong[len(sink.requests) % 4] if wrong else 0
    sink.start()
    until(lambda: len([r for r in sink.requests if r.status in (401, 403, 404, 307)]) > 11)
    wrong.clear()
    until(lambda: len(sink.logs) == 300)

    until(lambda: law(exporter)["delivered"] == 300)
    assert {} == law(exporter)["dropped"]


def test_refused_batches_are_sent_again_by_command(
    start: Start, sink: OtlpSink, tmp_path: Path
) -> None:
    """`spool resend`: what a mended server refused before arrives, from a running app."""
    sink.refuse = lambda path, items: 422
    exporter = start()
    for text in ("one", "two"):
        exporter.logs.put(record(text))
        flush(exporter)
    spool = tmp_path / "spool"
    assert 2 == len(list((spool / "rejected").iterdir()))
    sink.refuse = lambda path, items: 0
    done = CliRunner().invoke(spool_command, ["resend", "--directory", str(spool)])
    assert "2 records of logs wait to be sent again.\n" == done.output
    until(lambda: sorted(names(sink.logs)) == ["one", "two"])

    again = CliRunner().invoke(spool_command, ["resend", "--directory", str(spool)])
    assert again.output.startswith("Nothing to send again")


def test_item_that_cannot_be_encoded_costs_itself_alone(start: Start, sink: OtlpSink) -> None:
    """A fault of ours in one item: the others of its batch arrive, it is counted."""
    exporter = start()
    bad: Any = "a text where bytes belong"
    exporter.logs.put(record("a"))
    exporter.logs.put(record("lost"), bad)
    exporter.logs.put(record("b"))
    assert flush(exporter)

    assert ["a", "b"] == names(sink.logs)
    assert {"encode_error": 1} == law(exporter)["dropped"]
    assert 3 == law(exporter)["emitted"]


def test_batch_that_is_too_large_is_split(start: Start, sink: OtlpSink) -> None:
    """413: smaller requests arrive; a single record that is too large is set aside."""
    sink.refuse = lambda path, items: 413 if len(items) > 2 or "huge" in names(items) else 0
    exporter = start()
    texts = [str(i) for i in range(9)]
    for text in (*texts, "huge"):
        exporter.logs.put(record(text))
    assert not flush(exporter)

    assert texts == sorted(names(sink.logs))
    assert {"rejected_413": 1} == law(exporter)["dropped"]


def test_batch_on_disk_that_is_too_large_is_split(start: Start, sink: OtlpSink) -> None:
    """The limit may be met only when the spool drains."""
    sink.stop()
    exporter = start()
    for i in range(5):
        exporter.logs.put(record(str(i)))
    flush(exporter)
    sink.refuse = lambda path, items: 413 if len(items) > 1 else 0
    sink.start()
    until(lambda: len(sink.logs) == 5)

    assert ["0", "1", "2", "3", "4"] == sorted(names(sink.logs))
    until(lambda: law(exporter)["delivered"] == 5)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_busy_collector_gets_it_later(start: Start, sink: OtlpSink, status: int) -> None:
    """Row D5: 429 and 5xx cost time, not records."""
    sink.replies.append(Reply(status))
    exporter = start()
    exporter.logs.put(record("later"))
    assert not flush(exporter)
    until(lambda: names(sink.logs) == ["later"])

    until(lambda: law(exporter)["delivered"] == 1)


def test_busy_signal_does_not_stop_the_others(start: Start, sink: OtlpSink) -> None:
    """A collector that limits logs still gets traces."""
    sink.refuse = lambda path, items: 429 if "logs" in path else 0
    exporter = start()
    exporter.logs.put(record("limited"))
    flush(exporter)
    exporter.traces.put(
        otlp.span(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET /", kind=2, start_ns=1,
                    end_ns=2, attributes=b"")
    )  # fmt: skip
    flush(exporter)

    assert ["GET /"] == names(sink.spans)


def test_payload_that_always_gets_500_is_set_aside_at_last(start: Start, sink: OtlpSink) -> None:
    """A record that breaks the server does not block the spool for ever."""
    sink.refuse = lambda path, items: 500 if "poison" in names(items) else 0
    exporter = start(by_itself=True)
    exporter.logs.put(record("poison"))
    flush(exporter)
    sent = 0

    def is_aside() -> int | None:
        nonlocal sent
        exporter.logs.put(record("fine"))
        sent += 1
        time.sleep(0.02)
        return law_of_drops().get("rejected_500")

    def law_of_drops() -> dict[str, int]:
        return ledger.totals()["otlp_logs"]["dropped"]

    until(is_aside)
    until(lambda: len(sink.logs) == sent)
    assert 1 == law_of_drops()["rejected_500"]


def test_payload_that_gets_500_lets_the_others_pass(start: Start, sink: OtlpSink) -> None:
    """What waits after a poisonous payload on disk is delivered without new traffic."""
    sink.stop()
    exporter = start()
    for text in ("poison", "1", "2"):
        exporter.logs.put(record(text))
        flush(exporter)
    sink.refuse = lambda path, items: 500 if "poison" in names(items) else 0
    sink.start()
    until(lambda: names(sink.logs) == ["1", "2"])

    until(lambda: law(exporter)["delivered"] == 2)


def test_server_that_always_answers_500_costs_nothing(start: Start, sink: OtlpSink) -> None:
    """A server that is broken for a while is no reason to set records aside."""
    sink.refuse = lambda path, items: 500
    exporter = start()
    exporter.logs.put(record("patient"))
    flush(exporter)
    until(lambda: len(sink.requests) > 2 * signal_exporter.POISON_TRIES)
    sink.refuse = lambda path, items: 0
    until(lambda: names(sink.logs) == ["patient"])

    until(lambda: law(exporter)["delivered"] == 1)


def test_partial_success_is_counted(
    start: Start, sink: OtlpSink, caplog: pytest.LogCaptureFixture
) -> None:
    """What a collector takes in part is delivered in part, and it is said why."""
    partial = ExportLogsPartialSuccess(rejected_log_records=2, error_message="too old\n")
    body = ExportLogsServiceResponse(partial_success=partial).SerializeToString()
    sink.replies.append(Reply(200, body=body))
    exporter = start()
    for i in range(5):
        exporter.logs.put(record(str(i)))
    flush(exporter)
    counts = law(exporter)

    assert (3, {"partial_success": 2}) == (counts["delivered"], counts["dropped"])
    assert "refused 2 of 5 records of logs: 'too old\\n'" in caplog.text


def test_stop_with_a_hung_collector_is_quick_and_loses_nothing(
    start: Start, sink: OtlpSink
) -> None:
    """Row D10: the exit has its budget; what was not delivered is on disk."""
    sink.hanging.set()
    exporter = start()
    for i in range(1000):
        exporter.logs.put(record(str(i)))
    began = time.monotonic()
    exporter.stop(began + 2.0)
    took_s = time.monotonic() - began
    counts = law(exporter)

    assert took_s < 4 * slowness()
    assert (1000, 1000) == (counts["emitted"], counts["spooled"])


def test_stop_delivers_what_is_queued(start: Start, sink: OtlpSink) -> None:
    """Row D9: with the collector up nothing is left undelivered; later records are counted."""
    exporter = start()
    for i in range(1500):
        exporter.logs.put(record(str(i)))
    exporter.stop(time.monotonic() + 10)
    exporter.logs.put(record("too late"))
    counts = law(exporter)

    assert 1500 == len(sink.logs)
    assert (1500, {"after_shutdown": 1}) == (counts["delivered"], counts["dropped"])


def test_without_a_disk_it_waits_in_memory(start: Start, sink: OtlpSink) -> None:
    """A read-only container keeps a bounded amount for the collector's return."""
    exporter = start(state=None, by_itself=True)
    sink.stop()
    exporter.logs.put(record("kept"))
    flush(exporter)
    assert 1 == exporter.pending("logs")
    sink.start()
    until(lambda: names(sink.logs) == ["kept"])

    until(lambda: law(exporter)["delivered"] == 1)


def test_memory_without_a_disk_is_bounded_and_counted(
    start: Start, sink: OtlpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When memory is all there is, the oldest go first, and at the end the rest is counted."""
    monkeypatch.setattr(undelivered, "MAX_MEMORY_BYTES", 600)
    exporter = start(state=None, EXPORTER_OTLP_COMPRESSION="none")
    sink.stop()
    for i in range(10):
        exporter.logs.put(record(f"{i}" * 100))
        flush(exporter)
    counts = law(exporter)
    assert 0 < counts["dropped"]["disk_read_only"] < 10
    exporter.stop(time.monotonic() + 5)

    assert {"disk_read_only": 10} == law(exporter)["dropped"]


def test_spool_that_works_again_takes_what_waited(
    start: Start, sink: OtlpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row D8: space returns and the records go to disk without a restart."""
    monkeypatch.setattr(undelivered, "DISK_RETRY_S", 0.05)
    (tmp_path / "spool").write_text("in the way")
    exporter = start(by_itself=True)
    sink.stop()
    exporter.logs.put(record("kept"))
    flush(exporter)
    assert 0 == law(exporter)["spooled"]
    (tmp_path / "spool").unlink()

    until(lambda: law(exporter)["spooled"] == 1)


def test_thread_that_dies_begins_again(
    start: Start, sink: OtlpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row D15: whatever kills the export thread, it is back, counted, and nothing is lost."""
    real, deaths = Destination.post, [SystemExit(), KeyboardInterrupt(), ValueError("bug")]

    def post(self: Destination, *args: Any) -> Any:
        if deaths:
            raise deaths.pop()
        return real(self, *args)

    monkeypatch.setattr(Destination, "post", post)
    exporter = start(by_itself=True)
    exporter.logs.put(record("survivor"))
    until(lambda: "survivor" in names(sink.logs))
    errors = {p.attributes[0][1]: p.value for f in registry.collect() for p in f.points
              if f.name == "proletto.telemetry.internal_errors"}  # fmt: skip

    assert 3 == errors["export.thread"]
    until(lambda: law(exporter)["delivered"] == 1)


def test_switched_off_signals_do_nothing(start: Start, sink: OtlpSink) -> None:
    """OTEL_LOGS_EXPORTER=none: no queue, no request, no count; the other signals go on."""
    exporter = start(LOGS_EXPORTER="none")
    exporter.logs.put(record("nowhere"))
    flush(exporter)

    assert [] == sink.requests
    assert {"traces", "metrics"} == set(exporter.status()["signals"])


def test_switched_off_sdk_starts_no_thread(start: Start, sink: OtlpSink) -> None:
    """OTEL_SDK_DISABLED: nothing runs, and every call still works."""
    exporter = start(SDK_DISABLED="true")
    exporter.metrics(OwnNumbers(registry.collect))
    exporter.logs.put(record("nowhere"))

    assert flush(exporter)
    assert not exporter._thread.worker.running
    assert [] == sink.requests


def unconfigured(directory: Path, port: int) -> OtlpExporter:
    """An exporter with its default endpoint at *port*."""
    settings, _ = load({}, {}, {})
    object.__setattr__(settings, "otlp_endpoint", f"http://127.0.0.1:{port}")
    return OtlpExporter(settings, directory, environ={})


def outage(exporter: OtlpExporter) -> None:
    """Send three times to nobody."""
    for _ in range(3):
        exporter.logs.put(record("x"))
        flush(exporter)
        internal_errors.forget_logged()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("host", "chosen", "encoding"),
    [
        ("127.0.0.1", "auto", ""), ("localhost", "auto", ""), ("collector.example", "auto", "gzip"),
        ("127.0.0.1", "gzip", "gzip"), ("collector.example", "gzip", "gzip"),
        ("127.0.0.1", "none", ""), ("collector.example", "none", ""),
    ],
)  # fmt: skip
def test_compression_is_as_set_and_by_itself_for_other_machines(
    start: Start, sink: OtlpSink, monkeypatch: pytest.MonkeyPatch, host: str, chosen: str,
    encoding: str,
) -> None:  # fmt: skip
    """On this machine a byte is cheap; over a network a tenth of them goes out."""
    here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", sink.port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [here])
    exporter = start(
        EXPORTER_OTLP_ENDPOINT=f"http://{host}:{sink.port}", EXPORTER_OTLP_COMPRESSION=chosen
    )
    exporter.logs.put(record("x"))
    assert flush(exporter)

    assert {encoding} == {r.headers.get("content-encoding", "") for r in sink.requests if r.items}
    assert ["x"] == names(sink.logs)


def test_a_collector_that_nobody_configured_and_nobody_runs_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No line is logged, the spool stays small, and the status says why nothing is sent."""
    caplog.set_level(logging.DEBUG)
    with OtlpSink() as gone:
        port = gone.port
    exporter = unconfigured(tmp_path, port)
    outage(exporter)
    exporter.stop(time.monotonic() + 5)

    assert "collector" not in caplog.text
    assert 4_000_000 == exporter._spool.max_bytes
    assert "refused" in exporter.status()["signals"]["logs"]["last_error"]


def test_an_unconfigured_collector_that_went_away_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that answered once and is away now is worth one line, which says what to do."""
    caplog.set_level(logging.INFO)
    with OtlpSink() as sink:
        exporter = unconfigured(tmp_path, sink.port)
        exporter.logs.put(record("x"))
        assert flush(exporter)
    outage(exporter)
    exporter.stop(time.monotonic() + 5)

    assert 1 == caplog.text.count("no collector answers any more")
    assert "OTEL_SDK_DISABLED=1" in caplog.text


def test_outage_and_return_are_logged(
    start: Start, sink: OtlpSink, caplog: pytest.LogCaptureFixture
) -> None:
    """A configured collector that goes away is worth a warning, its return a line."""
    caplog.set_level(logging.INFO)
    exporter = start()
    sink.stop()
    exporter.logs.put(record("x"))
    flush(exporter)
    sink.start()
    until(lambda: sink.logs)
    until(lambda: "answers again" in caplog.text)

    assert f"the collector at {sink.url} does not answer (connection refused)" in caplog.text
    assert 512_000_000 == exporter._spool.max_bytes


def test_records_after_a_stop_that_hung_are_counted(start: Start, sink: OtlpSink) -> None:
    """The export thread still hangs in its request: what is logged now is lost, and counted so."""
    sink.hanging.set()
    exporter = start()
    exporter.logs.put(record("held"))
    threading.Thread(target=flush, args=(exporter, 3), daemon=True).start()
    until(lambda: bool(sink.requests) or exporter.status()["signals"]["logs"]["queued"] == 1)
    exporter.stop(time.monotonic() + 0.6)
    exporter.logs.put(record("late"))
    counts = law(exporter)

    assert {"after_shutdown": 1} == counts["dropped"]
    assert (2, 0, 1) == (counts["emitted"], counts["delivered"], counts["spooled"])


def test_child_does_not_speak_over_the_parents_connection(start: Start, sink: OtlpSink) -> None:
    """After a fork each has a connection of its own, and neither sends what is the other's."""
    exporter = start()
    exporter.logs.put(record("before"))
    assert flush(exporter)
    opened = sink.connections
    exporter.logs.put(record("parent's"))
    pid = os.fork()
    if pid == 0:
        exporter.forked()
        exporter.start()
        exporter.logs.put(record("child's"))
        os._exit(0 if flush(exporter) else 1)
    _, status = os.waitpid(pid, 0)
    assert flush(exporter)

    assert 0 == status
    assert ["before", "child's", "parent's"] == names(sink.logs)
    assert opened + 1 == sink.connections
