"""The disk spool: what could not be delivered waits here, shared by all workers of a host.

Oldest first out; over the cap the oldest is dropped and counted. One signal's directory lives in
`export.spool.directory`, when to write and to resend in `export.signal_exporter`.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.delivery import ledger as process_ledger
from proletto_otel.core.ownership import make_directories
from proletto_otel.core.record import record
from proletto_otel.export.payload import Payload
from proletto_otel.export.spool import files as files
from proletto_otel.export.spool.directory import SPOOL_FULL, Claim, SpoolDirectory

RESERVE_BYTES = 64_000_000
"""More than all workers of a host write in ten seconds: five between two readings of a worker far
from the limit, and five for which those near it believe what one of them read."""
FREE_FOR_S = 5.0
"""What was free when somebody read the directories is not believed for longer."""
SMALL_BYTES = 16_000_000
"""Below this limit others could pass it before their files are seen, so no write counts as far."""
CHUNK = 1 / 64
"""Share of the limit that is freed at once, 8 MB of 512 MB: a reading then serves many writes."""
REJECTED_MAX_BYTES = 16_000_000
METRICS_MAX_AGE_S = 3600.0
"""Prometheus takes no sample older than its out-of-order window, an hour in our stack."""
REJECTED = "rejected"
"""Folder for what a server refused."""
SIGNALS = ("traces", "logs", "metrics")

_REASONS = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "disk_read_only",
    errno.EACCES: "disk_no_access",
    errno.EPERM: "disk_no_access",
}


def reason(error: OSError) -> str:
    """The word under which a failed write is counted."""
    return _REASONS.get(error.errno or 0, "disk_error")


@record(frozen=True, slots=True, eq=False)
class Usage:
    """What waits on disk for one signal."""

    files: int = 0
    bytes: int = 0
    items: int = 0
    age_s: float = 0.0
    """Age of the oldest file."""


class Spool:
    """Payloads on disk, by signal.

    Args:
        directory: Where; `None` refuses every write.
        max_bytes: Disk space for all signals together.
        max_age_s: Age at which a file is dropped.
        clock: Unix seconds, because the files outlive processes.
        monotonic: Seconds, for our own pace.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        max_bytes: int,
        max_age_s: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        ledger: Ledger = process_ledger,
    ) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._clock, self._monotonic = clock, monotonic
        self._numbers = itertools.count(1)
        base = directory if directory is not None else Path(os.devnull)
        self._aside = base / REJECTED
        self._directories = {
            signal: SpoolDirectory(
                base / signal,
                f"otlp_{signal}",
                self._aside,
                max_age_s=min(max_age_s, METRICS_MAX_AGE_S) if signal == "metrics" else max_age_s,
                ledger=ledger,
                clock=clock,
                monotonic=monotonic,
            )
            for signal in SIGNALS
        }

    def forked(self) -> None:
        """Begin afresh in a child."""
        for directory in self._directories.values():
            directory.forked()

    def write(self, signal: str, payload: Payload) -> None:
        """Keep *payload* on disk, dropping the oldest files if it would not fit.

        Raises:
            OSError: it is not on disk; the caller still has it.
        """
        if self.directory is None:
            raise OSError(errno.EROFS, "there is no state directory")
        size = len(payload.body) + files.OVERHEAD
        # Far from the limit no lock is needed: all workers together do not write the rest between
        # two readings of the directory.
        known = sum(directory.bytes for directory in self._directories.values())
        reserve = min(self.max_bytes / 2, RESERVE_BYTES)
        if known + size <= self.max_bytes - reserve and self.max_bytes > SMALL_BYTES:
            self._directories[signal].write(payload)
            return
        # Near the limit one worker at a time writes, and takes from the bytes that were free when
        # one of them last read the directories. A reading by each write takes thousands of names:
        # four workers at 485 requests a second lost a tenth of their records in queues meanwhile.
        with files.locked(self.directory) as lock:
            now = self._monotonic()
            read_at, free = files.read_free(lock, now, FREE_FOR_S)
            if free < size:
                read_at, free = now, self._make_room(size)
            files.write_free(lock, read_at, free - size)
            self._directories[signal].write(payload)

    def claim(self, signal: str) -> Claim | None:
        """Take the oldest payload of *signal* that nobody holds; `None` if there is none now."""
        return self._directories[signal].claim() if self.directory is not None else None

    def done(self, signal: str, claim: Claim) -> bool:
        """Remove a claimed payload; `False` if the lease was over and another one has it."""
        return self._directories[signal].done(claim)

    def give_back(self, signal: str, claim: Claim, *, last: bool = False) -> None:
        """Let others have a claimed payload again; we take it next, or *last* of what we know."""
        self._directories[signal].give_back(claim, last=last)

    def reject(self, signal: str, payload: Payload, why: str) -> None:
        """Set a refused payload aside for a person to inspect; at most 16 MB are kept."""
        if self.directory is None:
            return
        # The time first: `_limit` finds the oldest by their names.
        name = (
            f"{int(self._clock() * 1e9):020d}-{payload.items}-{os.getpid()}-{next(self._numbers)}"
        )
        with contextlib.suppress(OSError):  # the loss is counted by the caller in any case
            make_directories(self._aside, 0o700)
            files.write_durably(self._aside, f"{name}.{signal}.{why}.otlp", files.pack(payload))
            _limit(self._aside, REJECTED_MAX_BYTES)

    def usage(self, signal: str) -> Usage:
        """What waited when the directory was last read, claimed files included; for any thread."""
        entries = self._directories[signal].entries
        if not entries:
            return Usage()
        size, items = sum(e.size for e in entries), sum(e.items for e in entries)
        age_s = self._clock() - min(e.created_ns for e in entries) / 1e9
        return Usage(len(entries), size, items, max(0.0, age_s))

    def sweep(self) -> None:
        """Drop what is too old, remove half-written files, keep `rejected/` within its cap."""
        if self.directory is not None:
            for directory in self._directories.values():
                directory.read(again=True)
            with contextlib.suppress(OSError):
                _limit(self._aside, REJECTED_MAX_BYTES)

    def _make_room(self, size: int) -> int:
        """Drop the oldest files if *size* does not fit, for a chunk more; the bytes free then."""
        if size > self.max_bytes:
            raise OSError(errno.ENOSPC, "larger than the spool")
        waiting = [(e, d) for d in self._directories.values() for e in d.read(again=True)]
        free = self.max_bytes - sum(entry.size for entry, _ in waiting)
        wanted = size + int(self.max_bytes * CHUNK) if free < size else size
        # Names begin with the time, so the oldest of all signals go first.
        for entry, directory in sorted(waiting, key=lambda found: found[0].base):
            if free >= wanted:
                break
            directory.drop(entry, SPOOL_FULL)
            free += entry.size
        return free


def _limit(directory: Path, max_bytes: int) -> None:
    """Remove the oldest files of *directory* until the rest fits; names sort by age."""
    found = sorted(os.scandir(directory), key=lambda item: item.name, reverse=True)
    total = 0
    for item in found:
        total += item.stat(follow_symlinks=False).st_size
        if total > max_bytes:
            os.unlink(item.path)
