"""How log files grow old: which names backups have, when one is due, one process at a time.

Writing lines lives in `logs.sinks.files.file_sink`. A process that rotates holds an inter-process
lock and renames; the others notice that the name leads to another file and follow.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from proletto_otel.core.ownership import give_to_owner, make_directories
from proletto_otel.core.record import record

LOCK_WAIT_S = 0.02
"""Renaming takes microseconds; a process stopped in the middle must not stop the others."""
LOCK_POLL_S = 0.0005
STAMP_BYTES = 64


class RotationLock:
    """A kernel lock on a file of its own, freed by the kernel when its holder dies.

    The file also says which log file is of which day: `<inode> <day>`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    @contextmanager
    def hold(self) -> Iterator[bool]:
        """Hold the lock; False when another process kept it too long or there is no lock file."""
        held = self._acquire()
        try:
            yield held
        finally:
            if held:  # explicitly, not by closing: a child forked meanwhile has the descriptor too
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1

    def _acquire(self) -> bool:
        make_directories(self.path.parent, 0o700)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_to_owner(self.path)
        # Asked again and again: a wait in the kernel has no end while the holder is stopped by a
        # signal or a debugger.
        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
                time.sleep(LOCK_POLL_S)

    def read_day(self, inode: int) -> str:
        """The day of the log file with this inode, or empty when it is not known."""
        known, _, day = os.pread(self._fd, STAMP_BYTES, 0).decode("ascii", "replace").partition(" ")
        return day.strip() if known == str(inode) else ""

    def write_day(self, inode: int, day: str) -> None:
        """Remember the day of the log file with this inode."""
        os.pwrite(self._fd, f"{inode} {day}".ljust(STAMP_BYTES).encode("ascii"), 0)


@record(frozen=True, slots=True)
class Backup:
    """One rotated file."""

    path: Path
    order: tuple[str, int]
    """Sorts newest first among the backups of one log file."""


class SizeNames:
    """`app.log.1` is the newest backup, `app.log.<count>` the oldest."""

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(self._path.name) + r"\.(\d{1,6})(\.gz)?")

    def backups(self) -> list[Backup]:
        """Rotated files, newest first."""
        found = _matching(self._path.parent, self._pattern)
        backups = [Backup(path, ("", int(match[1]))) for path, match in found]
        return sorted(backups, key=lambda backup: backup.order)

    def make_room(self) -> Path:
        """Shift every backup by one, drop what is too old; return the name for the newest."""
        # From the oldest on, so that each name is free when the younger one takes it.
        for backup in reversed(self.backups()):
            number = backup.order[1]
            if number >= self._count:
                backup.path.unlink(missing_ok=True)
            else:
                suffix = ".gz" if backup.path.suffix == ".gz" else ""
                backup.path.replace(self._name(number + 1, suffix))
        return self._name(1)

    def _name(self, number: int, suffix: str = "") -> Path:
        return self._path.with_name(f"{self._path.name}.{number}{suffix}")


class DayNames:
    """`app_error.log.2025-05-10` holds that day; a second file of a day gets `.1`."""

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        day = r"\.(\d{4}-\d\d-\d\d)(?:\.(\d{1,6}))?(\.gz)?"
        return re.compile(re.escape(self._path.name) + day)

    def backups(self) -> list[Backup]:
        """Rotated files, newest first."""
        found = _matching(self._path.parent, self._pattern)
        backups = [Backup(path, (match[1], int(match[2] or 0))) for path, match in found]
        return sorted(backups, key=lambda backup: backup.order, reverse=True)

    def make_room(self, day: str) -> Path:
        """Drop what is too old; return an unused name for the file of *day*."""
        # One less than the count: the file that is put away now is one of them.
        backups = self.backups()
        for backup in backups[max(0, self._count - 1) :]:
            backup.path.unlink(missing_ok=True)
        taken = [b.order[1] for b in backups if b.order[0] == day]
        suffix = f".{max(taken) + 1}" if taken else ""
        return self._path.with_name(f"{self._path.name}.{day}{suffix}")


def _matching(directory: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    found = ((directory / name, pattern.fullmatch(name)) for name in os.listdir(directory))
    return [(path, match) for path, match in found if match]


def day_of(time_ns: int) -> str:
    """The local day, `2025-05-10`."""
    return time.strftime("%Y-%m-%d", time.localtime(time_ns / 1e9))


def next_midnight_ns(time_ns: int) -> int:
    """When the local day of *time_ns* ends."""
    now = time.localtime(time_ns / 1e9)
    # `mktime` makes the 1st of the 32nd, and -1 lets it find out about summer time: a day has 23 to
    # 25 hours.
    midnight = (now.tm_year, now.tm_mon, now.tm_mday + 1, 0, 0, 0, 0, 0, -1)
    return int(time.mktime(midnight)) * 1_000_000_000
