"""How old the numbers are that a process published: it writes them only when they changed.

So that unchanged ones are told from those of a process whose thread is stuck, it sets the time of
its `.live` file now and then.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from proletto_otel.state.snapshot_files import Snapshot

ALIVE_S = 5.0
"""How often a process says that its numbers are of now though none of them changed."""


class Alive:
    """Says it for this process."""

    def __init__(self) -> None:
        self._said_at = -ALIVE_S

    def say(self, live: int | None) -> None:
        """Set the time of the open file *live*, if that was not done lately."""
        if live is not None and time.monotonic() - self._said_at >= ALIVE_S:
            self._said_at = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(live)


def published(others: Iterable[Snapshot], directory: Path | None) -> dict[int, float]:
    """When each living process measured what it published, unix time by process ID."""
    found = {os.getpid(): time.time()}
    for other in others:
        if other.lives and directory is not None:
            with contextlib.suppress(OSError):
                said = (directory / f"{other.name}.live").stat().st_mtime
                found[other.pid] = max(other.time, said)
    return found
