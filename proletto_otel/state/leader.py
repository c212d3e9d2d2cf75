"""One process of the host leads: it samples the host, runs checks and sends alerts.

The lock is the kernel's: it is free again as soon as its holder dies, however it dies. A holder
that lives but hangs is recognised by its heartbeat: the lock file holds the monotonic time at which
it last renewed its lead. A process that finds this time too old replaces the file, so that the lock
on the old one means nothing any more.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from proletto_otel.core.ownership import give_to_owner, make_directories
from proletto_otel.state import files

UNWRITABLE = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM})
"""Nobody can lead the host from such a directory: each process watches for itself meanwhile."""
STUCK_S = 30.0
"""A holder that did not renew its lead for so long hangs and has lost the lead. Longer than any job
takes: folding a thousand dead workers, the slowest, takes about a second."""
_BEAT = struct.Struct("<d")


class Leader:
    """One process's claim to lead the host.

    Args:
        path: The lock file; None (no shared directory): every process leads for itself.
        clock: Monotonic seconds, the same for all processes of the host.
        stuck_s: A holder silent for so long (`STUCK_S`) has lost the lead; infinite: never.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], float] = time.monotonic,
        stuck_s: float | None = None,
    ) -> None:
        self._path = path
        self._stuck_s = stuck_s
        self._clock = clock
        self._held: int | None = None
        self._is_alone = path is None

    @property
    def is_leader(self) -> bool:
        """Whether this process leads."""
        return self._is_alone or self._held is not None

    def try_lead(self) -> bool:
        """Take the lead if it is free; cheap, never waits.

        A lock file that somebody deleted is noticed: the claim is made anew on the new one.
        """
        if self._path is None:
            return True
        if self._held is not None:
            # The lock of a deleted or replaced file is still held, but leads nothing.
            if self._is_current(self._held):
                self._beat(self._held)
                return True
            self.resign()
        return self._claim(self._path)

    def _claim(self, path: Path) -> bool:
        try:
            make_directories(path.parent, 0o700)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            give_to_owner(path)
        except OSError as error:
            self._is_alone = error.errno in UNWRITABLE
            return self._is_alone
        self._is_alone = False
        # LOCK_NB: the ticker asks here between its jobs, which a wait would hold up.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if _is_stuck(lock, self._clock, self._stuck_s):
                self._replace(path)
            os.close(lock)
            return False
        # Between open and flock another process may have replaced the file: then two would lead.
        if not self._is_current(lock):
            os.close(lock)
            return False
        self._held = lock
        self._beat(lock)
        return True

    def _beat(self, lock: int) -> None:
        with contextlib.suppress(OSError):  # disk full: without a beat nobody takes the lead away
            os.pwrite(lock, _BEAT.pack(self._clock()), 0)

    def _replace(self, path: Path) -> None:
        """Take the file away from a holder that hangs; under a lock, so that one alone does it."""
        with contextlib.suppress(OSError), files.locked(path.with_suffix(".guard")) as mine:
            if mine and not is_led(path, self._clock):  # else somebody was faster, and leads
                path.unlink()

    def _is_current(self, lock: int) -> bool:
        try:
            mine, named = os.fstat(lock), os.stat(self._path or "")
        except OSError:
            return False
        # the device too: an inode number is unique within one file system only
        return (mine.st_ino, mine.st_dev) == (named.st_ino, named.st_dev)

    def resign(self) -> None:
        """Let another process lead."""
        if self._held is not None:
            with contextlib.suppress(OSError):
                os.close(self._held)
            self._held = None

    def forked(self) -> None:
        """A child never inherits the lead: closing its copy leaves the parent's lock in force."""
        self.resign()


def is_led(path: Path, clock: Callable[[], float] = time.monotonic) -> bool:
    """Whether somebody who does not hang holds the lock file *path*."""
    if not files.is_locked(path):
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _is_stuck(file, clock)
    finally:
        os.close(file)


def _is_stuck(lock: int, clock: Callable[[], float], stuck_s: float | None = None) -> bool:
    """Whether the holder's last beat is too old; without one nothing is known."""
    # pread and pwrite leave the file position alone, which a forked child would share.
    limit_s = STUCK_S if stuck_s is None else stuck_s
    beat = os.pread(lock, _BEAT.size, 0)
    return len(beat) == _BEAT.size and clock() - _BEAT.unpack(beat)[0] > limit_s
