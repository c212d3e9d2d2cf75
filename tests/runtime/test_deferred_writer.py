"""Items that are written later: some thread always writes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from proletto_otel.core.conventions import INTERNAL_ERRORS
from proletto_otel.core.metrics.registry import registry
from proletto_otel.logs.record.call_site import CallSite
from proletto_otel.logs.record.record import Record
from proletto_otel.runtime.deferred_writer import DeferredWriter, Made
from tests.waiting import PATIENCE_S


@pytest.mark.parametrize("attempt", range(20))
def test_last_lines_before_a_quiet_time_are_written(attempt: int) -> None:
    """A line after which nothing is logged reaches the other sinks by itself."""
    writer = DeferredWriter("logs")
    arrived = threading.Event()
    written: list[Record] = []

    def write(records: Sequence[Record]) -> None:
        written.extend(records)
        arrived.set()

    writer.start()
    try:
        record = Record(time.time_ns(), CallSite("test", 20), f"line {attempt}", {})
        writer.deferring((write,))(record)

        assert arrived.wait(PATIENCE_S)
        assert [record] == written
    finally:
        writer.stop()


def test_flush_waits_for_a_batch_that_another_thread_writes() -> None:
    """After a flush nothing is on its way: neither waiting, nor in a thread's hands."""
    writer, began, go_on = DeferredWriter("logs"), threading.Event(), threading.Event()
    written: list[Record] = []

    def write(records: Sequence[Record]) -> None:
        began.set()
        go_on.wait(10)
        written.extend(records)

    writer.start()
    try:
        writer.deferring((write,))(Record(time.time_ns(), CallSite("test", 20), "line", {}))
        assert began.wait(PATIENCE_S)
        threading.Timer(0.05, go_on.set).start()

        assert writer.flush()
        assert ["line"] == [record.message for record in written]
    finally:
        go_on.set()
        writer.stop()


def test_things_are_made_together_with_the_items_around_them() -> None:
    """What is made late goes to its own sinks, in order, with one call for each."""
    writer = DeferredWriter("logs")
    text: list[list[str]] = []
    json: list[list[str]] = []

    def to_text(records: Sequence[Record]) -> None:
        text.append([record.message for record in records])

    def to_json(records: Sequence[Record]) -> None:
        json.append([record.message for record in records])

    late = writer.deferring((to_text,))
    writer.running = True
    late(Record(0, CallSite("test", 20), "first", {}))
    both = (to_json, to_text)
    made: list[list[str]] = []

    def make(things: list[str]) -> Made:
        made.append(things)
        records = [Record(0, CallSite("test", 20), t, {}) if t != "quiet" else None for t in things]
        return records, both

    assert writer.submit("second", make)
    assert writer.submit("broken", lambda things: 1 / 0)
    assert writer.submit("quiet", make)
    assert writer.submit("nothing", lambda things: ((), ()))
    late(Record(0, CallSite("test", 20), "third", {}))
    assert writer.submit("fourth", make)

    assert writer.flush()
    assert [["second", "quiet", "fourth"]] == made
    assert [["first", "second", "third", "fourth"]] == text
    assert [["second", "fourth"]] == json


@pytest.mark.usefixtures("lenient")
def test_one_bad_thing_costs_itself_alone() -> None:
    """Where making items of many things fails, they are made one by one."""
    writer = DeferredWriter("logs")
    written: list[Any] = []
    writer.running = True

    def make(things: list[int]) -> Made:
        return [12 // thing for thing in things], (written.extend,)

    failures = registry.counter(INTERNAL_ERRORS).cell(("logs.promise",))
    before = failures.value
    for thing in (1, 0, 3):
        assert writer.submit(thing, make)

    assert writer.flush()
    assert [12, 4] == written
    assert 2 == failures.value - before  # the batch, then the thing
