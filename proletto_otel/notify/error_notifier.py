"""CRITICAL records in Slack: the first of each error at once, then summaries, then its end.

Records are counted by fingerprint as they come; a thread claims what this worker has to say
(`notify.error_claims`) and posts it. A request never waits, and a storm takes no memory.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proletto_otel.core.config import Config
from proletto_otel.core.internal_errors import count_failure, log_rate_limited
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.pipeline import console_only
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.sink import Sink
from proletto_otel.notify.error_claims import LEASE_S, ErrorClaims
from proletto_otel.notify.slack.client import SlackRefused
from proletto_otel.notify.slack.error_message import ErrorMessage, ErrorNotification, Render, Sample
from proletto_otel.runtime.worker import Worker
from proletto_otel.state.store import Store, StoreUnavailable

MAX_ERRORS = 100
"""Different errors that may wait in one worker."""
MAX_NOTES = 5
"""Notes one worker takes on at once; others of the host take the rest."""
IDLE_S = 0.5
FORGET_S = 10.0
"""An error that was quiet so long is forgotten here; no caller is that long in `write`."""

Post = Callable[[str, Sequence[Mapping[str, Any]]], None]


ALERTS = "proletto.alerts"
"""Logger of threshold alerts."""


class ErrorCounter:
    """Records of one fingerprint in this worker. `count` only grows, so no addition is lost."""

    __slots__ = ("count", "record", "taken", "taken_at")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.count = 0
        self.taken = 0
        self.taken_at = time.monotonic()


class ErrorNotifier(Sink):
    """Tells Slack about records of a level and above, each error once per window and host.

    Args:
        post: Sends text and blocks; raises `SlackRefused`.
        store: The host's store.
        config: Level, window, service and links.
        render: Makes the message of a note; default `notify.slack.error_message.ErrorMessage`.
    """

    name = "slack"
    queued = True

    def __init__(
        self, post: Post, store: Store, config: Config, render: Render | None = None
    ) -> None:
        self.level = config.slack_level
        self._post = post
        self._default = ErrorMessage(config)
        self._render: Render = render or self._default
        self._claims = ErrorClaims(store, config.slack_window_s)
        self._look_every_s = min(1.0, config.slack_window_s / 4)
        self._worker = Worker(
            self.name,
            self._turn,
            pending=lambda: self.pending,
            abandon=self._give_up,
            surroundings=console_only,
        )
        self._forget()

    # --- component -----------------------------------------------------------------------------
    def start(self) -> None:
        """Start the thread that posts."""
        self._worker.start()

    def flush(self, deadline: float) -> bool:
        """Wait until everything was told; False at *deadline*, or when Slack is away for longer."""
        return self._worker.flush(deadline)

    def stop(self, deadline: float) -> None:
        """Tell what can be told until *deadline*, count the rest as lost by the shutdown."""
        self._worker.stop(deadline)

    def forked(self) -> None:
        """Nothing waits in the child."""
        self._worker.forked()
        self._forget()

    def status(self) -> dict[str, Any]:
        """Health for people, and how many records wait."""
        self.last_error = self._worker.last_error
        return {**super().status(), "pending": self.pending}

    def _forget(self) -> None:
        self._heaps: dict[str, ErrorCounter] = {}
        self._notes: deque[ErrorNotification] = deque()
        self._owed: set[int] = set()
        self._looked_at = 0.0
        self._renewed_at = 0.0
        self._turn_at: float | None = None

    # --- the caller's side ---------------------------------------------------------------------
    def write(self, record: Record) -> None:
        """Count *record*; a signal handler may call it."""
        if record.logger == ALERTS:
            ledger.delivered(self.name)  # alerts tell Slack by a channel of their own
            return
        key = record.fingerprint
        heap = self._heaps.get(key)
        if heap is None:
            if len(self._heaps) >= MAX_ERRORS or self._worker.abandoned:
                ledger.dropped(self.name, "shutdown" if self._worker.abandoned else "queue_full")
                return
            heap = self._heaps.setdefault(key, ErrorCounter(record))
        heap.count += 1  # one addition on an attribute: see core.meters.Cell
        if heap.count - heap.taken == 1:
            self._worker.wake()

    @property
    def pending(self) -> int:
        """Records not yet counted in the store, and first ones not yet told."""
        return sum(h.count - h.taken for h in tuple(self._heaps.values())) + len(self._owed)

    def _give_up(self) -> None:
        """Count what waits as lost; what is claimed in the store another worker tells."""
        left = self.pending
        if left:
            ledger.dropped(self.name, "shutdown", left)
        self._heaps.clear()
        self._notes.clear()
        self._owed.clear()

    # --- the thread ----------------------------------------------------------------------------
    def _turn(self) -> None:
        """Count, look what is due, post one note when it is time."""
        self._worker.wait(self._pause_s())
        try:
            self._count()
            self._look()
            if self._notes and self._worker.breaker.ready() and self._is_our_turn():
                self._tell(self._notes[0])
        except StoreUnavailable as error:
            self._worker.set_error(f"store: {error}")
            self._worker.wait(IDLE_S)

    def _pause_s(self) -> float:
        if not self._notes:
            return min(IDLE_S, self._look_every_s)
        turn_s = 0.0 if self._turn_at is None else self._turn_at - time.monotonic()
        return min(max(self._worker.breaker.wait_s(), turn_s, 0.0), IDLE_S)

    def _count(self) -> None:
        now = time.monotonic()
        for key, heap in tuple(self._heaps.items()):
            count = heap.count - heap.taken
            if count:
                heap.taken_at = now
                try:
                    self._claim(heap, count)
                except StoreUnavailable:
                    raise
                except Exception as error:  # one that cannot be told must not stop the others
                    count_failure("slack.claim", error)
                    self._drop(heap, count)
            elif now - heap.taken_at > FORGET_S:
                self._heaps.pop(key, None)

    def _claim(self, heap: ErrorCounter, count: int) -> None:
        note = self._claims.seen(Sample.of(heap.record), count)
        with self._worker.lock:
            if self._worker.abandoned:
                return
            heap.taken += count
            if note is None:
                ledger.delivered(self.name, count)
                return
            self._owed.add(id(note))  # the first record is delivered when it is told
            ledger.delivered(self.name, count - 1)
            self._notes.append(note)

    def _drop(self, heap: ErrorCounter, count: int) -> None:
        with self._worker.lock:
            if not self._worker.abandoned:
                heap.taken += count
                ledger.dropped(self.name, "error", count)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._renewed_at > LEASE_S / 4:
            self._renewed_at = now
            self._claims.renew(self._notes)
        if now - self._looked_at > self._look_every_s and len(self._notes) < MAX_NOTES:
            self._looked_at = now
            self._notes.extend(self._claims.due())

    def _is_our_turn(self) -> bool:
        now = time.monotonic()
        if self._turn_at is None:
            self._turn_at = now + self._claims.turn()
        return now >= self._turn_at

    def _tell(self, note: ErrorNotification) -> None:
        self._turn_at = None
        try:
            self._post(*self._message(note))
        except SlackRefused as error:
            if not error.permanent:
                self._later(error)
                return
            self._worker.set_error(str(error))
            log_rate_limited(
                "sink:slack",
                "slack sink: %s; the message is given up",
                self._worker.last_error,
            )
            self._settle(note, "refused")
        except Exception as error:  # a client of one's own
            self._later(SlackRefused(type(error).__name__))
        else:
            self._worker.last_error = ""
            self._worker.breaker.succeeded()
            self._settle(note, "")

    def _message(self, note: ErrorNotification) -> tuple[str, list[dict[str, Any]]]:
        try:
            return self._render(note)
        except Exception as error:  # a rendering of one's own
            count_failure("slack.render", error)
            return self._default(note)

    def _later(self, error: SlackRefused) -> None:
        self._worker.breaker.failed(error.retry_after)
        self._worker.set_error(str(error))
        if error.retry_after:
            self._claims.pause(error.retry_after)
        log_rate_limited("sink:slack", "slack sink: %s; trying again", self._worker.last_error)

    def _settle(self, note: ErrorNotification, lost: str) -> None:
        with self._worker.lock:
            if self._worker.abandoned:
                return
            self._notes.popleft()
            if id(note) in self._owed:
                self._owed.discard(id(note))
                if lost:
                    ledger.dropped(self.name, lost)
                else:
                    ledger.delivered(self.name)
        following = self._claims.sent(note)
        if following is not None:
            self._notes.append(following)
