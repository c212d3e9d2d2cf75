"""A notifier: one channel with its queue and thread; nothing is lost without being counted.

Entries that the store keeps (`notify.outbox`) count as spooled until they are delivered, so another
process may deliver what this one could not. Queue, thread and retries are `runtime.queue_worker`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.delivery import ledger as process_ledger
from proletto_otel.notify.channel import Channel, Rejected
from proletto_otel.notify.outbox import Outbox, OutboxEntry
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.runtime.queue_worker import Outcome, QueueWorker, RetryLater
from proletto_otel.state.store import StoreUnavailable

MAX_QUEUE = 100
"""More alerts than anybody reads; beyond it the oldest is dropped and counted."""
EXPIRES_S = 3600.0
"""An alert that could not be sent for an hour is history; the pages still show it."""
LEASE_S = 60.0
"""A process that took an entry and is still alive has this long to send it."""


class Notifier(Component):
    """Sends one channel's entries in order, from a thread that starts with the first one."""

    def __init__(
        self, channel: Channel, outbox: Outbox, *, ledger: Ledger = process_ledger,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.name = channel.name
        self.channel = channel
        self._outbox = outbox
        self._ledger = ledger
        self._now = now
        # Sets of ints, changed only by single calls: evaluator and sending thread need no lock.
        self._waiting: set[int] = set()
        """IDs of the entries that wait here; the outbox is read again and again."""
        self._sent: set[int] = set()
        """IDs of entries that were sent and are still in the outbox."""
        self._queue: QueueWorker[OutboxEntry] = QueueWorker(
            self.name,
            self._deliver,
            max_queue=MAX_QUEUE,
            max_batch=1,  # one message at a time: a channel has no batches
            lost=self._lost,
            starts_itself=True,
            ledger=ledger,
        )

    def forked(self) -> None:
        """Start empty: the entries of the parent are the parent's."""
        self._waiting, self._sent = set(), set()
        self._queue.forked()

    def start(self) -> None:
        """Accept entries; the thread starts with the first one."""
        self._queue.start()

    def put(self, entry: OutboxEntry) -> None:
        """Queue an entry; never waits."""
        if entry.id in self._sent:  # the store was locked when it was to be struck off
            self._strike_off(entry)
        elif entry.id not in self._waiting:
            if entry.id is not None:
                self._waiting.add(entry.id)
            self._queue.put(entry)

    def flush(self, deadline: float) -> bool:
        """Wait until *deadline* (monotonic) for the queue to empty; return whether it did."""
        return self._queue.flush(deadline)

    def stop(self, deadline: float) -> None:
        """Send what can be sent until *deadline*; the outbox keeps the rest for another process."""
        self._queue.stop(deadline)

    def status(self) -> dict[str, object]:
        """What the pages show."""
        return {"queued": self._queue.pending, "last_error": self._queue.last_error}

    # --- the thread ----------------------------------------------------------------------------
    def _deliver(self, entries: Sequence[OutboxEntry]) -> Outcome:
        (entry,) = entries
        if self._now() - entry.at > EXPIRES_S:
            return self._done(entry, Outcome(dropped={"expired": 1}))
        # Claimed just before sending: an entry may wait in this queue longer than a lease.
        if not self._claim(entry):
            self._waiting.discard(entry.id or 0)
            return Outcome()  # another process has it and counts it
        try:
            self.channel.send(entry.notification)
        except Rejected as error:
            self._show(error)
            return self._done(entry, Outcome(dropped={"rejected": 1}))
        except Exception as error:
            self._show(error)
            wait_s = getattr(error, "retry_after", None)
            raise RetryLater(type(error).__name__, wait_s) from error
        if self._queue.worker.abandoned and entry.id is not None:
            self._ledger.delivered(self.name)  # the stop left it to the outbox, and did not count
        return self._done(entry, Outcome(delivered=1))

    def _claim(self, entry: OutboxEntry) -> bool:
        if entry.id is None:
            return True
        try:
            return self._outbox.claim(entry.id, LEASE_S)
        except StoreUnavailable:
            return True  # sent twice is better than not at all

    def _done(self, entry: OutboxEntry, outcome: Outcome) -> Outcome:
        """Strike the entry off; nobody else has to send it."""
        if entry.id is not None:
            # In `_sent` until its row is gone: with a locked store the outbox offers it again.
            self._sent.add(entry.id)
            self._waiting.discard(entry.id)
            self._ledger.spooled(self.name, -1)
            self._strike_off(entry)
        return outcome

    def _strike_off(self, entry: OutboxEntry) -> None:
        try:
            self._outbox.remove(entry.id or 0)
            self._sent.discard(entry.id or 0)
        except StoreUnavailable:
            log_rate_limited(
                "alerts.outbox", "an alert was sent, but the store could not be written"
            )

    def _lost(self, entry: OutboxEntry, reason: str) -> None:
        """Count an entry that was given up; at a shutdown only one that no outbox keeps."""
        # The outbox has it: the next process, or another worker, sends it.
        if reason == "shutdown" and entry.id is not None:
            self._waiting.discard(entry.id)
            return
        self._ledger.dropped(self.name, reason)
        self._done(entry, Outcome())

    def _show(self, error: Exception) -> None:
        """Only the type: its text may hold an address or a password."""
        self._queue.worker.set_error(type(error).__name__)
        log_rate_limited(
            f"alerts.{self.name}", "alert not delivered by %s: %s", self.name, type(error).__name__
        )
