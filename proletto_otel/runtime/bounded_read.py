"""A value that somebody else's function reads: asked on a thread of its own, with a deadline.

A function that hangs costs its reader one deadline and one thread, however often it is asked; what
it said last is believed for a while, then it has no value.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from proletto_otel.core.internal_errors import count_failure, log_rate_limited
from proletto_otel.core.record import record
from proletto_otel.core.redaction.sanitise import get as sanitiser
from proletto_otel.runtime.single_flight import SingleFlight

DEADLINE_S = 1.0
"""Longest wait for one function. A scrape has ten seconds, the exit of a process five."""
BELIEVED_S = 60.0
"""Age at which a last value says nothing any more, as a missing reading of a threshold."""
MAX_MESSAGE = 200

T = TypeVar("T")


@record(frozen=True, slots=True)
class LastRead(Generic[T]):
    """What a function last said, and what is wrong with it now."""

    value: T | None
    age_s: float
    """Seconds since the value was read; infinite before the first one."""
    error: str
    """What went wrong the last time; empty when nothing did."""


class BoundedRead(Generic[T]):
    """Calls *function* for all who ask; a call is `read`.

    Args:
        subject: What messages call it: `gauge queue_depth`.
        function: Returns the value, or raises.
        deadline_s: Longest wait, seconds.
        clock: Monotonic seconds.
    """

    def __init__(
        self, subject: str, function: Callable[[], T], *, deadline_s: float = DEADLINE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._subject = subject
        self._function = function
        self._deadline_s = deadline_s
        self._clock = clock
        self._flight = SingleFlight("proletto-read", self._run, clock)
        self._pid = os.getpid()
        self._value: T | None = None
        self._read_at = float("-inf")
        self._error = ""

    def read(self) -> T | None:
        """The value now; while the function hangs or fails its last one, for a minute."""
        # By pid and not by a fork hook: a reader is made by the application at any time, and no
        # lifecycle knows it. The thread of a read under way is not in this child.
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            self._flight.forked()
        try:
            run = self._flight.join()
        except RuntimeError:  # no thread can be started: the process ends
            return self.last().value
        # The deadline counts from the start of the run, so of ten readers of a function that hangs
        # none waits longer than the first, and a later one does not wait at all.
        if not run.wait(run.started + self._deadline_s - self._clock()):
            self._failed(f"no answer within {self._deadline_s:g} s")
        return self.last().value

    def last(self) -> LastRead[T]:
        """The last value and error, without calling the function."""
        age_s = self._clock() - self._read_at
        return LastRead(self._value if age_s <= BELIEVED_S else None, age_s, self._error)

    def _run(self) -> None:
        try:
            self._value = self._function()
            self._read_at, self._error = self._clock(), ""
        except Exception as error:
            self._failed(f"{type(error).__name__}: {error}")

    def _failed(self, why: str) -> None:
        self._error = sanitiser().text(why[:2000])[:MAX_MESSAGE]
        count_failure("read", RuntimeError(self._subject))
        log_rate_limited(f"read:{self._subject}", "%s: %s", self._subject, self._error)
