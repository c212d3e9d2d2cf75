"""Whether somebody lately looked at the dashboard or searched the log, in any worker of the host.

What only serves a reader is made while there is one: indexing the log took 28 us of CPU for each
request with three log lines, and preparing the overview 1.5 ms each second, on services that nobody
was looking at (`bench`, 12,000 requests with three lines each).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from proletto_otel.core.ownership import give_to_owner

NAME = "viewed"
NOTE_S = 10.0
"""How often one worker writes it down at most."""
LATELY_S = 900.0
"""So long after the last look there still is a reader: a quarter of an hour."""


class Viewing:
    """The time of the last look, as the time of a file that all workers share.

    Args:
        state: The directory they share; None: this process is for itself.
        clock: Unix seconds.
    """

    def __init__(self, state: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._path = state / NAME if state is not None else None
        self._clock = clock
        self._noted = float("-inf")

    def note(self) -> None:
        """Somebody looks now."""
        now = self._clock()
        if abs(now - self._noted) < NOTE_S:  # abs: the clock may have been put back
            return
        self._noted = now
        if self._path is None:
            return
        with contextlib.suppress(OSError):  # disk full or read-only: this worker knows at least
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.utime(self._path, (now, now))
            give_to_owner(self._path)

    def lately(self) -> bool:
        """Whether somebody looked within the last quarter of an hour."""
        now = self._clock()
        if abs(now - self._noted) < LATELY_S:
            return True
        if self._path is None:
            return False
        try:
            return abs(now - self._path.stat().st_mtime) < LATELY_S
        except OSError:
            return False
