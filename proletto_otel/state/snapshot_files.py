"""The files of `<state>/workers`, where a name is `<pid>-<random>`.

    <name>.live   locked by its process for as long as that lives
    <name>.json   what the process published last: a line [pid, time], then `state.published`
    totals        the numbers of all dead processes: [names added up, families, sections]
    fold.lock     held by the process that adds up the dead

Who writes them, and when, lives in `state.snapshots`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import orjson

from proletto_otel.core.internal_errors import count_failure
from proletto_otel.core.metrics.registry import Family
from proletto_otel.core.record import record
from proletto_otel.state import files
from proletto_otel.state.joining import InMemory, Joiner
from proletto_otel.state.published import Published, Reader, dump, parsed
from proletto_otel.state.shared_histograms import Record

MAX_FOLDED = 1000
"""Names of folded snapshots that stay in the file: a reader may have listed one just before."""
Identity = tuple[int, int, int]
"""Inode, size and time of change of a file."""


@record(slots=True, eq=False)
class Snapshot:
    """What one process, or all dead ones together, published."""

    name: str
    pid: int
    time: float
    families: Sequence[Published]
    """What is not in its memory."""
    in_memory: InMemory = field(default_factory=list)
    text: bytes = b"{}"
    """The sections, which only some readers need."""
    lives: bool = False
    _sections: dict[str, Any] | None = None

    @property
    def sections(self) -> dict[str, Any]:
        """The sections, by name."""
        if self._sections is None:
            self._sections = {}
            try:
                self._sections = orjson.loads(self.text)
            except ValueError as error:
                count_failure("snapshots.read", error)
        return self._sections


class SnapshotReader:
    """Reads what other processes published.

    Args:
        directory: Where their files lie.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)  # joining paths would take as long as reading
        self._readers: dict[str, _OfProcess] = {}

    def retain(self, names: Iterable[str]) -> None:
        """Forget what is kept of every process that is not in *names*."""
        for name in self._readers.keys() - names:
            self._readers.pop(name, None)

    def read(self, name: str, records: Sequence[Record] = ()) -> Snapshot | None:
        """What process *name* published; None when it is gone or cannot be read.

        Args:
            name: The name of its files.
            records: Its histograms in memory, read before.
        """
        try:
            # All of it each time, 20 µs: inode, size and time of a file that is replaced several
            # times within the clock's tick may be those of before.
            # The line with the time is apart, so that a body that did not change is not written
            # again.
            with open(f"{self._directory}/{name}.json", "rb", buffering=0) as file:
                head, _, body = file.readall().partition(b"\n")
            pid, at = orjson.loads(head)
            of_process = self._readers.setdefault(name, _OfProcess())
            return Snapshot(name, pid, at, *of_process.read(body, records))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            count_failure("snapshots.read", error)
            return None


class _OfProcess:
    """What one process published; made again only when it published something else.

    A worker without requests publishes the same for minutes, and every page, scrape and evaluation
    of another one reads it.
    """

    def __init__(self) -> None:
        self._reader, self._joiner = Reader(), Joiner()
        self._known: tuple[bytes, int, tuple[Sequence[Published], InMemory, bytes]] | None = None

    def read(
        self, body: bytes, records: Sequence[Record]
    ) -> tuple[Sequence[Published], InMemory, bytes]:
        """What is not in its memory, what is, and its sections; not to be changed.

        Raises:
            ValueError, TypeError: *body* is nothing that a process publishes.
        """
        known = self._known  # read and replaced as a whole: two threads may read at once
        if known is None or known[0] != body or known[1] != len(records):
            families, sections = self._reader.read(body)
            made = *self._joiner.join(families, records), sections
            self._known = known = body, len(records), made
        return known[2]


class Totals:
    """The file of the numbers of the dead, parsed again only when it is another one.

    It changes when a worker died, and is read with every page, scrape and evaluation; of a hundred
    endpoints it takes 1.5 ms to parse.

    Args:
        directory: Where it lies; None: there is none.
    """

    def __init__(self, directory: Path | None) -> None:
        self._path = directory / "totals" if directory is not None else None
        self._known: tuple[Identity | None, Snapshot, list[str]] = (None, _nothing(), [])

    def read(self) -> tuple[Snapshot, list[str]]:
        """The numbers of the dead, and the names of those that are in them; not to be changed."""
        # The identity first: a file that is replaced in between is read again the next time.
        found = identity(self._path) if self._path is not None else None
        if self._path is None or found is None:
            return _nothing(), []
        known, totals, folded = self._known
        if found == known:
            return totals, folded
        try:
            folded, families, sections = orjson.loads(self._path.read_bytes())
            whole = [parsed(family) for family in families]
            totals = Snapshot("totals", 0, 0.0, whole, text=orjson.dumps(sections))
        except FileNotFoundError:
            return _nothing(), []
        except (OSError, ValueError, TypeError) as error:
            count_failure("snapshots.totals", error)
            return _nothing(), []
        self._known = (found, totals, folded)
        return totals, folded


def _nothing() -> Snapshot:
    return Snapshot("totals", 0, 0.0, [])


def write_totals(
    directory: Path, folded: list[str], families: list[Family], sections: dict[str, Any]
) -> bool:
    """Replace the numbers of the dead; False when that failed, and the old ones hold."""
    # Names and numbers in one file, replaced at once: a fold that is cut short neither loses nor
    # doubles the numbers of a dead process.
    body = orjson.dumps([folded[-MAX_FOLDED:], dump(families), sections])
    try:
        files.replace(directory / "totals", body)
    except OSError as error:  # disk full: the files of the dead stay and count as they are
        count_failure("snapshots.fold", error)
        return False
    return True


def identity(path: Path) -> Identity | None:
    """Values that differ when somebody emptied or replaced the file since we wrote it."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def remove(paths: Iterable[Path]) -> None:
    """Remove files; what cannot be removed stays."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
