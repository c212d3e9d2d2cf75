"""CRITICAL records in Slack: the first of each error at once, then summaries, then its end.

Records are counted by fingerprint as they come; a thread claims what this worker has to send
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
from proletto_otel.notify.error_notification import ErrorClaim, ErrorNotifications, Sample
from proletto_otel.notify.log.channel import LOGGER as ALERTS
from proletto_otel.notify.notification import Notification
from proletto_otel.notify.slack.client import SlackRefused
from proletto_otel.notify.slack.message import message
from proletto_otel.runtime.worker import Worker
from proletto_otel.state.store import Store, StoreUnavailable

MAX_ERRORS = 100
"""Different errors that may wait in one worker."""
MAX_CLAIMS = 5
"""Messages one worker takes on at once; other workers of the host take the rest."""
IDLE_S = 0.5
FORGET_S = 10.0
"""An error that was quiet so long is forgotten here; no caller is that long in `write`."""

Post = Callable[[str, Sequence[Mapping[str, Any]]], None]
Render = Callable[[Notification], tuple[str, list[dict[str, Any]]]]
"""Makes text and blocks; the text is escaped by whoever makes it."""


class ErrorCounter:
    """Records of one fingerprint in this worker. `count` only grows, so no addition is lost."""

    __slots__ = ("count", "record", "taken", "taken_at")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.count = 0
        self.taken = 0
        """Records of it that are in the store already."""
        self.taken_at = time.monotonic()

    @property
    def waiting(self) -> int:
        """Records that are not yet in the store."""
        return self.count - self.taken


class ErrorNotifier(Sink):
    """Sends records of a level and above to Slack, each error once per window and host.

    Args:
        post: Sends text and blocks; raises `SlackRefused`.
        store: The host's store.
        config: Level, window, service and links.
        render: Makes a message; default `notify.slack.message.message`.
    """

    name = "slack"
    queued = True

    def __init__(
        self, post: Post, store: Store, config: Config, render: Render | None = None
    ) -> None:
        self.level = config.slack_level
        self._post = post
        self._notification = ErrorNotifications(config)
        self._render = render or message
        self._claims = ErrorClaims(store, config.slack_window_s)
        self._due_every_s = min(1.0, config.slack_window_s / 4)
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
        """Wait until everything was sent; False at *deadline*, or when Slack is away for longer."""
        return self._worker.flush(deadline)

    def stop(self, deadline: float) -> None:
        """Send what can be sent until *deadline*, count the rest as lost by the shutdown."""
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
        self._counters: dict[str, ErrorCounter] = {}
        self._claimed: deque[ErrorClaim] = deque()
        self._unsent_firsts: set[int] = set()
        """`id` of claims with a first record that is delivered only when its message is."""
        self._asked_due_at = 0.0
        self._renewed_at = 0.0
        self._turn_at: float | None = None

    # --- the caller's side ---------------------------------------------------------------------
    def write(self, record: Record) -> None:
        """Count *record*; a signal handler may call it."""
        if record.logger == ALERTS:
            ledger.delivered(self.name)  # alerts reach Slack by a channel of their own
            return
        key = record.fingerprint
        counter = self._counters.get(key)
        if counter is None:
            if len(self._counters) >= MAX_ERRORS or self._worker.abandoned:
                ledger.dropped(self.name, "shutdown" if self._worker.abandoned else "queue_full")
                return
            counter = self._counters.setdefault(key, ErrorCounter(record))
        counter.count += 1  # one addition on an attribute: see core.metrics.values.Cell
        # Only the first of many wakes the thread: in a storm one record in thousands pays for it.
        if counter.waiting == 1:
            self._worker.wake()

    @property
    def pending(self) -> int:
        """Records not yet counted in the store, and first ones not yet sent."""
        waiting = sum(counter.waiting for counter in tuple(self._counters.values()))
        return waiting + len(self._unsent_firsts)

    def _give_up(self) -> None:
        """Count waiting records as lost when the process ends; another worker sends the claims."""
        if left := self.pending:
            ledger.dropped(self.name, "shutdown", left)
        self._counters.clear()
        self._claimed.clear()
        self._unsent_firsts.clear()

    # --- the thread ----------------------------------------------------------------------------
    def _turn(self) -> None:
        """Count in the store, claim what is due, post one message when it is time."""
        self._worker.wait(self._pause_s())
        try:
            self._count()
            self._claim_due()
            if self._claimed and self._worker.breaker.ready():
                # Taken once and stored: asking again would take a second turn of the host's pace.
                if self._turn_at is None:
                    self._turn_at = time.monotonic() + self._claims.turn()
                if time.monotonic() >= self._turn_at:
                    self._send(self._claimed[0])
        except StoreUnavailable as error:
            self._worker.set_error(f"store: {error}")
            self._worker.wait(IDLE_S)

    def _pause_s(self) -> float:
        if not self._claimed:
            return min(IDLE_S, self._due_every_s)
        turn_s = 0.0 if self._turn_at is None else self._turn_at - time.monotonic()
        return min(max(self._worker.breaker.wait_s(), turn_s, 0.0), IDLE_S)

    def _count(self) -> None:
        now = time.monotonic()
        for key, counter in tuple(self._counters.items()):
            if count := counter.waiting:
                counter.taken_at = now
                try:
                    self._count_in_store(counter, count)
                except StoreUnavailable:
                    raise
                except Exception as error:  # one that cannot be stored must not stop the others
                    count_failure("slack.claim", error)
                    with self._worker.lock:
                        if not self._worker.abandoned:
                            counter.taken += count
                            ledger.dropped(self.name, "error", count)
            # Only when it was quiet for long: a caller may hold the counter between finding it and
            # adding one, and what is added to a removed one would be lost.
            elif now - counter.taken_at > FORGET_S:
                self._counters.pop(key, None)

    def _count_in_store(self, counter: ErrorCounter, count: int) -> None:
        claim = self._claims.count(Sample.of(counter.record), count)
        with self._worker.lock:
            # The end of the process has counted these records as lost already: only one of both.
            if self._worker.abandoned:
                return
            counter.taken += count
            # Another worker sent this error: held back is delivered, as its summary counts.
            if claim is None:
                ledger.delivered(self.name, count)
                return
            self._unsent_firsts.add(id(claim))
            ledger.delivered(self.name, count - 1)
            self._claimed.append(claim)

    def _claim_due(self) -> None:
        now = time.monotonic()
        # Renewed well before the lease ends, or another worker would send the same message.
        if now - self._renewed_at > LEASE_S / 4:
            self._renewed_at = now
            self._claims.renew(self._claimed)
        if now - self._asked_due_at > self._due_every_s and len(self._claimed) < MAX_CLAIMS:
            self._asked_due_at = now
            self._claimed.extend(self._claims.due())

    def _send(self, claim: ErrorClaim) -> None:
        self._turn_at = None
        try:
            self._post(*self._message(claim))
        except SlackRefused as error:
            if not error.permanent:
                self._retry(error)
                return
            self._worker.set_error(str(error))
            log_rate_limited(
                "sink:slack",
                "slack sink: %s; the message is given up",
                self._worker.last_error,
            )
            self._done(claim, "refused")
        except Exception as error:  # a client of one's own
            self._retry(SlackRefused(type(error).__name__))
        else:
            self._worker.last_error = ""
            self._worker.breaker.succeeded()
            self._done(claim, "")

    def _message(self, claim: ErrorClaim) -> tuple[str, list[dict[str, Any]]]:
        notification = self._notification(claim)
        try:
            return self._render(notification)
        except Exception as error:  # a rendering of one's own
            count_failure("slack.render", error)
            return message(notification)

    def _retry(self, error: SlackRefused) -> None:
        # The claim stays the first of the queue and in the store: a later try, or another worker,
        # sends it.
        self._worker.breaker.failed(error.retry_after)
        self._worker.set_error(str(error))
        # Slack limits the channel, not the process: all workers of the host wait.
        if error.retry_after:
            self._claims.pause(error.retry_after)
        log_rate_limited("sink:slack", "slack sink: %s; trying again", self._worker.last_error)

    def _done(self, claim: ErrorClaim, lost: str) -> None:
        """The message was sent, or given up for the reason *lost*."""
        with self._worker.lock:
            if self._worker.abandoned:
                return
            self._claimed.popleft()
            if id(claim) in self._unsent_firsts:
                self._unsent_firsts.discard(id(claim))
                if lost:
                    ledger.dropped(self.name, lost)
                else:
                    ledger.delivered(self.name)
        # After the ledger, outside the lock: the store may wait two seconds for another process.
        following = self._claims.sent(claim)
        if following is not None:
            self._claimed.append(following)
