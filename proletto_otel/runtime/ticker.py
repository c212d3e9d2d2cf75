"""Jobs that run at an interval, off the request path, all on one thread of the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.record import record
from proletto_otel.runtime.lifecycle import Component

BEGIN_AFTER_S = 0.05
LONGEST_SLEEP_S = 1.0
"""How soon a job that was added late, or a free lead, is noticed."""
TOGETHER_S = 0.5
"""Jobs whose interval is a multiple of it run in the same wakes. Measured, a worker without
requests on a busy machine: 2 wakes a second in place of 7, 8.2 ms of CPU in place of 9.6."""


class Leadership(Protocol):
    """Who leads the host; `state.leader` decides it."""

    @property
    def is_leader(self) -> bool:
        """Whether this process leads."""

    def try_lead(self) -> bool:
        """Take the lead if it is free; whether this process leads now."""

    def resign(self) -> None:
        """Give the lead to another process."""

    def forked(self) -> None:
        """A child does not lead."""


@record(slots=True, eq=False)
class Job:
    """One function that runs at an interval."""

    name: str
    seconds: float
    function: Callable[[], object]
    leader: bool
    when: Callable[[], bool]
    due: float


class Ticker(Component):
    """Runs jobs one after the other on a daemon thread.

    Args:
        leader: Who leads the host; jobs marked so run only there.
        clock: Monotonic seconds.
    """

    name = "ticker"
    gate: threading.RLock

    def __init__(self, leader: Leadership, clock: Callable[[], float] = time.monotonic) -> None:
        self.leader = leader
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self.forked()

    def forked(self) -> None:
        """No thread runs in a child; jobs stay, and are due at once."""
        self.gate = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._first_tick: float | None = None
        self.leader.forked()
        for job in self._jobs.values():
            job.due = 0.0

    def every(
        self, seconds: float, name: str, function: Callable[[], object], *, leader: bool = False,
        when: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        """Call *function* at once and then every *seconds*; a second job of the name replaces it.

        Args:
            seconds: Interval; a job that takes longer is simply late. The second call may come up
                to half a second earlier, to run with other jobs.
            name: Under which its failures are counted.
            function: Takes nothing; what it raises is counted, and it is called again.
            leader: Only where this process leads the host.
            when: Only while this is true; a job that waited for it is due at once.
        """
        # A new dictionary instead of a changed one: the thread may be going through the old one.
        self._jobs = {**self._jobs, name: Job(name, seconds, function, leader, when, 0.0)}

    def cancel(self, name: str) -> None:
        """Remove the job *name*."""
        self._jobs = {k: job for k, job in self._jobs.items() if k != name}

    def start(self) -> None:
        """Start the thread."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="proletto-ticker", daemon=True)
            self._thread.start()

    def stop(self, deadline: float) -> None:
        """End the thread and give up the lead."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
        self._thread = None
        self.leader.resign()

    def tick(self) -> float:
        """Run what is due; return seconds until the next job."""
        leads = self.leader.try_lead()
        began = self._clock()
        if self._first_tick is None:
            self._first_tick = began
        for job in list(self._jobs.values()):
            if self._stop.is_set():
                break
            if job.due > self._clock() or (job.leader and not leads) or not job.when():
                continue
            # From now and not from when it was due: after a long job the runs that were missed are
            # not made up for.
            job.due = began + job.seconds
            if not job.seconds % TOGETHER_S:
                job.due -= (job.due - self._first_tick) % TOGETHER_S
            try:
                with self.gate, suppressed(f"ticker.{job.name}"):
                    job.function()
            except Exception:  # only when strict: the failure is counted, the thread must live
                continue
        waiting = [j.due for j in self._jobs.values() if (leads or not j.leader) and j.when()]
        return max(0.0, min(waiting, default=self._clock() + LONGEST_SLEEP_S) - self._clock())

    def _run(self) -> None:
        stop = self._stop  # this thread's own event: a fork or a new start makes another one
        # The first request starts the thread, and would share the interpreter with all first jobs.
        stop.wait(BEGIN_AFTER_S)
        while not stop.is_set():
            stop.wait(min(LONGEST_SLEEP_S, max(0.01, self.tick())))
