"""A sink with a bounded queue and a thread of its own, for peers that are slow or away.

`write` never waits. Every record that was queued ends as delivered or as dropped with a reason.
What delivering means is the subclass's business (`database`, `slack`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import context as otel
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from proletto_otel.core.ledger import ledger
from proletto_otel.core.sanitise import get as sanitiser
from proletto_otel.core.silence import failed, notice
from proletto_otel.export.breaker import Breaker
from proletto_otel.export.wake import Wake
from proletto_otel.logs.pipeline import suppressed
from proletto_otel.logs.record import Record
from proletto_otel.logs.sinks.base import Sink

MAX_ERROR = 300
"""Characters of a peer's error that are shown."""
IDLE_S = 1.0
POLL_S = 0.01

Losses = Mapping[str, int]
"""Records of a batch that were given up, by reason."""


class NotNow(Exception):
    """The peer cannot take it yet; the batch is kept and tried again.

    Args:
        why: For people, without secrets.
        retry_after_s: What the peer asked for, in seconds.
    """

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class QueuedSink(Sink):
    """Queues records; a daemon thread delivers them in batches, the oldest first."""

    queued = True
    max_queue = 1000
    """Records waiting; beyond it the oldest is dropped and counted."""
    max_batch = 100

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        """An empty queue, no thread: what is queued in the parent is the parent's."""
        self._wake = Wake()
        self._queue: deque[Record] = deque()
        self._flight: list[Record] = []
        self._settling = threading.Lock()
        self._thread: threading.Thread | None = None
        self._breaker = Breaker()
        self._deadline: float | None = None
        self._abandoned = False
        self.last_error = ""

    # --- for subclasses ------------------------------------------------------------------------
    def deliver(self, batch: Sequence[Record]) -> Losses:
        """Send *batch*; returns what was given up. Runs in the sink's thread.

        Raises:
            NotNow: nothing is settled; the same batch comes again later.
        """
        raise NotImplementedError

    def idle(self) -> None:
        """Called about once a second, and after each batch, in the sink's thread."""

    def ended(self) -> None:
        """The thread ends: give connections back."""

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

    def status(self) -> dict[str, Any]:
        """Health for people, and how many records wait."""
        return {**super().status(), "pending": self.pending}

    # --- component -----------------------------------------------------------------------------
    def start(self) -> None:
        """Start the thread."""
        if self._thread is None or not self._thread.is_alive():
            self._deadline, self._abandoned = None, False
            name = f"proletto-{self.name}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def flush(self, deadline: float) -> bool:
        """Wait until all is delivered; False at *deadline*, or when the peer is away for longer."""
        while self.pending and time.monotonic() < deadline:
            if self._thread is None or time.monotonic() + self._breaker.wait_s() > deadline:
                return False
            self._wake.set()
            time.sleep(POLL_S)
        return not self.pending

    def stop(self, deadline: float) -> None:
        """Deliver until *deadline*, count the rest as lost by the shutdown."""
        self._deadline = deadline
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._settling:
            self._abandoned = True
            left = self.pending
            self._queue.clear()
            self._flight = []
        if left:
            ledger.dropped(self.name, "shutdown", left)

    # --- the thread ----------------------------------------------------------------------------
    def _run(self) -> None:
        otel.attach(otel.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        with suppressed():
            while self._deadline is None and not self._abandoned:
                self._guarded_turn()
            while self._may_finish():
                self._guarded_turn()
            try:
                self.ended()
            except Exception as error:
                failed(f"{self.name}.ended", error)

    def _may_finish(self) -> bool:
        deadline = self._deadline
        return (
            bool(self.pending)
            and not self._abandoned
            and deadline is not None
            and time.monotonic() + self._breaker.wait_s() < deadline
        )

    def _guarded_turn(self) -> None:
        try:
            self._turn()
        except BaseException as error:  # the thread must live
            failed(f"{self.name}.thread", error)
            time.sleep(POLL_S)

    def _turn(self) -> None:
        if not self.pending or not self._breaker.ready():
            self._sleep(min(self._breaker.wait_s() if self.pending else IDLE_S, IDLE_S))
        if self.pending and self._breaker.ready():
            self._deliver_once()
        self.idle()

    def _sleep(self, seconds: float) -> None:
        self._wake.wait(seconds)

    def _deliver_once(self) -> None:
        with self._settling:
            while self._queue and len(self._flight) < self.max_batch:
                self._flight.append(self._queue.popleft())
            flight = list(self._flight)
        if not flight:
            return
        try:
            losses = self.deliver(flight)
        except NotNow as error:
            self._later(error)
            return
        self._settle(len(flight), losses)

    def _later(self, error: NotNow) -> None:
        self._breaker.failed(error.retry_after_s)
        self.fault(str(error))
        notice(f"sink:{self.name}", "%s sink: %s; trying again", self.name, self.last_error)

    def fault(self, why: str) -> None:
        """Show *why* in the status, without secrets."""
        self.last_error = sanitiser().text(why[:2000])[:MAX_ERROR]

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
