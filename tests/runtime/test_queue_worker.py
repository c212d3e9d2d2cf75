"""A queue with a thread: never waits, never grows, and every item ends with exactly one count."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.registry import Registry
from proletto_otel.runtime import circuit_breaker
from proletto_otel.runtime.queue_worker import Outcome, QueueWorker, RetryLater
from tests.waiting import slowness, until

Begin = Callable[..., QueueWorker[int]]


@pytest.fixture
def ledger() -> Ledger:
    """Counts of this test alone."""
    return Ledger(Registry())


@pytest.fixture
def begin(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Make queues with short pauses; they are stopped at the end."""
    monkeypatch.setattr(circuit_breaker, "FIRST_PAUSE_S", 0.01)
    made: list[QueueWorker[int]] = []

    def make(deliver: Callable[[Sequence[int]], Outcome], **options: Any) -> QueueWorker[int]:
        made.append(QueueWorker("test", deliver, ledger=ledger, **options))
        return made[-1]

    yield make
    for queue in made:
        queue.stop(time.monotonic())


def soon(seconds: float = 5.0) -> float:
    """A deadline."""
    return time.monotonic() + seconds


def counts(ledger: Ledger) -> tuple[int, dict[str, int]]:
    """Items delivered, and dropped by reason."""
    totals = ledger.totals().get("test")
    return (totals["delivered"], totals["dropped"]) if totals else (0, {})


class Peer:
    """Takes batches and remembers them."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.away: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()

    def take(self, batch: Sequence[int]) -> Outcome:
        """Take a batch when the gate is open; fail as long as there is something in `away`."""
        self.batches.append(list(batch))
        self.gate.wait(10)
        if self.away:
            raise self.away.pop(0)
        return Outcome(len(batch))

    @property
    def items(self) -> list[int]:
        """All items, in the order in which they came."""
        return [item for batch in self.batches for item in batch]


def test_items_arrive_in_order_and_in_batches(begin: Begin, ledger: Ledger) -> None:
    """The oldest come first, at most so many at once, and all are counted."""
    peer = Peer()
    queue = begin(peer.take, max_batch=4)
    for i in range(10):
        queue.put(i)
    queue.start()

    assert queue.flush(soon())
    assert [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] == peer.batches
    assert (10, {}) == counts(ledger)


def test_full_queue_drops_the_oldest(begin: Begin, ledger: Ledger) -> None:
    """Beyond its bound the oldest goes, with a count; the newest arrive."""
    peer = Peer()
    queue = begin(peer.take, max_queue=3)
    for i in range(5):
        queue.put(i)
    assert 3 == queue.pending
    queue.start()

    assert queue.flush(soon())
    assert [2, 3, 4] == peer.items
    assert (3, {"queue_full": 2}) == counts(ledger)


def test_batch_is_kept_while_the_peer_is_away(begin: Begin, ledger: Ledger) -> None:
    """The same batch comes again until it is taken; the error is shown meanwhile, then gone."""
    peer = Peer()
    peer.away = [RetryLater("token=abcdef123456 refused"), RetryLater("refused")]
    shown: list[str] = []

    def take(batch: Sequence[int]) -> Outcome:
        shown.append(queue.last_error)
        return peer.take(batch)

    queue = begin(take)
    queue.put(1)
    queue.start()

    assert queue.flush(soon())
    assert [[1], [1], [1]] == peer.batches
    assert ["", "refused"] == [shown[0], shown[2]]
    assert "abcdef123456" not in shown[1]
    assert {"pending": 0, "last_error": ""} == queue.status()
    assert (1, {}) == counts(ledger)


@pytest.mark.parametrize(("asked", "waits"), [(60.0, 60.0), (5000.0, 900.0)])
def test_peer_that_asks_for_a_pause_gets_it(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, asked: float, waits: float
) -> None:
    """`Retry-After` holds, up to fifteen minutes; a flush does not wait for it."""
    monkeypatch.setattr(circuit_breaker, "SPREAD", 0.0)
    peer = Peer()
    peer.away = [RetryLater("busy", asked)] * 9
    queue = begin(peer.take)
    queue.put(1)
    queue.start()
    until(lambda: bool(queue.last_error))
    began = time.monotonic()

    assert waits - 5 < queue.worker.breaker.wait_s() <= waits
    assert not queue.flush(soon(20))
    assert time.monotonic() - began < 5 * slowness()
    assert [[1]] == peer.batches


def test_outcome_tells_losses_apart(begin: Begin, ledger: Ledger) -> None:
    """Delivered, dropped by reason, and what another process has taken over: not counted here."""
    queue = begin(lambda batch: Outcome(1, {"expired": 2, "rejected": 1}))
    for i in range(6):
        queue.put(i)
    queue.start()

    assert queue.flush(soon())
    assert (1, {"expired": 2, "rejected": 1}) == counts(ledger)


def test_item_that_cannot_be_delivered_costs_itself_alone(begin: Begin, ledger: Ledger) -> None:
    """After a fault of ours the batch comes again one by one; the bad item is dropped."""
    seen: list[int] = []

    def take(batch: Sequence[int]) -> Outcome:
        if 3 in batch:
            raise ValueError("bug")
        seen.extend(batch)
        return Outcome(len(batch))

    queue = begin(take, max_batch=6)
    for i in range(12):
        queue.put(i)
    queue.start()

    assert queue.flush(soon())
    assert [i for i in range(12) if i != 3] == seen
    assert (11, {"error": 1}) == counts(ledger)


def test_peer_that_goes_away_in_the_middle_of_one_by_one(begin: Begin, ledger: Ledger) -> None:
    """The rest of the batch waits for it."""
    peer = Peer()
    peer.away = [ValueError("bug"), RetryLater("away"), ValueError("bug")]
    queue = begin(peer.take)
    for i in range(3):
        queue.put(i)
    queue.start()

    assert queue.flush(soon())
    assert [[0, 1, 2], [0], [0], [1], [2]] == peer.batches
    assert (2, {"error": 1}) == counts(ledger)


def test_stop_counts_what_a_hung_peer_holds(begin: Begin, ledger: Ledger) -> None:
    """Under way and waiting: all is lost by the shutdown, once, whatever the peer says later."""
    peer = Peer()
    peer.gate.clear()
    queue = begin(peer.take, max_batch=2)
    for i in range(5):
        queue.put(i)
    queue.start()
    until(lambda: bool(peer.batches))
    assert (0, 1, 2, 3, 4) == queue.waiting
    queue.stop(soon(0.1))
    assert (0, {"shutdown": 5}) == counts(ledger)
    peer.gate.set()
    until(lambda: not queue.worker.running)
    queue.put(5)  # the process still logs

    assert (0, {"shutdown": 6}) == counts(ledger)
    assert 0 == queue.pending


def test_put_that_meets_a_stop_is_counted(begin: Begin, ledger: Ledger) -> None:
    """Four threads put while the queue stops: each item is delivered or lost, none forgotten."""
    peer = Peer()
    queue = begin(peer.take, max_queue=100_000)
    queue.start()
    go, puts = threading.Event(), [0, 0, 0, 0]

    def put(k: int) -> None:
        go.wait()
        while not queue.worker.abandoned:
            queue.put(k)
            puts[k] += 1
        queue.put(k)
        puts[k] += 1

    threads = [threading.Thread(target=put, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    go.set()
    until(lambda: len(peer.items) > 100)
    queue.stop(soon(0.2))
    for thread in threads:
        thread.join()

    delivered, dropped = counts(ledger)
    assert sum(puts) == delivered + sum(dropped.values())
    assert 0 == queue.pending


def test_owner_decides_what_a_loss_is(begin: Begin, ledger: Ledger) -> None:
    """What an outbox keeps is left to another process: the owner is asked, not the ledger."""
    lost: list[tuple[int, str]] = []
    queue = begin(Peer().take, max_queue=2, lost=lambda item, why: lost.append((item, why)))
    for i in range(3):
        queue.put(i)
    queue.worker.breaker.failed(600)
    queue.stop(soon())

    assert [(0, "queue_full"), (1, "shutdown"), (2, "shutdown")] == lost
    assert (0, {}) == counts(ledger)


def test_thread_starts_with_the_first_item(begin: Begin) -> None:
    """A queue that is seldom used has no thread until it needs one, again after a stop."""
    peer = Peer()
    queue = begin(peer.take, starts_itself=True)
    queue.start()
    assert not queue.worker.running
    queue.put(1)
    assert queue.worker.running
    assert queue.flush(soon())
    queue.stop(soon())
    queue.put(2)
    assert not queue.worker.running
    queue.start()
    queue.put(3)

    assert queue.flush(soon())
    assert [1, 3] == peer.items


def test_short_process_delivers_at_its_end(begin: Begin, ledger: Ledger) -> None:
    """Without a thread `stop` delivers, within its deadline."""
    peer = Peer()
    ended: list[int] = []
    queue = begin(peer.take, finish=lambda: ended.append(len(peer.batches)))
    queue.put(1)
    queue.stop(soon())

    assert [[1]] == peer.batches
    assert [1] == ended
    assert (1, {}) == counts(ledger)


def test_child_begins_empty(begin: Begin, ledger: Ledger) -> None:
    """What waits in the parent is the parent's; the child neither sends nor counts it."""
    peer = Peer()
    queue = begin(peer.take)
    queue.put(1)
    queue.forked()
    queue.put(2)
    queue.start()

    assert queue.flush(soon())
    assert [2] == peer.items
    assert (1, {}) == counts(ledger)


def test_idle_runs_after_each_batch_and_without_items(begin: Begin) -> None:
    """There is time for upkeep, also while nothing comes."""
    calls: list[int] = []
    queue = begin(Peer().take, idle=lambda: calls.append(queue.pending))
    queue.start()
    until(lambda: bool(calls))
    calls.clear()
    queue.put(1)

    assert queue.flush(soon())
    until(lambda: bool(calls))
