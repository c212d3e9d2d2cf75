"""Files that several processes share: replaced whole, locked by the kernel, private."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from proletto_otel.core.ownership import give_to_owner


def replace(path: Path, content: bytes) -> None:
    """Write *content* so that a reader sees the old file or the new one, never half of one.

    Raises:
        OSError: disk full, directory gone; the old file stays.
    """
    # Beside the target, because a rename is atomic only within one file system; with the pid, so
    # that two processes do not write one temporary file.
    name = f"{path}.{os.getpid()}.tmp"
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        give_to_owner(Path(name))
        # A full disk may take a part of a write without an error.
        if os.write(file, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(file)
    # No fsync: after a power cut the numbers may be those of before. It would cost milliseconds.
    os.replace(name, path)


def lock(path: Path) -> int:
    """Lock *path* for as long as the returned descriptor is open, or the process lives.

    Raises:
        OSError: somebody else holds it or asks about it, or it cannot be made.
    """
    # flock, not a file that exists or not: the kernel frees it at the end of the process, however
    # it ends.
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    give_to_owner(path)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def is_locked(path: Path) -> bool:
    """Whether some process, in whatever container, holds the lock of *path*."""
    try:
        # Opened anew: on the descriptor that holds the lock, flock would succeed.
        asked = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # a shared lock: two who ask at once do not take each other for the owner
        fcntl.flock(asked, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(asked)
    return False


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of *path*, if it is free; says whether."""
    try:
        held = lock(path)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(held)
