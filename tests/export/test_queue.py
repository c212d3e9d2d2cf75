"""The queue on the request path: bounded, counted, and never in the way."""

from __future__ import annotations

import signal
import threading
from itertools import count

import pytest

from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.registry import Registry
from proletto_otel.export.queue import ExportQueue
from tests.waiting import PATIENCE_S

SINK = "otlp_logs"


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(Registry())


def total(ledger: Ledger) -> tuple[int, dict[str, int]]:
    """Emitted and dropped."""
    totals = ledger.totals()[SINK]
    return totals["emitted"], totals["dropped"]


def test_batches_hold_up_to_their_limit_in_order(ledger: Ledger) -> None:
    """Items leave as they came, at most a batch at a time."""
    queue = ExportQueue(SINK, max_queue=100, max_items=3, ledger=ledger)
    for i in range(5):
        queue.put(b"%d" % i)
    first = queue.take()
    queue.confirm()

    assert [{b"": [b"0", b"1", b"2"]}, {b"": [b"3", b"4"]}] == [first, queue.take()]


def test_batch_is_limited_in_bytes(ledger: Ledger) -> None:
    """Large records make small batches; one that is too large alone still goes."""
    queue = ExportQueue(SINK, max_queue=100, max_bytes=100, ledger=ledger)
    for size in (60, 60, 60, 500):
        queue.put(b"x" * size)
    sizes = []
    while groups := queue.take():
        sizes.append([len(item) for item in groups[b""]])
        queue.confirm()

    assert [[60, 60], [60, 500]] == sizes
    assert 0 == queue.bytes


def test_items_are_grouped_by_scope(ledger: Ledger) -> None:
    """Spans of other instrumentations keep their scope."""
    queue = ExportQueue(SINK, max_queue=100, ledger=ledger)
    for item, scope in ((b"a", b""), (b"b", b"db"), (b"c", b"")):
        queue.put(item, scope)

    assert {b"": [b"a", b"c"], b"db": [b"b"]} == queue.take()


def test_full_queue_drops_the_oldest_and_counts(ledger: Ledger) -> None:
    """The newest records are kept; each lost one is counted."""
    queue = ExportQueue(SINK, max_queue=10, max_items=100, ledger=ledger)
    for i in range(25):
        queue.put(b"%d" % i)

    assert (25, {"queue_full": 15}) == total(ledger)
    assert [b"%d" % i for i in range(15, 25)] == queue.take()[b""]


def test_queue_is_bounded_in_bytes(ledger: Ledger) -> None:
    """Records of 32 KB fill the queue long before their number does."""
    queue = ExportQueue(SINK, max_queue=1000, max_queue_bytes=1000, ledger=ledger)
    for _ in range(30):
        queue.put(b"x" * 100)

    assert 10 == len(queue)
    assert 1000 == queue.bytes
    assert (30, {"queue_full": 20}) == total(ledger)


def test_full_batch_wakes_the_sender(ledger: Ledger) -> None:
    """A full batch does not wait for the delay."""
    woken = []
    queue = ExportQueue(SINK, max_queue=9, max_items=3, ledger=ledger, wake=lambda: woken.append(1))
    for i in range(4):
        queue.put(b"%d" % i)

    assert 2 == len(woken)


def test_full_batch_of_many_at_once_wakes_the_sender(ledger: Ledger) -> None:
    """The way of spans and log lines: a storm is sent as it comes, and less waits its delay."""
    woken = []
    queue = ExportQueue(SINK, max_queue=9, max_items=3, ledger=ledger, wake=lambda: woken.append(1))
    queue.put_many([b"0", b"1"])
    assert [] == woken
    queue.put_many([b"2", b"3"])

    assert [1] == woken


def test_batch_that_did_not_become_a_request_is_put_back(ledger: Ledger) -> None:
    """A sender that dies between queue and request loses nothing."""
    queue = ExportQueue(SINK, max_queue=9, max_items=3, ledger=ledger)
    for i in range(5):
        queue.put(b"%d" % i)
    queue.take()
    queue.put_back()

    assert [b"0", b"1", b"2"] == queue.take()[b""]


def test_switched_off_means_nothing_at_all(ledger: Ledger) -> None:
    """Without an exporter nothing is queued and nothing is counted."""
    queue = ExportQueue(SINK, max_queue=9, enabled=False, ledger=ledger)
    queue.open()
    queue.put(b"x")

    assert (0, {}) == total(ledger)


def test_records_after_the_end_are_counted(ledger: Ledger) -> None:
    """Logging in atexit costs a count, no error; a new start opens it again."""
    queue = ExportQueue(SINK, max_queue=9, ledger=ledger)
    queue.close()
    queue.put(b"x")
    assert (1, {"after_shutdown": 1}) == total(ledger)
    queue.open()
    queue.put(b"y")

    assert 1 == len(queue)


def test_threads_and_signal_handlers_lose_no_count(ledger: Ledger) -> None:
    """Row F4: a storm of signals over four threads, and every record is queued or counted."""
    queue = ExportQueue(SINK, max_queue=500, max_items=50, ledger=ledger)
    taken: list[bytes] = []
    handled = count()
    stop = threading.Event()

    def take() -> None:
        while not stop.is_set() or len(queue):
            for items in queue.take().values():
                taken.extend(items)
            queue.confirm()

    def put(who: int) -> None:
        for i in range(20_000):
            queue.put(b"%d-%d" % (who, i))

    before = signal.signal(signal.SIGALRM, lambda *_: queue.put(b"signal-%d" % next(handled)))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        taker = threading.Thread(target=take)
        putters = [threading.Thread(target=put, args=(who,)) for who in range(3)]
        for thread in (taker, *putters):
            thread.start()
        put(3)
        for thread in putters:
            thread.join(PATIENCE_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        stop.set()
        taker.join(PATIENCE_S)
    emitted, dropped = total(ledger)

    assert emitted > 80_000
    assert emitted == 80_000 + next(handled)
    assert emitted == len(taken) + sum(dropped.values())
    assert len(taken) == len(set(taken)), "an item was taken twice"
    for who in range(4):  # each thread's items leave in the order in which it put them
        order = [int(item[2:]) for item in taken if item.startswith(b"%d-" % who)]
        assert sorted(order) == order
    assert {b"signal" if item.startswith(b"s") else item[:2] for item in taken} <= {
        b"signal",
        b"0-",
        b"1-",
        b"2-",
        b"3-",
    }
    assert 0 == queue.bytes
