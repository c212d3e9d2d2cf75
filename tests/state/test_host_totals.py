"""The host's totals are sent by one process at a time, and never begin twice or go back."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from proletto_otel.core.metrics.push import Push
from proletto_otel.core.metrics.registry import Histogram
from proletto_otel.state import host_totals
from proletto_otel.state.host_totals import HostTotals
from tests.state.test_snapshots import COUNT, WAIT, Worker, number
from tests.waiting import slowness

INTERVAL_S = 10.0
INTERVAL_NS = int(INTERVAL_S * 1e9)


class Sender(Worker):
    """A worker that may send for the host."""

    def __init__(self, directory: Path | None) -> None:
        self.now_ns = time.time_ns()
        if directory is not None:
            super().__init__(directory)
        self.totals = HostTotals(directory, self.snapshots, INTERVAL_S, lambda: self.now_ns)

    def push(self, later_s: float = 0.0) -> Push:
        self.now_ns += int(later_s * 1e9)
        push = self.totals.collect()
        assert push is not None
        return push


def counted(push: Push) -> dict[tuple[object, ...], float]:
    return number(push.families, COUNT)


def started(push: Push) -> dict[tuple[object, ...], float]:
    return number(push.zeros, COUNT)


def test_one_process_sends_what_all_counted(tmp_path: Path) -> None:
    """The second process has nothing to send while the first one lives."""
    a, b = Sender(tmp_path), Sender(tmp_path)
    a.sell(2)
    b.sell(3)
    a.push()

    assert b.totals.collect() is None
    assert {("book",): 5} == counted(a.push())


def test_the_next_sender_continues_the_series(tmp_path: Path) -> None:
    """Same instance ID, no smaller value, no second beginning."""
    a, b = Sender(tmp_path), Sender(tmp_path)
    a.sell(2)
    b.sell(3)
    b.snapshots.publish()
    first = a.push()
    a.totals.resign()
    second = b.push(1)

    assert (first.instance_id, 5) == (second.instance_id, counted(second)[("book",)])
    assert {} == started(second)


def test_a_killed_sender_has_told_nothing_that_is_lost(tmp_path: Path) -> None:
    """What a process sent, the one that takes over sends too: totals never fall."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        sender = Sender(tmp_path)
        sender.sell(7)
        sender.push()
        os.write(write, b"!")
        signal.pause()
        os._exit(0)
    os.read(read, 1)
    heir = Sender(tmp_path)
    assert heir.totals.collect() is None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read)
    os.close(write)

    assert {("book",): 7} == counted(heir.push())


def test_a_count_begins_at_zero(tmp_path: Path) -> None:
    """The first value of a series is not lost to `increase()`: a zero goes before it, once."""
    a = Sender(tmp_path)
    a.sell(1)
    first = a.push()
    a.sell(4, "pen")
    a.registry.histogram(WAIT).cell().observe(0.5)
    second = a.push(INTERVAL_S)
    third = a.push(INTERVAL_S)

    assert ({("book",): 0}, {("pen",): 0}, {}) == (started(first), started(second), started(third))
    assert a.now_ns - 2 * INTERVAL_NS < second.zeros_ns < a.now_ns - INTERVAL_NS + 2_000_000
    (wait,) = [f for f in second.zeros if f.name == WAIT.name]
    assert isinstance(wait.points[0].value, Histogram)
    assert ([0, 0, 0], 0, 0.0) == (
        wait.points[0].value.counts, wait.points[0].value.count, wait.points[0].value.sum,
    )  # fmt: skip


def test_a_zero_never_lies_before_an_earlier_push(tmp_path: Path) -> None:
    """A push out of turn (a flush) moves the zero up: between two pushes the count was 0."""
    a = Sender(tmp_path)
    a.push()
    pushed_ns = a.now_ns
    a.sell(1)

    assert pushed_ns < a.push(0.5).zeros_ns < a.now_ns


def test_old_counts_do_not_begin_when_the_journal_is_lost(tmp_path: Path) -> None:
    """A new instance ID, but no jump from 0 to what was counted for weeks."""
    a = Sender(tmp_path)
    a.sell(1000)
    first = a.push()
    a.totals.resign()
    (tmp_path / "pushed").write_bytes(b"\xff overwritten\n")
    b = Sender(tmp_path)
    again = b.push(10 * INTERVAL_S)

    assert first.instance_id != again.instance_id
    assert ({("book",): 1000}, {}) == (counted(again), started(again))
    b.sell(1, "pen")
    assert {("pen",): 0} == started(b.push(INTERVAL_S))


def test_a_stuck_sender_is_replaced(tmp_path: Path) -> None:
    """A process that holds the lock and sends nothing for three intervals silences nobody."""
    a, b = Sender(tmp_path), Sender(tmp_path)
    a.sell(1)
    b.sell(1)
    a.push()
    b.now_ns = a.now_ns + int(2 * INTERVAL_NS)
    assert b.totals.collect() is None

    assert {("book",): 2} == counted(b.push(2 * INTERVAL_S))


def test_who_ends_last_sends_everything(tmp_path: Path) -> None:
    """All workers end at once: the last push holds what each of them counted."""
    a, b = Sender(tmp_path), Sender(tmp_path)
    a.sell(1)
    a.push()
    b.sell(1)
    deadline = time.monotonic() + 5
    a_last = a.totals.collect_last(deadline)
    b.sell(1)  # after the other one has read the totals
    a.totals.resign()
    b_last = b.totals.collect_last(deadline)

    assert a_last is not None
    assert b_last is not None
    assert {("book",): 3} == counted(b_last)


def test_who_ends_waits_for_a_sender_that_ends_too(tmp_path: Path) -> None:
    """… and gives up at its deadline."""
    a, b = Sender(tmp_path), Sender(tmp_path)
    a.push()
    a.totals.collect_last(time.monotonic() + 5)
    begin = time.monotonic()

    assert b.totals.collect_last(begin + 0.2) is None
    assert time.monotonic() - begin > 0.1


def test_who_ends_does_not_wait_for_a_sender_that_lives(tmp_path: Path) -> None:
    """A recycled worker ends at once: the sender reads what it published."""
    a, b = Sender(tmp_path), Sender(tmp_path)
    a.push()
    b.sell(5)
    begin = time.monotonic()

    assert b.totals.collect_last(begin + 30) is None
    assert time.monotonic() - begin < 10 * slowness()
    assert {("book",): 5} == counted(a.push())


def test_without_a_directory_each_process_speaks_for_itself() -> None:
    """No shared state: own numbers, under the process's own instance ID."""
    from proletto_otel.core.metrics.registry import Registry
    from proletto_otel.state.snapshots import Snapshots

    registry = Registry()
    registry.counter(COUNT).cell(("book",)).add(2)
    totals = HostTotals(None, Snapshots(None, registry.collect), INTERVAL_S)
    push = totals.collect()

    assert push is not None
    assert ("", {("book",): 2}) == (push.instance_id, counted(push))


@pytest.mark.parametrize("name", ["pushed", "push.lock"])
def test_a_deleted_file_costs_no_number(tmp_path: Path, name: str) -> None:
    """Somebody cleans up below the workers: sending goes on."""
    a = Sender(tmp_path)
    a.sell(1)
    host = a.push().instance_id
    (tmp_path / name).unlink()
    a.sell(1)

    for _ in range(3):
        push = a.push(INTERVAL_S)
        assert (host, {("book",): 2}) == (push.instance_id, counted(push))
    a.totals.resign()
    assert host == Sender(tmp_path).push(INTERVAL_S).instance_id


def test_a_journal_that_cannot_be_written_changes_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the totals go on under the host's name, or they would be there twice."""
    a = Sender(tmp_path)
    a.sell(1)
    host = a.push().instance_id

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(host_totals.os, "utime", full)
        a.sell(1)
        push = a.push(INTERVAL_S)

    assert (host, {("book",): 2}) == (push.instance_id, counted(push))
