"""The one thread of a process that talks to the collector, for all signals.

It exports when a batch is full or old enough, pushes metrics, sends what waits on disk, and ends
within a deadline. What is sent and what becomes of it is decided in `export.signal_exporter`; how
the thread lives is `runtime.worker`'s.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.export.queue import ExportQueue
from proletto_otel.runtime.waker import Waker
from proletto_otel.runtime.worker import Worker

if TYPE_CHECKING:
    from proletto_otel.export.sending import Sending

BEGIN_AFTER_S = 0.2
"""The first item wakes it sooner."""
LONGEST_SLEEP_S = 0.5
SHORTEST_SLEEP_S = 0.01
RESEND_GAP_S = 0.02
"""Rest after each payload from disk: 50 a second, so that live data and the app go on."""
SWEEP_EVERY_S = 5.0
FOREVER_S = 3600.0
RESERVE_S = 0.5
"""Part of the time to stop that is kept for writing to disk what a hung request still holds."""


class FlushRequest:
    """Somebody waits until everything queued now is sent."""

    def __init__(self, deadline: float, failures: int) -> None:
        self.deadline = deadline
        self.failures = failures
        """How often something was not delivered before."""
        self.ok = False
        self.waker = Waker()


class ExportThread:
    """Drives the signals' exporters in a thread of its own.

    Args:
        queues: Those of the signals that are exported.
        sending: Gives what sends, and makes it when nobody asked before.
        made: The same if it was made already.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        queues: Sequence[ExportQueue],
        sending: Callable[[], Sending],
        made: Callable[[], Sending | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queues, self._sending, self._made = queues, sending, made
        self.worker = Worker(
            "export",
            self._turn,
            prepare=self._prepare,
            recover=self._recover,
            finish=self._finish,
            abandon=self._abandon,
            running_changed=self._running_changed,
            reserve_s=RESERVE_S,
            clock=clock,
        )
        self._clock = clock
        self._reset()

    def _reset(self) -> None:
        self._flush_requests: deque[FlushRequest] = deque()
        self._sweep_at = 0.0
        self._finished = False
        self._failures = 0
        """Cycles in which something was not delivered."""

    def start(self) -> None:
        """Start the thread in this process; once is enough."""
        if self.worker.running:
            return
        self._reset()
        for queue in self._queues:
            queue.open()
        if self._queues:
            self.worker.start()

    def forked(self) -> None:
        """Begin afresh in a child: no thread."""
        self._reset()
        self.worker.forked()

    def wake(self) -> None:
        """End the thread's sleep; start it again if it was lost. For signal handlers too."""
        self.worker.wake()

    def flush(self, deadline: float) -> bool:
        """Send what is queued by *deadline* (monotonic); whether all of it was delivered."""
        if not self.worker.running:
            done: list[bool] = []
            self.worker.run_here(lambda: done.append(self._cycle(deadline, force=True)), deadline)
            return done == [True]
        request = FlushRequest(deadline, self._failures)
        self._flush_requests.append(request)
        self.worker.wake()
        # A pipe and no condition: `threading.Event.wait` follows the wall clock on Python 3.10.
        request.waker.wait(deadline - self._clock())
        return request.ok

    def stop(self, deadline: float) -> None:
        """Send what there is until *deadline* (monotonic), put the rest on disk, count the rest."""
        self.worker.stop(deadline)

    def _prepare(self) -> None:
        # The first request starts the thread, and would wait for the interpreter while it imports.
        self.worker.wait(BEGIN_AFTER_S)
        self._sending().open()

    def _running_changed(self, runs: bool) -> None:
        """While the thread does not run, every `put` wakes it, which starts a lost one again."""
        for queue in self._queues:
            queue.wake_at = queue.max_items if runs else 1

    def _turn(self) -> None:
        # All flushes that wait are answered by one cycle: it begins after each of them was asked
        # for, so what was queued before is in it.
        requests = [self._flush_requests.popleft() for _ in range(len(self._flush_requests))]
        deadline = min([r.deadline for r in requests], default=self._clock() + FOREVER_S)
        everything = self._cycle(deadline, force=bool(requests))
        self._failures += not everything
        for request in requests:
            # False also when an earlier cycle failed while this request waited: the records it
            # asked for may have been in that one.
            request.ok = everything and request.failures == self._failures
            request.waker.set()
        # One payload of each signal from disk, after what is new: a backlog of hours must not keep
        # today's records waiting. While there is more, the next turn comes after a short rest.
        more = False
        sending = self._sending()
        exporters = sending.exporters.values()
        for exporter in exporters:
            more |= not self.worker.stopping and exporter.resend(self._clock() + FOREVER_S)
        if more:
            self.worker.wait(RESEND_GAP_S)
            return
        soonest = min([e.due_in_s() for e in exporters], default=LONGEST_SLEEP_S)
        if sending.metric_reader is not None:
            soonest = min(soonest, sending.metric_reader.due_in_s())
        self.worker.wait(min(max(soonest, SHORTEST_SLEEP_S), LONGEST_SLEEP_S))

    def _cycle(self, deadline: float, *, force: bool, last: bool = False) -> bool:
        everything, sending = True, self._sending()
        for exporter in sending.exporters.values():
            if force or exporter.due_in_s() <= 0:
                everything &= exporter.export(deadline)
        reader = sending.metric_reader
        if reader is not None and (force or reader.due_in_s() <= 0):
            everything &= reader.run_last(deadline) if last else reader.run(deadline)
        # Not in every cycle: it reads the directories of all signals.
        if self._clock() >= self._sweep_at:
            self._sweep_at = self._clock() + SWEEP_EVERY_S
            with suppressed("export.sweep"):
                sending.spool.sweep()
        return everything

    def _recover(self) -> None:
        for exporter in self._sending().exporters.values():
            exporter.recover()

    def _finish(self, deadline: float) -> None:
        with suppressed("export.stop"):
            self._cycle(deadline, force=True, last=True)
        for exporter in self._sending().exporters.values():
            # Closed first: what is put from now on is counted as refused, and not forgotten.
            with suppressed("export.stop"):
                exporter.queue.close()
                exporter.recover()
                exporter.finish()
                exporter.destination.close()
        self._finished = True

    def _abandon(self) -> None:
        """The thread hangs in a request: what it holds goes to disk all the same."""
        if not self._finished:
            for exporter in self._sending().exporters.values():
                exporter.queue.close()
                exporter.abandon(RESERVE_S / 2)
