"""Stacks of all threads of a worker, asked for by somebody else."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from proletto_otel.core.redaction.sanitise import get as sanitiser
from proletto_otel.runtime import thread_stacks as stacks
from proletto_otel.state import thread_dumps
from proletto_otel.state.control import HostControl
from proletto_otel.state.store import Store
from proletto_otel.state.thread_dumps import MAX_DUMPS, ThreadDumps


class Clock:
    """A clock that tests move."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def worker(directory: Path, clock: Clock) -> tuple[HostControl, ThreadDumps]:
    """A worker, not asked yet."""
    control = HostControl(directory, clock)
    return control, ThreadDumps(Store(directory), control, sanitiser().code, clock)


def a_function_that_waits(ready: threading.Event, end: threading.Event) -> None:
    password = "hunter2-of-the-local"
    ready.set()
    end.wait()
    assert password


def test_the_worker_answers_with_every_thread(tmp_path: Path, clock: Clock) -> None:
    """Names and frames, innermost first; nothing of local variables."""
    _, dumps = worker(tmp_path, clock)
    ready, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=a_function_that_waits, args=(ready, end), name="waits")
    thread.start()
    ready.wait()
    try:
        dumps.ask(os.getpid(), "anna")
    finally:
        end.set()
        thread.join()
    (dump,) = dumps.latest()
    found = {stack.name: stack for stack in dump.threads}
    shown = "\n".join(found["waits"].frames)

    assert ("anna", clock.now) == (dump.by, dump.answered)
    assert "MainThread" == dump.threads[0].name
    assert "in wait" in found["waits"].frames[0]
    assert "in a_function_that_waits: end.wait()" in shown
    assert "hunter2" not in repr(dump)


def test_nobody_else_answers(tmp_path: Path, clock: Clock) -> None:
    """Another process, or another host with that process ID; late is never."""
    _, dumps = worker(tmp_path, clock)
    dumps.ask(os.getpid() + 1, "anna")
    dumps.ask(os.getpid(), "anna", host="elsewhere")

    assert [None, None] == [dump.answered for dump in dumps.latest()]


def test_a_worker_that_hung_does_not_answer_an_old_question(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it any more; answers are gone after an hour."""
    hung = os.getpid()
    _, dumps = worker(tmp_path, clock)
    late, answers = worker(tmp_path, clock)
    with monkeypatch.context() as another_process:
        another_process.setattr(os, "getpid", lambda: hung + 1)
        dumps.ask(hung, "anna")
    clock.now += thread_dumps.PATIENCE_S + 1
    late.check()
    assert [None] == [dump.answered for dump in answers.latest()]
    clock.now += thread_dumps.KEPT_S
    assert [] == dumps.latest()


def test_the_last_ones_are_stored(tmp_path: Path, clock: Clock) -> None:
    """Bounded in number."""
    _, dumps = worker(tmp_path, clock)
    for _ in range(MAX_DUMPS + 3):
        dumps.ask(os.getpid(), "anna")

    assert MAX_DUMPS == len(dumps.latest())


def test_a_dump_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In threads, frames and characters."""

    def deep(left: int) -> list[stacks.ThreadStack]:
        return deep(left - 1) if left else stacks.thread_stacks()

    assert stacks.MAX_FRAMES == len(deep(200)[0].frames)
    monkeypatch.setattr(stacks, "MAX_TEXT", 500)
    assert 500 >= sum(len(line) for stack in deep(200) for line in stack.frames)


def test_secrets_in_source_lines_are_redacted() -> None:
    """A literal in the code is one, too."""

    def connect(password: str) -> list[stacks.ThreadStack]:
        return stacks.thread_stacks(sanitiser().code)

    found = connect(password="hunter2-in-the-call")

    assert "in test_secrets_in_source_lines_are_redacted: found = connect(" in found[0].frames[2]
    assert "hunter2" not in repr(found)
