"""The log files: one `write` to an `O_APPEND` descriptor a line, right with many processes.

The kernel does not split or reorder such writes. Rotation is one process's work under an
inter-process lock (`logs.sinks.files.rotation`); compressing and ageing backups is
`logs.sinks.files.upkeep`. A descriptor's number never changes once it is open: rotation makes
it refer to another file (`dup2`), so a line being written meanwhile goes to the old or to the new
file, never to a descriptor that something else was given.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.core.ownership import make_directories
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.files import access
from proletto_otel.logs.sinks.files.rotation import (
    RotationLock,
    SizeNames,
)
from proletto_otel.logs.sinks.sink import Sink

CHECK_EVERY_NS = 100_000_000
"""How long a process may write before it checks whether its file is still the named one."""
RETRY_S = 1.0
"""Pause after a failed rotation."""
SLACK_NS = 2_000_000_000
"""Records made shortly before the last check need no new one; a clock set back does."""
MUTEX_WAIT_S = 0.02
"""How long a thread waits for another one that rotates; the main thread does not wait at all: it
may be in a signal handler, above its own rotation, and further signals would pile up."""
OPEN_WAIT_S = 1.0
"""How long a first line waits for another thread that is opening the file."""
BATCH_MARGIN = 8
"""A joined write is at most an eighth of the file: tiny files rotate line by line."""
_DENIED = (errno.EACCES, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_write = os.write
_lseek = os.lseek
_CURRENT = os.SEEK_CUR


class FileSink(Sink):
    """Appends lines to one file."""

    counts = True

    def __init__(
        self,
        name: str,
        path: Path,
        line_of: Callable[[Record], bytes],
        *,
        lock_dir: Path,
        level: int = 0,
        fallback: Callable[[Record], None] | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.level = level
        self.lock_path = lock_dir / f"{path.name}.lock"
        self.limit = 0
        """Size in bytes from which a file is rotated; 0: never by size."""
        self._backup_name: Callable[[], Path]
        """Makes room for one more backup and returns its path; only where there is a limit."""
        self._line_of = line_of
        self._fallback = fallback
        self._emitted = ledger.emitted_cell(name)
        self._delivered = ledger.delivered_cell(name)
        self._fd = -1
        self._home = -1
        self._from = self._until = 0
        self._pause_until = 0.0
        self.forked()

    def forked(self) -> None:
        """Fresh locks: a thread that held one is not in the child."""
        self._mutex = threading.Lock()
        self._holder = 0
        self._lock = RotationLock(self.lock_path)
        self._until = 0

    def write(self, record: Record) -> None:
        """Append the record's line; what cannot be written is counted."""
        self._emitted.value += 1
        try:
            line = self._line_of(record)
            # Inside the window of 100 ms no system call asks which file the name leads to
            if not self._from <= record.time_ns < self._until:
                self._follow_name(record.time_ns)
            written = _write(self._fd, line)
            if written != len(line):
                raise self._torn(written, line)
            self._delivered.value += 1
            if self.last_error:
                self.last_error = ""
            if self.limit and _lseek(self._fd, 0, _CURRENT) >= self.limit:
                self._rotate_full()
        except OSError as error:
            self._failed(record, error)
        except Exception:  # deep below a storm of signals: the interpreter's recursion limit
            ledger.dropped(self.name, "error")
            raise

    def write_many(self, records: Sequence[Record]) -> None:
        """Append many lines with one call; what fails is written line by line."""
        try:
            lines = list(map(self._line_of, records))
        except Exception:
            super().write_many(records)  # the one that fails is counted by itself
            return
        text, now_ns = b"".join(lines), records[-1].time_ns
        roomy = not self.limit or len(text) * BATCH_MARGIN < self.limit
        if not (self._may_join(now_ns) and roomy):
            super().write_many(records)
            return
        if self.limit and _lseek(self._fd, 0, os.SEEK_END) + len(text) > self.limit:
            super().write_many(records)
            return
        try:
            written = _write(self._fd, text)
        except OSError:
            super().write_many(records)  # each line fails and is counted by itself
            return
        self._count_joined(records, lines, written)

    def _may_join(self, now_ns: int) -> bool:
        if not self._from <= now_ns < self._until:
            try:
                self._follow_name(now_ns)
            except OSError:
                self._until = 0  # the first line tries again, and says why it cannot
                return False
        return self._fd >= 0 and self._from <= now_ns < self._until

    def _count_joined(self, records: Sequence[Record], lines: list[bytes], written: int) -> None:
        """Count what a joined write took; the rest is written line by line."""
        if written == sum(map(len, lines)):
            self._emitted.add(len(lines))
            self._delivered.add(len(lines))
            self.last_error = ""
            return
        whole = 0
        while whole < len(lines) and written >= len(lines[whole]):
            written -= len(lines[whole])
            whole += 1
        self._emitted.value += whole
        self._delivered.value += whole
        self.last_error = self.last_error if whole < len(lines) else ""
        rest = records[whole:]
        if written and rest:
            self._emitted.value += 1
            self._failed(rest[0], self._torn(written, lines[whole]))
            rest = rest[1:]
        super().write_many(rest)

    def close(self) -> None:
        """Give the descriptor back (tests); the next record opens it again."""
        with self._mutex:
            self._fd = -1
            if self._home >= 0:
                os.close(self._home)
            self._home, self._until = -1, 0

    def status(self) -> dict[str, Any]:
        """Health for people, with the file's path."""
        return {**super().status(), "path": str(self.path)}

    # --- following the name, opening -----------------------------------------------------------
    def _follow_name(self, now_ns: int) -> None:
        """Open the file anew when its name leads to another one."""
        if not self._take_mutex():
            return  # another thread checks, or this one, interrupted by a signal handler
        try:
            if self._fd < 0 or self._moved():
                self._open()
        finally:
            # Set last: a thread that sees the window skips the descriptor check.
            self._from, self._until = now_ns - SLACK_NS, now_ns + CHECK_EVERY_NS
            self._mutex.release()

    def _take_mutex(self) -> bool:
        thread = threading.get_ident()
        if self._fd < 0 and self._holder != thread:
            wait = OPEN_WAIT_S  # without a file the line would be lost
        else:
            wait = 0 if thread == threading.main_thread().ident else MUTEX_WAIT_S
        taken = self._mutex.acquire(timeout=wait)
        if taken:
            self._holder = thread
        return taken

    def _moved(self) -> bool:
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return True
        opened = os.fstat(self._fd)
        return named.st_ino != opened.st_ino or named.st_dev != opened.st_dev

    def _open(self) -> None:
        try:
            make_directories(self.path.parent, access.DIRECTORY_MODE)
            opened = access.open_own(self.path)
        except OSError:
            self._fd = -1  # until it can be opened, lines fail and are counted
            raise
        if self._home < 0:
            self._home = opened
        else:
            os.dup2(opened, self._home, inheritable=False)
            os.close(opened)
        self._fd = self._home

    # --- rotation ------------------------------------------------------------------------------
    def _rotate_full(self) -> None:
        """Rotate, unless another process just did: then follow."""
        if time.monotonic() < self._pause_until or not self._take_mutex():
            return
        try:
            with self._lock.hold() as held:
                if not held:
                    self._pause_until = time.monotonic() + RETRY_S
                elif self._moved():
                    self._open()
                elif os.fstat(self._fd).st_size >= self.limit:
                    os.replace(self.path, self._backup_name())
                    self._open()
        except OSError as error:
            self._pause_until = time.monotonic() + RETRY_S
            self._warn("cannot be rotated", error)
        finally:
            self._mutex.release()

    # --- failures ------------------------------------------------------------------------------
    def _torn(self, written: int, line: bytes) -> OSError:
        """Remove a line of which only a part was written, if it is still the last one."""
        end = _lseek(self._fd, 0, _CURRENT)
        begin = end - written
        if (
            os.fstat(self._fd).st_size == end
            and os.pread(self._fd, written, begin) == (line[:written])
        ):
            os.ftruncate(self._fd, begin)
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _failed(self, record: Record, error: OSError) -> None:
        reason = "disk_full" if error.errno in _FULL else "unwritable"
        ledger.dropped(self.name, reason)
        if reason == "unwritable" and self._fallback is not None:
            self._fallback(record)
        if error.errno != errno.EBADF:  # not open: the reason was said when opening failed
            self._warn("cannot be written", error)

    def _warn(self, what: str, error: OSError) -> None:
        why = error.strerror
        if error.errno in _DENIED:
            why = f"{why} ({access.explain(self.path.parent)})"
        self.last_error = f"{self.path}: {what}: {why}"
        hint = "; its lines go to standard error" if self._fallback and self._fd < 0 else ""
        log_rate_limited(
            f"log file {self.path}", "log file %s %s: %s%s; it is tried again by itself",
            self.path, what, why, hint,
        )  # fmt: skip


class SizedFileSink(FileSink):
    """A file that rotates when it reaches a size."""

    def __init__(self, *args: Any, max_bytes: int, backups: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.limit = max_bytes
        self.names = SizeNames(self.path, backups)
        self._backup_name = self.names.make_room
