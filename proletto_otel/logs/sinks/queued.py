"""A sink with a bounded queue that its thread empties in batches, for peers slow or away.

`write` never waits. Every record that was queued ends as delivered or as dropped with a reason.
What delivering means is the subclass's business (`database`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.threaded import ThreadedSink

IDLE_S = 1.0

Losses = Mapping[str, int]
"""Records of a batch that were given up, by reason."""


class RetryLater(Exception):
    """The peer cannot take it yet; the batch is kept and tried again.

    Args:
        why: For people, without secrets.
        retry_after_s: What the peer asked for, in seconds.
    """

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class QueuedSink(ThreadedSink):
    """Queues records; its thread delivers them in batches, the oldest first."""

    max_queue = 1000
    """Records waiting; beyond it the oldest is dropped and counted."""
    max_batch = 100

    def forked(self) -> None:
        """An empty queue."""
        super().forked()
        self._queue: deque[Record] = deque()
        self._flight: list[Record] = []

    # --- for subclasses ------------------------------------------------------------------------
    def deliver(self, batch: Sequence[Record]) -> Losses:
        """Send *batch*; returns what was given up. Runs in the sink's thread.

        Raises:
            NotNow: nothing is settled; the same batch comes again later.
        """
        raise NotImplementedError

    def idle(self) -> None:
        """Called about once a second, and after each batch, in the sink's thread."""

    # --- the caller's side ---------------------------------------------------------------------
    def write(self, record: Record) -> None:
        """Queue *record*; a signal handler may call it."""
        queue = self._queue
        if self._abandoned:
            ledger.dropped(self.name, "shutdown")
            return
        if len(queue) >= self.max_queue:
            try:
                queue.popleft()
                ledger.dropped(self.name, "queue_full")
            except IndexError:  # the thread was faster
                pass
        queue.append(record)
        self._wake.set()

    @property
    def pending(self) -> int:
        """Records waiting or under way."""
        return len(self._queue) + len(self._flight)

    def forget(self) -> None:
        """Empty the queue."""
        self._queue.clear()
        self._flight = []

    # --- the thread ----------------------------------------------------------------------------
    def turn(self) -> None:
        """Deliver a batch, or sleep until there is one."""
        if not self.pending or not self._breaker.ready():
            self._wake.wait(min(self._breaker.wait_s() if self.pending else IDLE_S, IDLE_S))
        if self.pending and self._breaker.ready():
            self._deliver_once()
        self.idle()

    def _deliver_once(self) -> None:
        with self._settling:
            while self._queue and len(self._flight) < self.max_batch:
                self._flight.append(self._queue.popleft())
            flight = list(self._flight)
        if not flight:
            return
        try:
            losses = self.deliver(flight)
        except RetryLater as error:
            self._later(error)
            return
        self._settle(len(flight), losses)

    def _later(self, error: RetryLater) -> None:
        self._breaker.failed(error.retry_after_s)
        self.fault(str(error))
        log_rate_limited(
            f"sink:{self.name}", "%s sink: %s; trying again", self.name, self.last_error
        )

    def _settle(self, total: int, losses: Losses) -> None:
        with self._settling:
            if self._abandoned:  # counted by `stop` already
                return
            self._flight = []
        self._breaker.succeeded()
        lost = sum(losses.values())
        if not lost:
            self.last_error = ""
        ledger.delivered(self.name, total - lost)
        for reason, n in losses.items():
            ledger.dropped(self.name, reason, n)
