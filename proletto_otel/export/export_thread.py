"""The sender: the one thread of a process that talks to the collector, for all signals.

It pumps the lanes when a batch is full or old enough, pushes metrics, drains the disk, and ends
within a deadline. What is sent and what becomes of it is decided in `export.signal_exporter`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from proletto_otel.core.internal_errors import failed, suppressed
from proletto_otel.export.metric_reader import MetricReader
from proletto_otel.export.signal_exporter import SignalExporter
from proletto_otel.export.spool.spool import Spool
from proletto_otel.runtime.waker import Waker

LONGEST_NAP_S = 0.5
SHORTEST_NAP_S = 0.01
DRAIN_GAP_S = 0.02
"""Rest after each parcel from disk: 50 a second, so that live data and the app go on."""
SWEEP_EVERY_S = 5.0
RESTART_PAUSE_S = 0.2
FOREVER_S = 3600.0
RESERVE_S = 0.5
"""Part of the time to stop that is kept for writing to disk what a hung request still holds."""


class FlushRequest:
    """Somebody waits until everything queued now is sent."""

    def __init__(self, deadline: float, misses: int) -> None:
        self.deadline = deadline
        self.misses = misses
        """How often something was not delivered before."""
        self.ok = False
        self.wake = Waker()


class ExportThread:
    """Drives the lanes in a thread of its own.

    Args:
        lanes: One for each signal that is exported.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        lanes: Sequence[SignalExporter],
        spool: Spool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lanes = lanes
        self.push: MetricReader | None = None
        self._spool = spool
        self._clock = clock
        self._turn = threading.Lock()
        self._wake: Waker | None = None
        self._reset()

    def _reset(self) -> None:
        self._pid = 0
        self._thread: threading.Thread | None = None
        self._tickets: deque[FlushRequest] = deque()
        self._stop_at: float | None = None
        self._ended = False
        self._sweep_at = 0.0
        self._misses = 0
        """Cycles in which something was not delivered."""

    def start(self) -> None:
        """Start the thread in this process; once is enough."""
        if self._pid == os.getpid() and self._thread is not None and self._thread.is_alive():
            return
        self._reset()
        self._pid = os.getpid()
        self._wake = self._wake or Waker()
        for lane in self.lanes:
            lane.open()
        if self.lanes:
            self._begin()

    def _begin(self) -> None:
        self._ended = False
        self._watch(True)  # until its loop says that it runs
        thread = threading.Thread(target=self._run, name="proletto-sender", daemon=True)
        thread.start()
        self._thread = thread

    def _watch(self, is_lost: bool) -> None:
        """Let every `put` call `wake`, which looks after the thread; or only full batches."""
        for lane in self.lanes:
            lane.batcher.wake_at = 1 if is_lost else lane.batcher.max_items

    def forked(self) -> None:
        """Begin afresh in a child: nothing queued, no connection, no thread."""
        self._reset()
        self._turn = threading.Lock()
        self._wake = None
        for lane in self.lanes:
            lane.forked()
            lane.link.forked()
        self._spool.forked()

    def wake(self) -> None:
        """End the thread's sleep; start it again if it was lost. For signal handlers too."""
        thread = self._thread
        if thread is not None and not thread.is_alive() and self._stop_at is None:
            self._revive(thread)
        if self._wake is not None:
            self._wake.set()

    def flush(self, deadline: float) -> bool:
        """Send what is queued by *deadline* (monotonic); whether all of it was delivered."""
        if self._thread is None or not self._thread.is_alive():
            with self._turn:
                return self._cycle(force=True, deadline=deadline)
        ticket = FlushRequest(deadline, self._misses)
        self._tickets.append(ticket)
        self.wake()
        ticket.wake.wait(deadline - self._clock())
        return ticket.ok

    def stop(self, deadline: float) -> None:
        """Send what there is until *deadline* (monotonic), put the rest on disk, count the rest."""
        thread, self._stop_at = self._thread, deadline
        self.wake()
        if thread is None or not thread.is_alive():
            self._finish(deadline)
        elif not self._is_gone_by(deadline - RESERVE_S):
            for lane in self.lanes:
                lane.batcher.close()
                lane.abandon(RESERVE_S / 2)
        self._thread = None

    def _is_gone_by(self, deadline: float) -> bool:
        while not self._ended and self._clock() < deadline:
            time.sleep(0.01)  # a lock's timeout, as of `join`, follows the wall clock on 3.10
        return self._ended

    def _revive(self, lost: threading.Thread) -> None:
        if self._pid != os.getpid() or not self._turn.acquire(blocking=False):
            return  # a child that was not started; or another caller does it
        try:
            if self._thread is lost:
                failed("export.sender", RuntimeError("the thread was lost"))
                self._begin()
        except RuntimeError:  # the interpreter is going down: no new threads
            self._thread = None
        finally:
            self._turn.release()

    def _run(self) -> None:
        _suppress_instrumentation()
        try:
            pause_s = 0.0
            while self._stop_at is None:
                try:  # the recovery is inside, so that a blow during it is survived, too
                    self._nap(pause_s)
                    for lane in self.lanes:
                        lane.recover()
                    self._loop()
                except BaseException as error:
                    pause_s = RESTART_PAUSE_S
                    failed("export.sender", error)
            self._finish(self._stop_at)
        finally:
            self._ended = True
            self._watch(True)

    def _loop(self) -> None:
        self._watch(False)
        while self._stop_at is None:
            tickets = [self._tickets.popleft() for _ in range(len(self._tickets))]
            deadline = min([t.deadline for t in tickets], default=self._clock() + FOREVER_S)
            everything = self._cycle(force=bool(tickets), deadline=deadline)
            self._misses += not everything
            for ticket in tickets:
                ticket.ok = everything and ticket.misses == self._misses
                ticket.wake.set()
            self._nap(DRAIN_GAP_S if self._drain() else self._until_due_s())

    def _cycle(self, *, force: bool, deadline: float) -> bool:
        everything = True
        for lane in self.lanes:
            if force or lane.due_in_s() <= 0:
                everything &= lane.pump(deadline)
        if self.push is not None and (force or self.push.due_in_s() <= 0):
            everything &= self.push.run(deadline)
        if self._clock() >= self._sweep_at:
            self._sweep_at = self._clock() + SWEEP_EVERY_S
            with suppressed("export.sweep"):
                self._spool.sweep()
        return everything

    def _until_due_s(self) -> float:
        soonest = min([lane.due_in_s() for lane in self.lanes], default=LONGEST_NAP_S)
        if self.push is not None:
            soonest = min(soonest, self.push.due_in_s())
        return min(max(soonest, SHORTEST_NAP_S), LONGEST_NAP_S)

    def _drain(self) -> bool:
        busy = False
        for lane in self.lanes:
            busy |= self._stop_at is None and lane.drain(self._clock() + FOREVER_S)
        return busy

    def _finish(self, deadline: float) -> None:
        with self._turn:
            with suppressed("export.stop"):
                self._cycle(force=True, deadline=deadline)
            for lane in self.lanes:
                with suppressed("export.stop"):
                    lane.batcher.close()
                    lane.recover()
                    lane.finish()
                    lane.link.close()

    def _nap(self, seconds: float) -> None:
        if self._wake is not None:
            self._wake.wait(seconds)


def _suppress_instrumentation() -> None:
    """Our own requests make no spans: libraries that trace `http.client` look for these keys."""
    from opentelemetry import context

    for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"):
        key = getattr(context, name, None)
        if key is not None:
            context.attach(context.set_value(key, True))
