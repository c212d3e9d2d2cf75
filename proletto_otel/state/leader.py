"""One process of the host leads: it samples the host, runs checks and speaks.

The lock is the kernel's: it is free again the moment its holder dies, however it dies.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from proletto_otel.core.ownership import give_to_owner, make_directories

UNWRITABLE = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM})
"""Nobody can lead the host from such a directory: each process watches for itself meanwhile."""


class Leader:
    """A claim to lead.

    Args:
        path: The lock file; None (no shared directory): every process leads for itself.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
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
            if self._is_current(self._held):
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
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        if not self._is_current(lock):
            os.close(lock)
            return False
        self._held = lock
        return True

    def _is_current(self, lock: int) -> bool:
        try:
            mine, named = os.fstat(lock), os.stat(self._path or "")
        except OSError:
            return False
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
