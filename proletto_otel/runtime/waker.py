"""Lets one thread sleep until another wakes it; a signal handler may do so, too.

A pipe, because a lock's timeout follows the wall clock on Python 3.10 (one set back an hour would
sleep an hour), and because `threading.Event.set` may dead-lock inside a signal handler.
"""

from __future__ import annotations

import contextlib
import os
import select


class Waker:
    """`wait` sleeps; `set` ends the sleep, or the next one."""

    def __init__(self) -> None:
        # Two threads that find it false at once write two bytes; the sleeper reads both.
        self._rung = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._poll = select.poll()
        self._poll.register(self._read, select.POLLIN)

    def set(self) -> None:
        """Wake the sleeper; never blocks, never raises, costs nothing while it is awake."""
        if self._rung:
            return
        self._rung = True
        with contextlib.suppress(OSError, ValueError):  # full: it is awake already
            os.write(self._write, b"\0")

    def wait(self, seconds: float) -> bool:
        """Sleep up to *seconds*; return whether somebody called `set`."""
        if not self._poll.poll(max(0.0, seconds) * 1000):
            return False
        self._rung = False  # before the read: a call that comes between is heard, perhaps twice
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)
        return True

    def __del__(self) -> None:
        # Closed only when nobody holds the waker any more: `set` would otherwise write into
        # whatever file got the same descriptor number meanwhile.
        with contextlib.suppress(OSError):
            os.close(self._read)
            os.close(self._write)
