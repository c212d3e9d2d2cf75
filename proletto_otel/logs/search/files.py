"""The structured log file and its rotated files, opened for one reading, newest first."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from proletto_otel.logs.search.cursor import Cursor
from proletto_otel.logs.sinks.files.access import explain
from proletto_otel.logs.sinks.files.rotation import SizeNames

MAX_FILES = 200
"""Files read; of more, the oldest are not."""
TRIES = 10
"""A rotation takes less than a millisecond; files of some lines rotate again at once."""
MARK_BYTES = 64
"""Shorter than any line: they hold time, level and logger of the first one."""
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class LogFile:
    """One open file."""

    fd: int
    name: str
    inode: int
    mark: int
    size: int
    """When it was opened; what is appended later is not read."""
    modified: float
    """Unix time."""
    active: bool
    """Whether lines are appended to it, as far as is known."""

    def cursor(self, offset: int) -> Cursor:
        """A position in this file."""
        return Cursor(self.inode, self.mark, offset)


@dataclass(slots=True)
class OpenFiles:
    """What could be opened."""

    files: list[LogFile] = field(default_factory=list)
    """Newest first."""
    packed: list[Path] = field(default_factory=list)
    """Compressed ones, newest first; `logs.search.packed` reads them."""
    problem: str = ""
    """Why there is nothing to read."""
    notes: list[str] = field(default_factory=list)
    """What is not read."""

    def find(self, cursor: Cursor) -> int | None:
        """The place of the cursor's file; None when it is gone."""
        for index, file in enumerate(self.files):
            if (file.inode, file.mark) == (cursor.inode, cursor.mark):
                return index
        return None


@contextmanager
def opened(path: Path) -> Iterator[OpenFiles]:
    """The files of the log *path*; they stay readable until the end, whatever rotates meanwhile."""
    found = OpenFiles()
    try:
        # A rotation meanwhile can hide a file that is renamed from a name that was not opened yet
        # to one that was: then all is done again.
        names = _inodes(path)
        for _ in range(TRIES):
            found = _open_all(path)
            before, names = names, _inodes(path)
            if before == names:
                break
            _close(found)
        else:
            found = _open_all(path)
        yield found
    finally:
        _close(found)


def _open_all(path: Path) -> OpenFiles:
    found = OpenFiles()
    try:
        backups = [backup.path for backup in SizeNames(path, 0).backups()]
    except FileNotFoundError:
        backups = []
    except OSError as error:
        found.problem = _why(path, error)
        return found
    plain = {backup.name for backup in backups if backup.suffix != ".gz"}
    # while a backup is being replaced by its compressed copy, both are there
    found.packed = [b for b in backups if b.suffix == ".gz" and b.stem not in plain][:MAX_FILES]
    names = [path, *(backup for backup in backups if backup.suffix != ".gz")]
    if len(names) > MAX_FILES:
        found.notes.append(f"only the newest {MAX_FILES} files are searched")
    for name in names[:MAX_FILES]:
        _add(found, name, name == path)
    if not found.files and not found.problem:
        found.problem = f"{path} is not there: no line was written yet"
    return found


def _add(found: OpenFiles, name: Path, active: bool) -> None:
    try:
        fd = os.open(name, _FLAGS)
    except FileNotFoundError:
        return
    except OSError as error:
        why = _why(name, error)
        found.problem = found.problem or (why if active else "")
        found.notes.append(why)
        return
    facts = os.fstat(fd)
    if any(file.inode == facts.st_ino for file in found.files):
        os.close(fd)  # renamed while we opened: it is there under its old name
        return
    mark = zlib.crc32(os.pread(fd, MARK_BYTES, 0))
    found.files.append(
        LogFile(fd, name.name, facts.st_ino, mark, facts.st_size, facts.st_mtime, active)
    )


def _inodes(path: Path) -> dict[str, int]:
    """Which file each name of the log leads to."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for name in (path, *(backup.path for backup in SizeNames(path, 0).backups())):
            with contextlib.suppress(OSError):
                found[name.name] = name.stat().st_ino
    return found


def _why(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path} cannot be read: {error.strerror} ({explain(path)})"
    return f"{path} cannot be read: {error.strerror}"


def _close(found: OpenFiles) -> None:
    for file in found.files:
        os.close(file.fd)
    found.files = []
