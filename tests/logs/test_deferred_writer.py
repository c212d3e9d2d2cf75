"""Copies that follow by a moment: there is always somebody who writes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.deferred_writer import DeferredWriter, Made
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.record.call_site import CallSite
from proletto_otel.logs.record.record import Record
from tests.logs.conftest import Room, balance


@pytest.mark.parametrize("attempt", range(20))
def test_last_lines_before_a_quiet_time_are_written(attempt: int) -> None:
    """A line after which nothing is logged reaches the other sinks by itself."""
    behind = DeferredWriter()
    arrived = threading.Event()
    written: list[Record] = []

    def write(records: Sequence[Record]) -> None:
        written.extend(records)
        arrived.set()

    behind.start()
    try:
        record = Record(time.time_ns(), CallSite("test", 20), f"line {attempt}", {})
        behind.later((write,))(record)

        assert arrived.wait(10)
        assert [record] == written
    finally:
        behind.stop()


def test_flush_waits_for_a_batch_that_another_thread_writes() -> None:
    """After a flush nothing is on its way: neither waiting, nor in a thread's hands."""
    behind, began, go_on = DeferredWriter(), threading.Event(), threading.Event()
    written: list[Record] = []

    def write(records: Sequence[Record]) -> None:
        began.set()
        go_on.wait(10)
        written.extend(records)

    behind.start()
    try:
        behind.later((write,))(Record(time.time_ns(), CallSite("test", 20), "line", {}))
        assert began.wait(10)
        threading.Timer(0.05, go_on.set).start()

        assert behind.flush()
        assert ["line"] == [record.message for record in written]
    finally:
        go_on.set()
        behind.stop()


def test_promise_is_kept_together_with_the_lines_around_it() -> None:
    """What is made late goes to its own sinks, in order, with one call for each."""
    behind = DeferredWriter()
    text: list[list[str]] = []
    json: list[list[str]] = []

    def to_text(records: Sequence[Record]) -> None:
        text.append([record.message for record in records])

    def to_json(records: Sequence[Record]) -> None:
        json.append([record.message for record in records])

    late = behind.later((to_text,))
    behind.running = True
    late(Record(0, CallSite("test", 20), "first", {}))
    both = (to_json, to_text)
    made: list[list[str]] = []

    def make(things: list[str]) -> Made:
        made.append(things)
        records = [Record(0, CallSite("test", 20), t, {}) if t != "quiet" else None for t in things]
        return records, both

    assert behind.owe("second", make)
    assert behind.owe("broken", lambda things: 1 / 0)
    assert behind.owe("quiet", make)
    assert behind.owe("nothing", lambda things: ((), ()))
    late(Record(0, CallSite("test", 20), "third", {}))
    assert behind.owe("fourth", make)

    assert behind.flush()
    assert [["second", "quiet", "fourth"]] == made
    assert [["first", "second", "third", "fourth"]] == text
    assert [["second", "fourth"]] == json


def test_a_record_that_cannot_be_written(room: Callable[..., Room]) -> None:
    """One of many: the others arrive in every sink, and it is counted where it is lost."""
    made = room(log_level="DEBUG")
    place = CallSite("test", 20)
    times = [time.time_ns(), -(10**30), time.time_ns()]  # no clock says that
    records = [Record(moment, place, f"line {n}", {}) for n, moment in enumerate(times)]

    for sink in pipeline.sinks:
        if sink.name != "error_file":
            sink.write_many(records)

    assert ["line 0", "line 2"] == [line["message"] for line in made.lines]
    assert ["line 0", "line 2"] == [item.body.string_value for item in made.otlp]
    assert 2 == made.text().count("line ")
    for name in ("console", "file", "json_file"):
        told = 1 if name == "console" else 0  # our own notice goes there
        assert (3 + told, 3 + told) == balance(name)
        assert 1 == ledger.totals()[name]["dropped"]["error"]
    assert 1 == ledger.totals()["otlp_logs"]["dropped"]["encode_error"]
