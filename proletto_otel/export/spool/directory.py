"""One signal's directory of the spool, shared by all workers: list, claim by rename, remove, count.

A claim is a rename, which only one process can win; it is free again when its claimer did not
finish within the lease. Caps over all signals live in `export.spool.spool`, files in
`export.spool.files`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from proletto_otel.core.conventions import INTERNAL_ERRORS
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.registry import registry
from proletto_otel.core.ownership import make_directories
from proletto_otel.core.record import record
from proletto_otel.export.payload import Payload
from proletto_otel.export.spool import files as files
from proletto_otel.export.spool.files import Entry

LEASE_S = 60.0
"""A request takes 2.5 s at most; a claim this old belongs to a dead process."""
READ_EVERY_S = 1.0
"""A directory is read at most this often, however many files there are."""

SPOOL_FULL = "spool_full"
SPOOL_EXPIRED = "spool_expired"
SPOOL_CORRUPT = "spool_corrupt"
SPOOL_DELETED = "spool_deleted"

_garbage = registry.counter(INTERNAL_ERRORS)


@record(frozen=True, slots=True, eq=False)
class Claim:
    """A payload taken from disk; nobody else has it until the lease ends."""

    entry: Entry
    payload: Payload


class SpoolDirectory:
    """The files of one signal. Only the export thread calls it; others may read `entries` and
    `bytes`.

    Args:
        directory: Made when first written to.
        sink: Name in the ledger.
        aside: Where files go that are not whole or not ours.
        max_age_s: Age at which a file is dropped.
        clock: Unix seconds, because the files outlive processes.
        monotonic: Seconds, for our own pace.
    """

    def __init__(
        self,
        directory: Path,
        sink: str,
        aside: Path,
        *,
        max_age_s: float,
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = directory
        self._sink, self._aside, self._max_age_s = sink, aside, max_age_s
        self._ledger, self._clock, self._monotonic = ledger, clock, monotonic
        self.forked()

    def forked(self) -> None:
        """Begin afresh in a child: its own name, nothing written yet."""
        self._writer = os.urandom(5).hex()
        self._numbers = itertools.count(1)
        self._spooled = 0
        self._inode = 0
        self.bytes = 0
        self._read_at = -math.inf
        self.entries: list[Entry] = []
        self._candidates: list[Entry] = []

    def write(self, payload: Payload) -> None:
        """Write *payload* to a file of its own.

        Raises:
            OSError: it is not on disk.
        """
        entry = files.new_entry(self._clock(), payload.items, self._writer, next(self._numbers))
        data = files.pack(payload)
        try:
            files.write_durably(self.directory, entry.base, data)
        except FileNotFoundError:
            self._vanished()
            make_directories(self.directory, 0o700)
            files.write_durably(self.directory, entry.base, data)
        size = len(data)
        self.bytes += size
        self.entries.append(replace(entry, size=size))
        self._count(payload.items)

    def claim(self) -> Claim | None:
        """Take the oldest payload that nobody holds; `None` if there is none now."""
        if not self._candidates:
            # Free files, and those of a claimer that died: its lease is over.
            for entry in self.read():
                if entry.claimed_s is None or self._is_old(entry.claimed_s):
                    self._candidates.append(entry)
        while self._candidates:
            claim = self._take(self._candidates.pop(0))
            if claim:
                return claim
        return None

    def done(self, claim: Claim) -> bool:
        """Remove a claimed payload; `False` if the lease was over and another one has it."""
        return self._remove(claim.entry)

    def give_back(self, claim: Claim, *, last: bool = False) -> None:
        """Let others have a claimed payload again; we take it next, or *last* of what we know."""
        with contextlib.suppress(OSError):
            os.rename(self.directory / claim.entry.name, self.directory / claim.entry.base)
            at = len(self._candidates) if last else 0
            self._candidates.insert(at, claim.entry.released())

    def drop(self, entry: Entry, reason: str) -> bool:
        """Lose a file and count its records; `False` if somebody else was faster."""
        if not self._remove(entry):
            return False
        self._ledger.dropped(self._sink, reason, entry.items)
        return True

    def read(self, *, again: bool = False) -> list[Entry]:
        """The files, oldest first; read anew once a second, or when asked for."""
        now = self._monotonic()
        if again or now - self._read_at >= READ_EVERY_S:
            self._read_at = now
            self.entries = sorted(self._scan(), key=lambda entry: entry.base)
            self.bytes = sum(entry.size for entry in self.entries)
            # Names sort by age, so those too old are at the beginning.
            limit = (self._clock() - self._max_age_s) * 1e9
            fresh = [entry for entry in self.entries if entry.created_ns >= limit]
            for entry in self.entries[: len(self.entries) - len(fresh)]:
                self.drop(entry, SPOOL_EXPIRED)
            self.entries = fresh
        return self.entries

    def _scan(self) -> Iterator[Entry]:
        try:
            inode = os.stat(self.directory).st_ino
            found = list(os.scandir(self.directory))
        except OSError:
            self._vanished()
            return
        # Deleted and made again by another worker looks like a directory that was always there; its
        # inode tells.
        if self._inode not in (0, inode):
            self._vanished()
        self._inode = inode
        # A file of one name never changes. Without asking again for its size and parsing its name a
        # reading of 25,000 files takes 100 ms, not 470.
        known = {entry.name: entry for entry in self.entries}
        for item in found:
            if item.name in known:
                yield known[item.name]
                continue
            with contextlib.suppress(OSError):  # another worker was faster
                entry = self._classify(item)
                if entry:
                    yield entry

    def _classify(self, item: os.DirEntry[str]) -> Entry | None:
        if item.is_dir(follow_symlinks=False):
            return None
        facts = item.stat(follow_symlinks=False)
        # Half-written files: their writer is at work, or died more than a lease ago.
        if files.is_temporary(item.name):
            if self._is_old(facts.st_mtime):
                os.unlink(item.path)
            return None
        entry = files.parse(item.name, facts.st_size)
        if entry is None:
            self._set_aside(item.name)
        return entry

    def _is_old(self, time_s: float) -> bool:
        # A time in the future was written before the clock was set back: without the lower bound
        # such a claim would be held until the clock has caught up.
        return not -LEASE_S < self._clock() - time_s < LEASE_S

    def _take(self, entry: Entry) -> Claim | None:
        # Of several processes that rename the same file one succeeds; the others find it gone. No
        # lock is held meanwhile, so a process that dies here blocks nobody.
        mine = entry.claimed(self._clock(), self._writer)
        try:
            os.rename(self.directory / entry.name, self.directory / mine.name)
            data = (self.directory / mine.name).read_bytes()
            return Claim(mine, files.unpack(data, mine.items))
        except OSError:
            return None  # another was faster; or it cannot be read, and is free after the lease
        except ValueError:
            self._set_aside(mine.name)
            self._count(-mine.items)
            self._ledger.dropped(self._sink, SPOOL_CORRUPT, mine.items)
            return None

    def _set_aside(self, name: str) -> None:
        make_directories(self._aside, 0o700)
        os.rename(self.directory / name, self._aside / f"garbage-{self._sink}-{name}")
        _garbage.cell(("spool.garbage",)).add(1)
        log_rate_limited(
            "spool.garbage", "a file in %s was not whole; it is in %s", self._sink, self._aside
        )

    def _remove(self, entry: Entry) -> bool:
        try:
            os.unlink(self.directory / entry.name)
        except OSError:
            return False
        self.bytes -= entry.size
        self._count(-entry.items)
        return True

    def _vanished(self) -> None:
        """Somebody deleted the directory: what this process had in it is lost."""
        lost, self._inode = self._spooled, 0
        if lost > 0:
            self._count(-lost)
            self._ledger.dropped(self._sink, SPOOL_DELETED, lost)

    def _count(self, items: int) -> None:
        self._spooled += items
        self._ledger.spooled(self._sink, items)
