"""A private directory in memory (`/dev/shm`) for memory-mapped files.

A process that touches a mapped page of a file that somebody truncated is killed by SIGBUS, and
people do truncate files below the log directory. Mapped files therefore lie where nobody but this
user writes. Writing each number with `pwrite` instead was measured: 13 µs a request against 1 µs.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path

ROOT = Path("/dev/shm")
"""Linux's file system in memory; a system without it has no mapped files."""


def directory_for(state: Path) -> Path | None:
    """The directory in memory that belongs to *state*, a directory of the host's workers.

    Returns:
        None where there is no such file system.
    """
    if not ROOT.is_dir():
        return None
    name = hashlib.sha256(os.fsencode(state.absolute())).hexdigest()[:16]
    return ROOT / f"proletto-{os.geteuid()}" / name


def make(directory: Path) -> None:
    """Make what `directory_for` named, for this user alone.

    Raises:
        OSError: somebody else took the name, or there is no space.
    """
    for path in (directory.parent, directory):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        # /dev/shm is open to all users: somebody may have made this name, or a link, before us.
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(errno.EACCES, "belongs to somebody else", str(path))


def remove(directory: Path, name: str) -> None:
    """Remove the files of process *name*, and the directory with the last of them."""
    with contextlib.suppress(OSError):
        for path in directory.glob(f"{name}.*"):
            path.unlink()
        # Fails while another process has files there, which is what is wanted.
        directory.rmdir()
