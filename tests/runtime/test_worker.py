"""A worker: turns on a thread of its own, an end within a budget, a fresh start in a child."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from proletto_otel.core.conventions import INTERNAL_ERRORS
from proletto_otel.core.metrics.registry import registry
from proletto_otel.runtime.worker import MAX_ERROR, Worker
from tests.waiting import slowness, until

Made = Callable[..., Worker]


@pytest.fixture
def worker() -> Iterator[Made]:
    """Make workers that are stopped at the end of the test."""
    made: list[Worker] = []

    def make(turn: Callable[[Worker], object], **options: Any) -> Worker:
        made.append(Worker("test", lambda: turn(made[-1]), **options))
        return made[-1]

    yield make
    for each in made:
        each.stop(time.monotonic() + 1)


def soon(seconds: float = 5.0) -> float:
    """A deadline."""
    return time.monotonic() + seconds


def internal_errors(where: str) -> float:
    """Failures of ours that were counted at this step."""
    return registry.counter(INTERNAL_ERRORS).cell((where,)).value


def test_turns_run_on_a_daemon_thread_of_its_own(worker: Made) -> None:
    """The thread carries the worker's name and never holds the process back."""
    seen: list[threading.Thread] = []

    def turn(me: Worker) -> None:
        seen.append(threading.current_thread())
        me.wait(0.01)

    made = worker(turn)
    assert not made.running
    made.start()
    made.start()
    until(lambda: len(seen) > 2)

    assert {"proletto-test"} == {thread.name for thread in seen}
    assert 1 == len(set(seen))
    assert seen[0].daemon


def test_instrumentation_is_off_in_the_thread_and_in_a_caller_who_does_its_work(
    worker: Made,
) -> None:
    """What the worker asks makes no spans; afterwards the caller's own requests do again."""
    seen: list[bool] = []
    left = [1]

    def turn(_: Worker) -> None:
        seen.append(is_instrumentation_enabled())
        left.clear()

    made = worker(turn, pending=lambda: len(left))
    assert made.flush(soon())
    assert is_instrumentation_enabled()
    left.append(1)
    made.start()
    assert made.flush(soon())

    assert {False} == set(seen)


def test_surroundings_hold_for_the_thread(worker: Made) -> None:
    """Preparation, turns and the end run inside of what was asked for."""
    inside: list[str] = []
    here = threading.local()

    @contextmanager
    def surroundings() -> Iterator[None]:
        here.inside = True
        yield
        here.inside = False

    def note(step: str) -> None:
        if here.inside:
            inside.append(step)

    def turn(me: Worker) -> None:
        note("turn")
        me.wait(5)

    made = worker(
        turn,
        prepare=lambda: note("prepare"),
        finish=lambda _: note("finish"),
        surroundings=surroundings,
    )
    made.start()
    until(lambda: "turn" in inside)
    made.stop(soon())

    assert ["prepare", "turn", "finish"] == inside


def test_wake_ends_a_sleep(worker: Made) -> None:
    """A worker that sleeps for long takes its next turn when it is woken."""
    turns: list[bool] = []
    made = worker(lambda me: turns.append(me.wait(60)))
    made.start()
    made.wake()

    until(lambda: turns == [True])


def test_failed_turn_is_counted_recovered_and_repeated(worker: Made) -> None:
    """Not even SystemExit ends the thread; what was half done is put back before the next turn."""
    faults = [SystemExit(), KeyboardInterrupt(), ValueError("bug")]
    steps: list[str] = []
    before = internal_errors("test.thread")

    def turn(me: Worker) -> None:
        if faults:
            steps.append("fault")
            raise faults.pop(0)
        steps.append("turn")
        me.wait(60)

    made = worker(turn, recover=lambda: steps.append("recover"))
    made.start()
    until(lambda: "turn" in steps)

    assert ["fault", "recover"] * 3 + ["turn"] == steps
    assert before + 3 == internal_errors("test.thread")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_is_lost_is_replaced_by_the_next_call(
    worker: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that died outside of its turns is counted, and back with the next `wake`."""
    turns: list[int] = []
    runs: list[bool] = []
    before = internal_errors("test.thread")

    def turn(me: Worker) -> None:
        turns.append(threading.get_ident())
        me.wait(60)

    made = worker(turn, running_changed=runs.append)
    made.start()
    until(lambda: bool(turns))

    def killed() -> None:
        raise SystemExit

    monkeypatch.setattr(made, "_guarded_turn", killed)
    made.wake()
    until(lambda: not made.running)
    monkeypatch.undo()
    assert [False, True, False] == runs
    made.wake()
    until(lambda: len(turns) > 1)

    assert before + 1 == internal_errors("test.thread")
    assert [False, True, False, False, True] == runs


def test_failure_while_preparing_is_shown(worker: Made) -> None:
    """The thread runs all the same; the error appears without its secrets."""
    turns: list[int] = []

    def prepare() -> None:
        raise OSError("no way to postgres://app:hunter2secret@db/shop " + "x" * 1000)

    def turn(me: Worker) -> None:
        turns.append(1)
        me.wait(60)

    made = worker(turn, prepare=prepare)
    made.start()
    until(lambda: bool(turns))

    assert made.last_error.startswith("OSError: no way to")
    assert "hunter2secret" not in made.last_error
    assert MAX_ERROR >= len(made.last_error)


def test_stop_gives_what_is_pending_its_time(worker: Made) -> None:
    """A stop ends when nothing is left, long before its deadline."""
    left = list(range(20))
    ended: list[float] = []

    def turn(me: Worker) -> None:
        if left:
            left.pop()
        else:
            me.wait(60)

    made = worker(turn, pending=lambda: len(left), finish=ended.append)
    deadline = soon(30)
    made.start()
    made.stop(deadline)

    assert ([], [deadline]) == (left, ended)
    assert time.monotonic() < deadline - 20
    assert not made.running


def test_the_end_comes_once_when_the_thread_is_faster_than_its_stop(
    worker: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that ended before `stop` looks at it has done the last turns already."""
    ended: list[float] = []
    made = worker(lambda me: me.wait(60), finish=ended.append)
    made.start()
    until(lambda: made.running)
    wake, deadline = made.wake, soon(30)

    def wake_and_see_it_end() -> None:
        wake()
        until(lambda: not made.running)

    with monkeypatch.context() as patched:
        patched.setattr(made, "wake", wake_and_see_it_end)
        made.stop(deadline)

    assert [deadline] == ended


def test_each_stop_finishes(worker: Made) -> None:
    """What is opened after a stop, such as a connection, is closed by the next one."""
    ended: list[float] = []
    made = worker(lambda me: me.wait(60), finish=ended.append)
    made.start()
    until(lambda: made.running)
    deadline = soon(30)
    made.stop(deadline)
    until(lambda: not made.running)
    made.stop(deadline + 1)

    assert [deadline, deadline + 1] == ended


def test_stop_does_not_wait_for_a_thread_that_hangs(worker: Made) -> None:
    """At the deadline, less its reserve, the caller counts what is left and goes."""
    go, abandoned = threading.Event(), []
    made = worker(
        lambda _: go.wait(30),
        pending=lambda: 1,
        abandon=lambda: abandoned.append(time.monotonic()),
        reserve_s=5.0,
    )
    made.start()
    deadline = soon(5.2)
    made.stop(deadline)

    assert made.abandoned
    assert 1 == len(abandoned)
    assert abandoned[0] < deadline - 4
    go.set()
    until(lambda: not made.running)


def test_stop_gives_up_on_a_peer_that_stays_away_longer(worker: Made) -> None:
    """With the breaker open beyond the deadline there is nothing to wait for."""
    made = worker(lambda me: me.wait(0.05), pending=lambda: 1)
    made.start()
    made.breaker.failed(retry_after_s=600)
    deadline = soon(30)
    assert not made.flush(deadline)
    made.stop(deadline)

    assert time.monotonic() < deadline - 20


def test_work_of_a_process_that_ends_before_its_threads_began_is_done_by_the_caller(
    worker: Made,
) -> None:
    """A short script delivers in `stop`, and what fails for ever ends at the deadline."""
    left, steps = [1, 2], []

    def turn(_: Worker) -> None:
        steps.append(threading.current_thread() is threading.main_thread())
        left.pop()

    made = worker(turn, pending=lambda: len(left), finish=lambda _: steps.append("finish"))
    made.stop(soon())
    assert [True, True, "finish"] == steps

    def broken(me: Worker) -> None:
        me.breaker.failed()
        raise ValueError("bug")

    endless = worker(broken, pending=lambda: 1)
    endless.stop(soon(0.2))
    assert endless.abandoned


def test_start_after_stop_begins_again(worker: Made) -> None:
    """A stopped worker takes turns again."""
    turns: list[int] = []

    def turn(me: Worker) -> None:
        turns.append(1)
        me.wait(60)

    made = worker(turn)
    made.start()
    made.stop(soon())
    assert (True, True) == (made.stopping, made.abandoned)
    turns.clear()
    made.start()

    until(lambda: bool(turns))
    assert (False, False) == (made.stopping, made.abandoned)


def test_child_has_no_thread_and_no_failures(worker: Made) -> None:
    """After a fork nothing runs until it is started, and the parent's waker is not the child's."""
    made = worker(lambda me: me.wait(0.01))
    made.start()
    made.breaker.failed()
    made.set_error("refused")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        made.wake()  # before `forked`, as a signal handler may: starts nothing here
        early = threading.active_count()
        made.forked()
        found = (made.running, made.last_error, made.breaker.state, threading.active_count(), early)
        made.start()
        os.write(write, repr((*found, made.running)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)

    assert (False, "", "closed", 1, 1, True) == eval(os.read(read, 1000))
    os.close(read)


def test_turns_survive_exceptions_from_outside(worker: Made) -> None:
    """An exception thrown into the thread from another one costs a turn."""
    idents: list[int] = []

    def turn(me: Worker) -> None:
        idents.append(threading.get_ident())
        me.wait(0.01)

    made = worker(turn)
    made.start()
    until(lambda: bool(idents))
    for _ in range(3):
        count = len(idents)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(idents[-1]), ctypes.py_object(SystemExit)
        )
        made.wake()

        def goes_on(count: int = count) -> bool:
            made.wake()
            return len(idents) > count + 3

        until(goes_on)


def test_stop_does_not_wait_for_a_caller_who_hangs_in_the_work(worker: Made) -> None:
    """Without a thread two callers take turns; the second one goes at its deadline."""
    go, began = threading.Event(), threading.Event()
    abandoned: list[int] = []

    def turn(_: Worker) -> None:
        began.set()
        go.wait(30)

    made = worker(turn, pending=lambda: 1, abandon=lambda: abandoned.append(1))
    hung = threading.Thread(target=made.flush, args=(soon(30),))
    hung.start()
    began.wait(10)
    deadline = soon(0.2)
    made.stop(deadline)
    late_s = time.monotonic() - deadline
    go.set()
    hung.join()

    assert [1] == abandoned
    assert late_s < 20 * slowness()
