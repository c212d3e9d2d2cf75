"""A notifier: one channel, one bounded queue, one thread; nothing is lost without being counted.

Entries that the store keeps (the outbox) count as spooled until they are delivered, so another
process may deliver what this one could not.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from proletto_otel.core.internal_errors import log_rate_limited as say
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.delivery import ledger as process_ledger
from proletto_otel.notify.notification import Notice
from proletto_otel.notify.outbox import Outbox, OutboxEntry
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state.store import StoreUnavailable

MAX_QUEUE = 100
"""More alerts than anybody reads; beyond it the oldest is dropped and counted."""
EXPIRES_S = 3600.0
"""An alert that could not be told for an hour is history; the pages still show it."""
LEASE_S = 60.0
"""A process that took an entry and is still alive has this long to send it."""
FIRST_PAUSE_S = 1.0
LAST_PAUSE_S = 60.0
MAX_RETRY_AFTER_S = 900.0


class Refused(Exception):
    """The receiver is there and asks to come back later."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds."""


class Rejected(Exception):
    """The receiver will never take this message; trying again is useless."""


class Channel(Protocol):
    """One way to reach a person."""

    name: str
    """The sink's name in the ledger."""

    def wants(self, notice: Notice) -> bool:
        """Whether this channel tells people about *notice*."""

    def send(self, notice: Notice) -> None:
        """Deliver *notice*; raises when that failed."""


class Notifier(Component):
    """Sends one channel's entries in order, from a thread that starts with the first one."""

    def __init__(
        self, channel: Channel, outbox: Outbox, *, ledger: Ledger = process_ledger,
        clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.name = channel.name
        self.channel = channel
        self._outbox = outbox
        self._ledger = ledger
        self._clock = clock
        self._now = now
        self.last_error = ""
        self.forked()

    def forked(self) -> None:
        """Begin empty: the entries of the parent are the parent's."""
        self._queue: deque[OutboxEntry] = deque()
        self._wake = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._stop_at: float | None = None
        self._busy = False

    def start(self) -> None:
        """Take entries again; the thread starts with the first one."""
        self._stop_at = None

    def put(self, entry: OutboxEntry) -> None:
        """Queue an entry; never waits."""
        with self._wake:
            if self._stop_at is not None:
                self._give_up(entry)
                return
            if entry.id is not None and any(q.id == entry.id for q in self._queue):
                return
            if len(self._queue) >= MAX_QUEUE:
                self._drop(self._queue.popleft(), "queue_full")
            self._queue.append(entry)
            if self._thread is None or not self._thread.is_alive():
                name = f"proletto-alert-{self.name}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            self._wake.notify()

    def flush(self, deadline: float) -> bool:
        """Wait until *deadline* (monotonic) for the queue to empty; return whether it did."""
        with self._wake:
            return self._wake.wait_for(
                lambda: not self._queue and not self._busy,
                timeout=max(deadline - self._clock(), 0),
            )

    def stop(self, deadline: float) -> None:
        """Send what can be sent until *deadline*; the outbox keeps the rest for another process."""
        with self._wake:
            self._stop_at = deadline
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(max(deadline - self._clock(), 0))
        with self._wake:
            while self._queue:
                self._give_up(self._queue.popleft())

    def status(self) -> dict[str, object]:
        """What the pages show."""
        return {"queued": len(self._queue), "last_error": self.last_error}

    def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            entry = self._next()
            if entry is None:
                return
            retry_s = self._attempt(entry)
            with self._wake:
                self._busy = False
                if retry_s is None:
                    pause = FIRST_PAUSE_S
                else:
                    self._queue.appendleft(entry)
                    self._sleep(max(retry_s, pause))
                    pause = min(2 * pause, LAST_PAUSE_S)
                self._wake.notify_all()

    def _next(self) -> OutboxEntry | None:
        with self._wake:
            while not self._queue and self._stop_at is None:
                self._wake.wait()
            late = self._stop_at is not None and self._clock() >= self._stop_at
            if late or not self._queue:
                return None
            self._busy = True
            return self._queue.popleft()

    def _sleep(self, seconds: float) -> None:
        """Wait with the lock released; a new entry does not shorten it, stopping does."""
        until = self._clock() + seconds
        while self._stop_at is None and (left := until - self._clock()) > 0:
            self._wake.wait(left)
        if self._stop_at is not None:
            self._stop_at = self._clock()  # one more try would wait for the same receiver

    def _attempt(self, entry: OutboxEntry) -> float | None:
        """Try once; return None when the entry is done, else the seconds to wait."""
        if self._now() - entry.at > EXPIRES_S:
            self._drop(entry, "expired")
            return None
        if not self._claim(entry):
            return None
        try:
            self.channel.send(entry.notice)
        except Rejected as error:
            self._failed(error)
            self._drop(entry, "rejected")
            return None
        except Exception as error:
            self._failed(error)
            return min(getattr(error, "retry_after", None) or 0.0, MAX_RETRY_AFTER_S)
        self.last_error = ""
        self._ledger.delivered(self.name)
        self._leave(entry)
        return None

    def _claim(self, entry: OutboxEntry) -> bool:
        if entry.id is None:
            return True
        try:
            return self._outbox.claim(entry.id, LEASE_S)
        except StoreUnavailable:
            return True  # told twice is better than not at all

    def _drop(self, entry: OutboxEntry, reason: str) -> None:
        self._ledger.dropped(self.name, reason)
        self._leave(entry)

    def _leave(self, entry: OutboxEntry) -> None:
        if entry.id is None:
            return
        self._ledger.spooled(self.name, -1)
        try:
            self._outbox.remove(entry.id)
        except StoreUnavailable:
            say("alerts.outbox", "an alert was told, but the store could not be told so")

    def _give_up(self, entry: OutboxEntry) -> None:
        """At the end of the process only what no outbox keeps is lost."""
        if entry.id is None:
            self._drop(entry, "shutdown")

    def _failed(self, error: Exception) -> None:
        self.last_error = type(error).__name__
        say(f"alerts.{self.name}", "alert not delivered by %s: %s", self.name, type(error).__name__)
