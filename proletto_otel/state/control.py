"""Tells the workers of a host that an operator asked for something: one file that is replaced.

What was asked lies in the store; the file says that it changed. Each worker asks for the file's
identity once a second (one `stat`, 2 µs) and reads the store only when that is another one: a store
that nobody uses is not opened.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state import files
from proletto_otel.state.snapshot_files import Identity, identity
from proletto_otel.state.store import StoreUnavailable

FILE = "control"
NEVER = float("inf")
Listener = Callable[[], float]
"""Reads what was asked for and does it; returns the unix time at which it is to be called again
though nothing changed, or `NEVER`. Raises `StoreUnavailable` to be called again soon."""


class HostControl(Component):
    """What this process knows of the control file.

    Args:
        directory: The host's state directory; None: this process alone.
        now: Unix seconds.
    """

    name = "control"
    gate: threading.RLock

    def __init__(self, directory: Path | None, now: Callable[[], float] = time.time) -> None:
        self._path = directory / FILE if directory is not None else None
        self._now = now
        self._listeners: list[Listener] = []
        self._seen: Identity | None = None
        self._again_at = NEVER
        self.forked()

    def forked(self) -> None:
        """A child knows what its parent knew, and asks for itself."""
        self.gate = threading.RLock()

    def listen(self, listener: Listener) -> None:
        """Call *listener* whenever somebody asked for something."""
        self._listeners.append(listener)

    def check(self) -> None:
        """For the ticker: do what was asked for since the last time."""
        found = identity(self._path) if self._path is not None else None
        if found == self._seen and self._now() < self._again_at:
            return
        with self.gate:
            self._again_at = NEVER
            for listener in self._listeners:
                with suppressed("control"):
                    try:
                        self._again_at = min(self._again_at, listener())
                    except StoreUnavailable:
                        self._again_at = 0.0  # the next check calls all of them again
                        return
            self._seen = found

    def announce(self) -> None:
        """Let every worker read the store; this one does so now."""
        if self._path is not None:
            with suppressed("control.announce"):
                # Another length than a moment ago: inode and time alone may come back.
                files.replace(self._path, os.urandom(1 + time.monotonic_ns() % 61))
        self._again_at = 0.0
        self.check()
