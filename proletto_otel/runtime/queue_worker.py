"""A bounded queue that a worker's thread empties in batches, for peers that are slow or away.

`put` never waits. Every item ends with exactly one count: delivered, or dropped with a reason.
Whoever delivers decides what an item is; the thread itself is `runtime.worker`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from typing import Any, Generic, TypeVar

from proletto_otel.core.internal_errors import count_failure, log_rate_limited
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.delivery import ledger as process_ledger
from proletto_otel.core.record import record
from proletto_otel.runtime.worker import Worker

IDLE_S = 1.0

Item = TypeVar("Item")


class RetryLater(Exception):
    """The peer cannot take it yet; the batch is kept and tried again.

    Args:
        why: For people, without secrets.
        retry_after_s: What the peer asked for, in seconds; the breaker waits at most 900.
    """

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


@record(frozen=True, slots=True)
class Outcome:
    """What became of a batch; an item in neither number is no longer this process's to count."""

    delivered: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Items that were given up, by reason."""


class QueueWorker(Generic[Item]):
    """Queues items; its thread delivers them, the oldest first.

    Args:
        name: The sink's name in the ledger, and part of the thread's name.
        deliver: Sends a batch, in the thread. Raises `RetryLater` when the same batch is to come
            again. Whatever else it raises, its items come again one by one, and the one that
            fails alone is dropped (`error`).
        max_queue: Items waiting; beyond it the oldest is dropped.
        max_batch: Items handed to *deliver* at once.
        prepare: Runs first in the thread.
        idle: Called about once a second, and after each batch, in the thread.
        finish: Runs last in the thread: give connections back.
        lost: Called with an item that is given up without having been handed to *deliver* for good,
            and the reason (`queue_full`, `shutdown`); by default it counts. Nothing is counted
            beside it, so an item that an outbox keeps can be left to another process.
        starts_itself: Whether the first `put` starts the thread; not for signal handlers.
        surroundings: What the thread runs inside of.
        ledger: Where the counts go.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[Sequence[Item]], Outcome],
        *,
        max_queue: int = 1000,
        max_batch: int = 100,
        prepare: Callable[[], object] = lambda: None,
        idle: Callable[[], object] = lambda: None,
        finish: Callable[[], object] = lambda: None,
        lost: Callable[[Item, str], object] | None = None,
        starts_itself: bool = False,
        surroundings: Callable[[], AbstractContextManager[object]] = nullcontext,
        ledger: Ledger = process_ledger,
    ) -> None:
        self.name = name
        self.max_queue, self.max_batch = max_queue, max_batch
        self._deliver, self._idle = deliver, idle
        self._lost = lost or (lambda _, reason: ledger.dropped(name, reason))
        self._starts_itself, self._ledger = starts_itself, ledger
        self._queue: deque[Item] = deque()
        self._batch: list[Item] = []
        self._one_by_one = 0
        self.worker = Worker(
            name,
            self._turn,
            pending=lambda: self.pending,
            prepare=prepare,
            finish=lambda _: finish(),
            abandon=self._give_up,
            surroundings=surroundings,
        )

    def forked(self) -> None:
        """An empty queue: what waits in the parent is the parent's."""
        self._queue, self._batch, self._one_by_one = deque(), [], 0
        self.worker.forked()

    # --- callers -------------------------------------------------------------------------------
    def put(self, item: Item) -> None:
        """Queue *item*; a signal handler may call it."""
        queue = self._queue
        if len(queue) >= self.max_queue:
            self._drop_oldest("queue_full")
        queue.append(item)
        if self.worker.abandoned:  # looked at last: a stop may have emptied the queue just now
            self._drop_oldest("shutdown")
        elif self._starts_itself and not self.worker.stopping:
            self.worker.start()
        self.worker.wake()

    @property
    def waiting(self) -> tuple[Item, ...]:
        """Items under way and in the queue, the oldest first."""
        return (*self._batch, *self._queue)

    @property
    def queued(self) -> int:
        """Items that no batch holds yet."""
        return len(self._queue)

    @property
    def pending(self) -> int:
        """Items waiting or under way."""
        return len(self._queue) + len(self._batch)

    @property
    def last_error(self) -> str:
        """The latest failure in words; empty when the latest batch was well."""
        return self.worker.last_error

    def start(self) -> None:
        """Take items (again), and start the thread unless the first item does."""
        if self._starts_itself:
            self.worker.reopen()
        else:
            self.worker.start()

    def flush(self, deadline: float) -> bool:
        """Wait until nothing waits; False at *deadline*, or when the peer is away for longer."""
        return self.worker.flush(deadline)

    def stop(self, deadline: float) -> None:
        """Deliver until *deadline* (monotonic), give up the rest."""
        self.worker.stop(deadline)

    def status(self) -> dict[str, Any]:
        """How many items wait, and what went wrong last."""
        return {"pending": self.pending, "last_error": self.last_error}

    # --- the thread ----------------------------------------------------------------------------
    def _turn(self) -> None:
        """Deliver a batch, or sleep until there is one."""
        worker = self.worker
        if not self.pending or not worker.breaker.ready():
            worker.wait(min(worker.breaker.wait_s() if self.pending else IDLE_S, IDLE_S))
        if self.pending and worker.breaker.ready():
            self._deliver_batch()
        self._idle()

    def _deliver_batch(self) -> None:
        # Under the lock, so that a stop finds each item either in the queue or in the batch. It is
        # free while the peer is asked: a stop at its deadline must not wait for a peer that hangs.
        with self.worker.lock:
            while self._queue and len(self._batch) < self.max_batch:
                self._batch.append(self._queue.popleft())
            batch = self._batch[:1] if self._one_by_one else list(self._batch)
        if not batch:
            return
        try:
            outcome = self._deliver(batch)
        except RetryLater as error:
            self._retry(error)
            return
        except Exception as error:  # a fault of ours, or an item that cannot be sent
            count_failure(f"{self.name}.deliver", error)
            if len(batch) > 1:  # one of them is at fault: find out which, and lose no other
                self._one_by_one = len(batch)
                return
            outcome = Outcome(dropped={"error": 1})
        with self.worker.lock:
            if self.worker.abandoned:  # a stop has counted the batch already
                return
            del self._batch[: len(batch)]
        self._one_by_one = max(0, self._one_by_one - len(batch))
        self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        self.worker.breaker.succeeded()
        if not outcome.dropped:
            self.worker.last_error = ""
        self._ledger.delivered(self.name, outcome.delivered)
        for reason, n in outcome.dropped.items():
            self._ledger.dropped(self.name, reason, n)

    def _retry(self, error: RetryLater) -> None:
        self.worker.breaker.failed(error.retry_after_s)
        self.worker.set_error(str(error))
        log_rate_limited(
            f"sink:{self.name}", "%s sink: %s; trying again", self.name, self.last_error
        )

    # --- losses --------------------------------------------------------------------------------
    def _drop_oldest(self, reason: str) -> None:
        try:
            item = self._queue.popleft()
        except IndexError:  # the thread was faster
            return
        self._lost(item, reason)

    def _give_up(self) -> None:
        batch, self._batch = self._batch, []
        for item in batch:
            self._lost(item, "shutdown")
        while self._queue:
            self._drop_oldest("shutdown")
