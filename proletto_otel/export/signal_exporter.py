"""Sends one signal's batches to its endpoint, and decides by the answer what becomes of each.

Accepted: delivered. The batch is at fault (400, 413, 422): set aside and counted, never tried again
by itself. Anything else (no answer, a redirect, 401, 404, 429, 5xx) is the endpoint's fault: to the
disk spool until it is well. Every record leaves with exactly one count. The thread that drives it
is `export.export_thread`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.delivery import ledger as process_ledger
from proletto_otel.export.answers import (
    CONDEMNS,
    TOO_LARGE,
    fix,
    is_about_the_endpoint,
    is_fault_that_a_batch_may_cause,
)
from proletto_otel.export.batch import BatchReader, ResourceBytes
from proletto_otel.export.destination import Destination
from proletto_otel.export.encoding import envelope
from proletto_otel.export.endpoint import Endpoint
from proletto_otel.export.http_connection import Answer
from proletto_otel.export.payload import Payload
from proletto_otel.export.queue import ExportQueue
from proletto_otel.export.spool.directory import Claim
from proletto_otel.export.spool.spool import Spool
from proletto_otel.export.undelivered import Undelivered
from proletto_otel.runtime.circuit_breaker import Breaker

POISON_TRIES = 5
"""A payload on disk that got 500 so often while others passed is the cause itself."""


class SignalExporter:
    """Batches of one signal on their way to one endpoint. Used by the export thread alone.

    Args:
        signal: `traces`, `logs` or `metrics`.
        resource: The resource's bytes in this process.
        scope: The scope of items that name none.
        encoding: `gzip`, or empty.
        delay_s: Longest wait of a record in the queue, seconds.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        signal: str,
        queue: ExportQueue,
        endpoint: Endpoint,
        destination: Destination,
        spool: Spool,
        *,
        resource: ResourceBytes,
        scope: bytes,
        encoding: str,
        delay_s: float,
        clock: Callable[[], float] = time.monotonic,
        ledger: Ledger = process_ledger,
    ) -> None:
        self.signal, self.queue = signal, queue
        self.endpoint, self.destination = endpoint, destination
        self.breaker = Breaker(clock)
        self.last_error = ""
        self.resource, self.scope = resource, scope
        self._spool = spool
        self._encoding, self._delay_s = encoding, delay_s
        self._batches = BatchReader(
            queue, ledger, resource=resource, scope=scope, encoding=encoding
        )
        self._clock, self._ledger = clock, ledger
        self._sink = queue.sink
        self._undelivered = Undelivered(signal, queue.sink, spool, ledger, clock)
        self.forked()

    def forked(self) -> None:
        """Begin empty in a child; the queue, which is older, is emptied by who owns it."""
        self._in_flight: list[Payload] = []
        self._claim: Claim | None = None
        self._undelivered.forked()
        self._exported_at = 0.0
        # A new one: the thread that holds the parent's is not in this child.
        self._outcome_lock = Lock()
        self._abandoned = False
        self._passed = 0
        self._tries: dict[str, tuple[int, int]] = {}

    def open(self) -> None:
        """Accept records; the first batch waits as long as any, unless a flush asks for it."""
        self.queue.open()
        self._exported_at = self._clock()

    @property
    def pending(self) -> int:
        """Records in memory."""
        in_flight = sum(payload.items for payload in self._in_flight)
        return len(self.queue) + in_flight + self._undelivered.items

    def ready(self) -> bool:
        """Whether a request may go out now."""
        return self.destination.breaker.ready() and self.breaker.ready()

    def due_in_s(self) -> float:
        """Seconds until a batch is full or has waited long enough."""
        if len(self.queue) >= self.queue.max_items:
            return 0.0
        return self._exported_at + self._delay_s - self._clock()

    def export(self, deadline: float) -> bool:
        """Send what is queued, or spool it; whether all of it was delivered."""
        self._exported_at = self._clock()
        everything = True
        # What the disk refused before goes first: it is the oldest, and only memory holds it.
        if self._undelivered.items:
            everything = self.ready() or self._undelivered.is_due()
            if everything:
                self._in_flight = self._undelivered.take()
                everything = self._send_in_flight(deadline)
        # As many batches as were queued at the beginning: under steady load the loop would
        # otherwise never come to the other signals.
        for _ in range(len(self.queue) // self.queue.max_items + 1):
            payload = None if self._abandoned else self._batches.next()
            if payload is None:
                break
            everything &= self._send(payload, deadline)
        return everything

    def send_metrics(self, request: bytes, deadline: float) -> bool:
        """Send a request of metrics, or spool it; whether it was delivered."""
        self._ledger.emitted(self._sink)
        return self._send(Payload.of(request, 1, self._encoding), deadline)

    def _send(self, payload: Payload, deadline: float) -> bool:
        self._in_flight = [payload]
        self.queue.confirm()
        return self._send_in_flight(deadline)

    def resend(self, deadline: float) -> bool:
        """Send the oldest payload on disk; whether another one may follow at once."""
        claim = self._spool.claim(self.signal) if self._may_send(deadline) else None
        if claim is None:
            return False
        # Noted while the peer is asked: if the thread dies in there, `recover` gives it back.
        self._claim = claim
        answer = self.destination.post(self.endpoint, self._sink, claim.payload, deadline)
        self._claim = None
        with self._outcome_lock:
            return not self._abandoned and self._resent(claim, answer)

    def recover(self) -> None:
        """Save what was under way when the export thread died."""
        for payload in self._in_flight:
            self._undelivered.store(payload)
        self._in_flight = []
        self.queue.put_back()
        claim, self._claim = self._claim, None
        if claim is not None:
            self._spool.give_back(self.signal, claim)

    def finish(self) -> None:
        """Put everything on disk; count what the disk does not take."""
        while (payload := self._batches.next()) is not None:
            self._in_flight = [payload]
            self.queue.confirm()
            self.recover()
        self._undelivered.finish()

    def abandon(self, wait_s: float) -> None:
        """Do `finish` in place of an export thread that hangs; what it gets will not count."""
        if not self._outcome_lock.acquire(timeout=max(0.0, wait_s)):
            return
        try:
            self._abandoned = True
            self.recover()
            self.finish()
        finally:
            self._outcome_lock.release()

    def _send_in_flight(self, deadline: float) -> bool:
        everything = True
        while self._in_flight:
            payload = self._in_flight[0]
            answer = None
            if self._may_send(deadline):
                answer = self.destination.post(self.endpoint, self._sink, payload, deadline)
            halves = payload.halves() if answer and answer.status == TOO_LARGE else []
            # One of two counts the payload: this thread by the answer, or `abandon` when the answer
            # comes after the end of a stop. Never is the lock held while the peer is asked.
            with self._outcome_lock:
                if self._abandoned:
                    return False
                everything &= bool(halves) or self._answered(payload, answer)
                # In its place: if the thread dies now, `recover` finds the halves and not the
                # whole.
                self._in_flight[:1] = halves
        return everything

    def _may_send(self, deadline: float) -> bool:
        there = self.breaker.ready() and self.destination.answers(
            self.endpoint, self._sink, deadline
        )
        return there and not self._abandoned

    def _answered(self, payload: Payload, answer: Answer | None) -> bool:
        if answer is None or self._must_wait(answer):
            self._undelivered.store(payload)
            return False
        if answer.status in CONDEMNS:
            self._refused(payload, answer.status)
            return False
        self._accepted(payload, answer)
        return True

    def _resent(self, claim: Claim, answer: Answer | None) -> bool:
        if answer is None:
            self._spool.give_back(self.signal, claim)
            return False
        if self._must_wait(answer):
            return self._again_or_poison(claim, answer)
        halves = claim.payload.halves() if answer.status == TOO_LARGE else []
        # The halves are written before the whole is removed: a crash between the two sends the
        # records twice, the other order would lose them.
        for half in halves:
            self._undelivered.store(half)
        if not self._spool.done(self.signal, claim) or halves:
            return True
        if answer.status in CONDEMNS:
            self._refused(claim.payload, answer.status)
        else:
            self._accepted(claim.payload, answer)
        return True

    def _again_or_poison(self, claim: Claim, answer: Answer) -> bool:
        base = claim.entry.base
        tries, passed = self._tries.pop(base, (0, self._passed))
        is_fault = is_fault_that_a_batch_may_cause(answer.status)
        # A collector that is broken answers 500 to everything; a payload is the cause only when
        # others passed between its own failures. Until then it goes to the end of the queue.
        is_poison = is_fault and tries + 1 >= POISON_TRIES
        if is_poison and self._passed > passed:
            if self._spool.done(self.signal, claim):
                self._refused(claim.payload, answer.status)
            return True
        # Beyond 1,000 payloads tries are not remembered: they are then sent for up to 48 hours.
        if len(self._tries) < 1000:
            self._tries[base] = (tries + 1, passed)
        self._spool.give_back(self.signal, claim, last=is_fault)
        return False

    def _must_wait(self, answer: Answer) -> bool:
        status = answer.status
        if not is_about_the_endpoint(status):
            self.breaker.succeeded()
            return False
        self.last_error = f"HTTP {status}"
        self.breaker.failed(answer.retry_after_s)
        advice = fix(status)
        log_rate_limited(
            f"otlp:{self.signal}",
            "%s answers %s for %s; telemetry waits on disk%s",
            self.destination.shown,
            status,
            self.signal,
            f"; {advice}" if advice else "",
        )
        return True

    def _accepted(self, payload: Payload, answer: Answer) -> None:
        self._passed += 1
        lost, why = envelope.rejected(answer.body) if answer.body else (0, "")
        # The number comes from outside: more than was sent, or fewer than none, would break the
        # ledger.
        lost = max(0, min(lost, payload.items))
        self._ledger.delivered(self._sink, payload.items - lost)
        if lost:
            self.last_error = "partial success"
            self._ledger.dropped(self._sink, "partial_success", lost)
            message = "%s refused %d of %d records of %s: %s"
            args = (self.destination.shown, lost, payload.items, self.signal, ascii(why)[:200])
            log_rate_limited(f"otlp:{self.signal}:partial", message, *args)

    def _refused(self, payload: Payload, status: int) -> None:
        self.last_error = f"HTTP {status}"
        why = f"rejected_{status}"
        self._ledger.dropped(self._sink, why, payload.items)
        self._spool.reject(self.signal, payload, why)
        message = (
            "%s refused %d records of %s (HTTP %d); they are set aside, "
            "`python -m proletto_otel spool resend` sends them again"
        )
        args = (self.destination.shown, payload.items, self.signal, status)
        log_rate_limited(f"otlp:{self.signal}:refused", message, *args)
