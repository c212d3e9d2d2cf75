"""One daemon thread of ours: it starts, sleeps until woken, and ends within a budget.

What the thread does is handed over as callables, so an exporter or a sink *has* a worker and is
none. A queue that such a thread empties is in `runtime.queue_worker`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from proletto_otel.core.internal_errors import count_failure
from proletto_otel.core.redaction.sanitise import get as sanitiser
from proletto_otel.core.trace_context import without_instrumentation
from proletto_otel.runtime.circuit_breaker import Breaker
from proletto_otel.runtime.waker import Waker

MAX_ERROR = 300
"""Characters of a peer's error that are shown."""
POLL_S = 0.01
RECOVER_PAUSE_S = 0.2
"""Rest after a failed turn, so that a turn that always fails does not spin."""


def _nothing() -> None:
    """Do nothing: the default of each callable that a worker may leave out."""


class Worker:
    """Calls *turn* again and again on a thread of its own until it is stopped.

    Args:
        name: Names the thread `proletto-<name>`, and its failures.
        turn: Does what is due, or sleeps with `wait`.
        pending: How much still has to be done; a stop gives it time until the deadline.
        prepare: Runs first in the thread; a failure is shown in `last_error`.
        recover: Puts back what a failed turn, or a thread that was lost, left half done.
        finish: Runs last, with the deadline of the stop (monotonic).
        abandon: Runs at the end of a stop, under `lock`: count what is left as lost.
        running_changed: Called with whether the thread runs, from the thread and at its start.
        surroundings: What the thread runs inside of.
        reserve_s: Part of a stop's budget that is kept for `abandon`.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], object],
        *,
        pending: Callable[[], int] = lambda: 0,
        prepare: Callable[[], object] = _nothing,
        recover: Callable[[], object] = _nothing,
        finish: Callable[[float], object] = lambda _: None,
        abandon: Callable[[], object] = _nothing,
        running_changed: Callable[[bool], object] = lambda _: None,
        surroundings: Callable[[], AbstractContextManager[object]] = nullcontext,
        reserve_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._turn, self._pending, self._prepare = turn, pending, prepare
        self._recover, self._finish, self._abandon = recover, finish, abandon
        self._running_changed, self._surroundings = running_changed, surroundings
        self._reserve_s, self._clock = reserve_s, clock
        self.forked()

    def forked(self) -> None:
        """Begin afresh in a child: no thread, no failures, and nobody asked to stop."""
        self.breaker = Breaker(self._clock)
        self.lock = threading.Lock()
        """Whoever counts what became of an item holds it and looks at `abandoned` first."""
        self.last_error = ""
        self.abandoned = False
        """Whether a stop has counted what was left."""
        self._pid = 0
        self._thread: threading.Thread | None = None
        self._ended = True
        self._has_finished = False
        self._deadline: float | None = None
        self._needs_recovery = False
        self._waker: Waker | None = None
        self._beginning = threading.Lock()
        self._in_use = threading.Lock()

    # --- callers -------------------------------------------------------------------------------
    @property
    def running(self) -> bool:
        """Whether the thread runs in this process."""
        thread = self._thread
        return thread is not None and thread.is_alive() and self._pid == os.getpid()

    @property
    def stopping(self) -> bool:
        """Whether somebody asked for the end."""
        return self._deadline is not None or self.abandoned

    def start(self) -> None:
        """Start the thread in this process; again does nothing.

        Raises:
            RuntimeError: no thread can be started.
        """
        with self._beginning:
            self.reopen()
            if not self.running:
                self._begin()

    def reopen(self) -> None:
        """Accept work again after a stop."""
        self._deadline, self.abandoned, self._has_finished = None, False, False

    def wake(self) -> None:
        """End the thread's sleep; start it again if it was lost. For signal handlers too."""
        # Looked at on every wake, because a thread that ended by itself calls nobody.
        thread = self._thread
        if thread is not None and not thread.is_alive() and self._deadline is None:
            self._replace(thread)
        if self._waker is not None:
            self._waker.set()

    def flush(self, deadline: float) -> bool:
        """Wait until nothing is pending; False at *deadline* or when the peer is away for longer.

        Without a thread the work is done by the caller.
        """
        if not self.running:
            self.run_here(lambda: self._turns_until(deadline), deadline)
            return not self._pending()
        # Woken each time, because `wake` also replaces a thread that was lost meanwhile.
        while self._may_go_on(deadline) and self.running:
            self.wake()
            time.sleep(POLL_S)
        return not self._pending()

    def stop(self, deadline: float) -> None:
        """Do what is pending until *deadline* (monotonic), then count what is left as lost.

        A thread that never ran, as in a short script, leaves its work to the caller.
        """
        self._deadline = deadline
        self.wake()
        if self.running:
            while not self._ended and self._clock() < deadline - self._reserve_s:
                time.sleep(POLL_S)  # a lock's timeout, as of `join`, follows the wall clock on 3.10
        elif not self._has_finished:  # the thread may have ended just before it was looked at
            self.run_here(self._last_turns, deadline)
        self._has_finished = False  # what is opened from here on is closed by the next stop
        # From here on the thread's outcomes do not count: what it still holds is counted as lost
        # here, and a request that ends after all must not count the same items as delivered.
        with self.lock:
            self.abandoned = True
            self._abandon()

    def run_here(self, function: Callable[[], object], deadline: float) -> None:
        """Run *function* as the thread would; until *deadline* another caller may be doing so."""
        if not self._in_use.acquire(timeout=max(0.0, deadline - self._clock())):
            return
        try:
            with without_instrumentation(), self._surroundings():
                function()
        finally:
            self._in_use.release()

    # --- the thread ----------------------------------------------------------------------------
    def wait(self, seconds: float) -> bool:
        """Sleep up to *seconds*; return whether somebody called `wake`."""
        if self._waker is None:
            self._waker = Waker()
        if self._deadline is not None:
            seconds = min(seconds, self._deadline - self._clock())
        return self._waker.wait(seconds)

    def set_error(self, why: str) -> None:
        """Show *why* in the status, without secrets."""
        self.last_error = sanitiser().text(why[:2000])[:MAX_ERROR]

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._waker = self._waker or Waker()
        self._ended = False
        self._running_changed(False)
        name = f"proletto-{self.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _replace(self, lost: threading.Thread) -> None:
        """Start another thread for one that is gone without having been stopped."""
        # Without waiting: the caller may be a signal handler above the holder of the lock.
        if self._pid != os.getpid() or not self._beginning.acquire(blocking=False):
            return  # a child that was not started; or another caller does it
        try:
            if self._thread is lost:
                count_failure(f"{self.name}.thread", RuntimeError("the thread was lost"))
                self._needs_recovery = True
                self._begin()
        except RuntimeError:  # the interpreter is going down: no new threads
            self._thread = None
        finally:
            self._beginning.release()

    def _run(self) -> None:
        try:
            with without_instrumentation(), self._surroundings():
                try:
                    self._prepare()
                except Exception as error:  # the turns go on: the peer may be there later
                    self.set_error(f"{type(error).__name__}: {error}")
                self._running_changed(True)
                while self._deadline is None and not self.abandoned:
                    self._guarded_turn()
                self._last_turns()
        finally:
            self._ended = True
            self._running_changed(False)

    def _last_turns(self) -> None:
        deadline = self._clock() if self._deadline is None else self._deadline
        self._turns_until(deadline)
        try:
            self._finish(deadline)
        except Exception as error:
            count_failure(f"{self.name}.finish", error)
        self._has_finished = True

    def _turns_until(self, deadline: float) -> None:
        while not self.abandoned and self._may_go_on(deadline):
            self._guarded_turn()

    def _may_go_on(self, deadline: float) -> bool:
        """Whether something is pending that can be tried before *deadline*."""
        return bool(self._pending()) and self._clock() + self.breaker.wait_s() < deadline

    def _guarded_turn(self) -> None:
        try:
            if self._needs_recovery:  # inside `try`: the recovery itself may fail
                self.wait(RECOVER_PAUSE_S)
                self._recover()
                self._needs_recovery = False
            self._turn()
        except BaseException as error:  # the thread must live
            self._needs_recovery = True
            count_failure(f"{self.name}.thread", error)
