"""Somebody else's function is read with a deadline, and what it said last is kept for a while."""

from __future__ import annotations

import os
import threading
import time

import pytest

from proletto_otel.core import internal_errors
from proletto_otel.runtime.bounded_read import BELIEVED_S, BoundedRead
from tests.waiting import PATIENCE_S, slowness, until


def test_value_is_read_each_time() -> None:
    """Nothing is kept while the function answers."""
    values = [1.0, 2.0]
    reader = BoundedRead("gauge depth", lambda: values.pop(0), deadline_s=PATIENCE_S)

    assert [1.0, 2.0] == [reader.read(), reader.read()]


def test_function_that_hangs_costs_one_deadline_and_one_thread() -> None:
    """The next who ask do not wait; the last value is given with its age."""
    gate, hangs, calls = threading.Event(), threading.Event(), []

    def hang() -> float:
        if hangs.is_set():
            calls.append(1)
            gate.wait(PATIENCE_S)
        return 7.0

    reader = BoundedRead("gauge depth", hang, deadline_s=0.2)
    until(lambda: reader.read() == 7.0)
    hangs.set()
    began = time.monotonic()
    found = [reader.read() for _ in range(50)]
    took_s = time.monotonic() - began
    last = reader.last()
    gate.set()

    assert [7.0] * 50 == found
    assert 1 == len(calls)
    assert took_s < 5 * slowness()
    assert "no answer within 0.2 s" == last.error
    assert 0 < last.age_s < 10 * slowness()


def test_old_value_is_no_value() -> None:
    """After a minute without an answer nothing is known."""
    now, works = [1000.0], [True]

    def read() -> float:
        if works[0]:
            return 7.0
        raise ConnectionError("broker is away")

    reader = BoundedRead("gauge depth", read, deadline_s=PATIENCE_S, clock=lambda: now[0])
    reader.read()
    works[0] = False
    now[0] += BELIEVED_S
    assert 7.0 == reader.read()
    now[0] += 1

    assert None is reader.read()
    assert "ConnectionError: broker is away" == reader.last().error


def test_failure_is_named_with_its_message(caplog: pytest.LogCaptureFixture) -> None:
    """Who reads the log knows which function failed and why; secrets are not in it."""
    internal_errors.forget_logged()

    def read() -> float:
        raise ValueError("login failed: password=hunter2secret")

    BoundedRead("gauge depth", read, deadline_s=PATIENCE_S).read()

    assert any("gauge depth: ValueError: login failed" in m for m in caplog.messages)
    assert "hunter2secret" not in caplog.text


def test_child_of_a_process_with_a_hanging_function_reads_itself() -> None:
    """The hanging thread is not in the child."""
    gate, parent = threading.Event(), os.getpid()

    def read() -> float:
        if os.getpid() == parent:
            gate.wait(20)
        return 7.0

    reader = BoundedRead("gauge depth", read, deadline_s=0.1)
    assert None is reader.read()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        reader._deadline_s = 10
        os._exit(0 if reader.read() == 7.0 else 1)
    _, status = os.waitpid(child, 0)
    gate.set()

    assert 0 == os.waitstatus_to_exitcode(status)
