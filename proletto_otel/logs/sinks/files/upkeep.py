"""Care of rotated log files: compressing them, deleting the aged. Runs off the request path.

Any number of processes may run it; the rotation lock lets one at a time rename files. When a file
is rotated is decided in `logs.sinks.files.file_sink`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.logs.sinks.files.daily import DailyFileSink
from proletto_otel.logs.sinks.files.file_sink import SizedFileSink
from proletto_otel.logs.sinks.files.rotation import RotationLock

QUIET_S = 60.0
"""A backup is compressed when nothing was written to it for so long: a process that was stopped in
the middle of a line may still hold it open."""
DAY_S = 86_400.0

RotatingSink = SizedFileSink | DailyFileSink


class Upkeep:
    """Compresses and deletes backups: a ticker calls `run` once a minute, which never raises."""

    def __init__(
        self,
        sinks: Iterable[RotatingSink],
        *,
        compress: bool,
        retention_days: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sinks = tuple(sinks)
        self._compress = compress
        self._retention_s = retention_days * DAY_S
        self._now = now

    def run(self) -> None:
        """Compress and age the backups of every file."""
        for sink in self._sinks:
            with suppressed("logs.upkeep"):
                try:
                    self._age(sink)
                    self._compress_quiet(sink)
                except OSError as error:  # no directory yet, no rights: the sink says so itself
                    sink.last_error = f"{sink.path}: upkeep: {error.strerror}"

    def _age(self, sink: RotatingSink) -> None:
        if not self._retention_s:
            return
        oldest = self._now() - self._retention_s
        with RotationLock(sink.lock_path).hold() as held:
            # Under the lock: rotation renames backups, and the file at a name would be another one.
            for backup in sink.names.backups() if held else ():
                if backup.path.stat().st_mtime < oldest:
                    backup.path.unlink(missing_ok=True)

    def _compress_quiet(self, sink: RotatingSink) -> None:
        if not self._compress or not sink.path.parent.is_dir():
            return
        quiet = self._now() - QUIET_S
        for backup in sink.names.backups():
            if backup.path.suffix != ".gz" and _mtime(backup.path) < quiet:
                self._compress_one(sink, backup.path)

    def _compress_one(self, sink: RotatingSink, path: Path) -> None:
        import gzip  # only where rotated files are compressed

        with path.open("rb") as plain:
            found = os.fstat(plain.fileno())
            # Under a temporary name: neither a reader nor a crash meets half a backup.
            packed = path.with_name(f".{sink.path.name}.{found.st_ino}.{os.getpid()}.tmp")
            try:
                with gzip.open(packed, "wb", compresslevel=6) as out:
                    shutil.copyfileobj(plain, out)
                # A backup is as old as its last line: retention counts from there.
                os.utime(packed, ns=(found.st_atime_ns, found.st_mtime_ns))
                self._swap(sink, found, packed)
            finally:
                packed.unlink(missing_ok=True)

    @staticmethod
    def _swap(sink: RotatingSink, found: os.stat_result, packed: Path) -> None:
        """Replace the plain backup by the packed file, under the name that rotation gave it."""
        with RotationLock(sink.lock_path).hold() as held:
            for backup in sink.names.backups() if held else ():
                now = backup.path.stat()
                # By inode, because rotation may have renamed it; by size, because a stopped process
                # may have written to it. Then it is packed another time.
                if now.st_ino == found.st_ino and now.st_size == found.st_size:
                    packed.replace(backup.path.with_name(backup.path.name + ".gz"))
                    backup.path.unlink()


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # renamed or deleted meanwhile
        return time.time()
