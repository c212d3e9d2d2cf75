"""Every worker's numbers where every other worker can add them up.

A process holds a lock on its `.live` file for as long as it lives, so that the others, in other
containers too, know a dead one whatever killed it. The numbers of the dead are folded into one
file. Adding lives in `state.merging`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from proletto_otel.core.meters import Family
from proletto_otel.core.silence import failed, silence
from proletto_otel.state import merging

MAX_FOLDED = 1000
"""Names of folded snapshots that are remembered: a reader may have listed one just before."""
Fold = Callable[[list[Any]], Any]


@dataclass(slots=True)
class Snapshot:
    """What one process, or all dead ones together, published."""

    name: str
    pid: int
    time: float
    families: list[merging.Plain]
    sections: dict[str, Any] = field(default_factory=dict)
    lives: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Something other than metrics that workers share."""

    provider: Callable[[], Any]
    fold: Fold | None
    """Joins the values of dead processes into one; None: they are forgotten."""


class Snapshots:
    """Publishes this process's numbers and reads everybody's.

    Args:
        directory: The host's state directory; None: this process alone.
        collect: All families of this process now.
    """

    name = "snapshots"

    def __init__(self, directory: Path | None, collect: Callable[[], list[Family]]) -> None:
        self._directory = directory / "workers" if directory is not None else None
        self._collect = collect
        self._sections: dict[str, Section] = {}
        self.forked()

    def forked(self) -> None:
        """A child has a name and a lock of its own; closing the parent's copy frees nothing."""
        live = getattr(self, "_live", None)
        if live is not None:
            os.close(live)
        self.gate = threading.RLock()
        self._live: int | None = None
        self._name = ""
        self._published = b""

    def section(self, name: str, provider: Callable[[], Any], fold: Fold | None = None) -> None:
        """Publish what *provider* returns (JSON types) beside the metrics."""
        self._sections[name] = Section(provider, fold)

    def start(self) -> None:
        """Become visible to the other workers."""
        with silence("snapshots.start"):
            self.publish()
            self.fold()

    def stop(self, deadline: float) -> None:
        """Publish the last numbers; the others fold them."""
        with silence("snapshots.stop"):
            self.publish()
        with self.gate:
            if self._live is not None:
                os.close(self._live)
                self._live = None

    def publish(self) -> None:
        """Write this process's numbers if they changed; atomic, at most about a millisecond."""
        self._publish(self._collect())

    def _publish(self, families: list[Family]) -> None:
        with self.gate:
            directory = self._visible()
            if directory is None:
                return
            body = orjson.dumps([merging.dump(families), self._values()])
            if body == self._published and (directory / f"{self._name}.json").exists():
                return
            head = orjson.dumps([os.getpid(), time.time()])
            try:
                _replace(directory / f"{self._name}.json", head + b"\n" + body)
            except OSError as error:
                failed("snapshots.publish", error)
                return
            self._published = body

    def _values(self) -> dict[str, Any]:
        values = {}
        for name, section in self._sections.items():
            with silence(f"section.{name}"):
                values[name] = section.provider()
        return values

    def merged(self) -> list[Family]:
        """All families of the host: every live worker's, and the totals of dead ones.

        What is told here is published first: the next answer, of whichever worker, is not lower.
        """
        own = self._collect()
        self._publish(own)
        total = merging.Sum()
        total.take(own, os.getpid())
        for other in self._others():
            total.take_plain(other.families, other.pid if other.lives else None)
        return total.families()

    def sections(self, name: str) -> list[Any]:
        """The values of one section: everybody's, and what dead processes left."""
        found = [s.sections[name] for s in self._others() if name in s.sections]
        with silence(f"section.{name}"):
            found.append(self._sections[name].provider())
        return found

    def fold(self) -> None:
        """Move the numbers of dead processes into the one file of totals."""
        directory = self._directory
        if directory is None or not directory.is_dir():
            return
        with self.gate, _locked(directory / "fold.lock") as held:
            dead = [s for s in self._read() if not self._lives(s.name)]
            if held and dead:
                self._fold(directory, dead)

    def _fold(self, directory: Path, dead: list[Snapshot]) -> None:
        before, folded = self._totals()
        # a fold that was cut short left files behind whose numbers are in the totals already
        new = [s for s in dead if s.name not in folded]
        if new and not self._write_totals(directory, [before, *new], folded):
            return
        for snapshot in dead:
            for suffix in ("json", "live"):
                with contextlib.suppress(OSError):
                    os.unlink(directory / f"{snapshot.name}.{suffix}")

    def _write_totals(self, directory: Path, sources: list[Snapshot], folded: list[str]) -> bool:
        total = merging.Sum()
        for source in sources:
            total.take_plain(source.families)
        families = merging.bounded(total.families())
        values = {
            name: section.fold([s.sections[name] for s in sources if name in s.sections])
            for name, section in self._sections.items()
            if section.fold is not None
        }
        names = [*folded, *(s.name for s in sources[1:])][-MAX_FOLDED:]
        body = orjson.dumps([names, merging.dump(families), values])
        try:
            _replace(directory / "totals", body)
        except OSError as error:  # disk full: the files stay and count as they are
            failed("snapshots.fold", error)
            return False
        return True

    # --- reading -------------------------------------------------------------------------------
    def _others(self) -> list[Snapshot]:
        """Everybody else, newest first; the files before the totals, so that none is missed."""
        found = list(self._read())
        totals, folded = self._totals()
        gone = frozenset(folded)
        others = [s for s in found if s.name not in gone]
        others.sort(key=lambda s: -s.time)
        for snapshot in others:
            snapshot.lives = self._lives(snapshot.name)
        return [*others, totals]

    def _read(self) -> Iterator[Snapshot]:
        """What everybody else published."""
        if self._directory is None:
            return
        own = f"{self._name}.json"
        try:
            names = [n for n in os.listdir(self._directory) if n.endswith(".json") and n != own]
        except OSError:
            return
        for name in names:
            snapshot = self._read_one(self._directory / name)
            if snapshot is not None:
                yield snapshot

    @staticmethod
    def _read_one(path: Path) -> Snapshot | None:
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            (pid, at), (families, sections) = orjson.loads(head), orjson.loads(body)
            return Snapshot(path.stem, pid, at, _checked(families), sections)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            failed("snapshots.read", error)
            return None

    def _totals(self) -> tuple[Snapshot, list[str]]:
        empty = Snapshot("totals", 0, 0.0, [])
        if self._directory is None:
            return empty, []
        try:
            body = (self._directory / "totals").read_bytes()
            folded, families, sections = orjson.loads(body)
            return Snapshot("totals", 0, 0.0, _checked(families), sections), folded
        except FileNotFoundError:
            return empty, []
        except (OSError, ValueError, TypeError) as error:
            failed("snapshots.totals", error)
            return empty, []

    # --- alive or dead -------------------------------------------------------------------------
    def _visible(self) -> Path | None:
        """Take a name and lock it; again after somebody removed the directory."""
        directory = self._directory
        if directory is None:
            return None
        if self._live is not None and (directory / f"{self._name}.live").exists():
            return directory
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._name:
                self._name = f"{os.getpid()}-{random.getrandbits(48):012x}"
            if self._live is not None:
                os.close(self._live)
                self._live = None
            self._live = _lock(directory / f"{self._name}.live")
        except OSError as error:
            failed("snapshots.directory", error)
            return None
        return directory

    def _lives(self, name: str) -> bool:
        if self._directory is None:
            return False
        try:
            live = os.open(self._directory / f"{name}.live", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # a shared lock: two readers who ask at once do not take each other for the owner
            fcntl.flock(live, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(live)
        return False


def _checked(families: list[merging.Plain]) -> list[merging.Plain]:
    if any(len(family) != merging.FIELDS for family in families):
        raise ValueError("written by another release")
    return families


def _lock(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a reader asks at this very moment; we come again
        os.close(lock)
        raise
    return lock


def _replace(path: Path, content: bytes) -> None:
    name = f"{path}.{os.getpid()}.tmp"
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if os.write(file, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(file)
    os.replace(name, path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)
