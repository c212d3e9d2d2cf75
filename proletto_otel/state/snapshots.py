"""Every worker's numbers where every other worker can add them up.

A process locks its `.live` file for as long as it lives, so that the others, in other containers
too, know a dead one whatever killed it. The numbers of the dead are folded into one file of totals.
Histograms are in memory besides, and counted there (`state.shared_histograms`). Adding lives in
`state.merging`, the files in `state.snapshot_files`.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson

from proletto_otel.core.internal_errors import count_failure, suppressed
from proletto_otel.core.metrics.registry import Family, Registry
from proletto_otel.core.ownership import make_directories
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state import alive, files, memory, merging, snapshot_files
from proletto_otel.state.adding import total_not_below
from proletto_otel.state.held_reading import HeldReading
from proletto_otel.state.published import Writer, document
from proletto_otel.state.sections import Fold, Section, Sections
from proletto_otel.state.shared_histograms import SharedHistogramReader, SharedHistograms
from proletto_otel.state.snapshot_files import Identity, Snapshot, identity, remove

ORPHAN_S = 60.0
"""Age at which a file without a living owner, that cannot be read either, is removed."""


class Snapshots(Component):
    """Publishes the numbers of this process and reads those of all others.

    Args:
        directory: The host's state directory; None: this process alone.
        collect: All families of this process now.
        cells: The registry with the histograms that shall outlive this process, however it ends.
    """

    name = "snapshots"
    stops_last = True
    gate: threading.RLock
    """Held while publishing. Stops last: what others count while they stop is published, too."""

    def __init__(
        self,
        directory: Path | None,
        collect: Callable[[], list[Family]],
        cells: Registry | None = None,
    ) -> None:
        self._directory = directory / "workers" if directory is not None else None
        self._collect = collect
        self._cells = cells
        self._sections = Sections()
        self._totals = snapshot_files.Totals(self._directory)
        self.forked()

    def forked(self) -> None:
        """A child has a name and a lock of its own; closing the parent's copy frees nothing."""
        # flock belongs to the open file, which parent and child share: this close only drops the
        # child's reference, the parent goes on holding its lock.
        live = getattr(self, "_live", None)
        if live is not None:
            os.close(live)
        self.gate = threading.RLock()
        self._live: int | None = None
        self._name = ""
        self._writer = Writer()
        self._published: tuple[list[bytes], bytes] | None = None
        self._alive = alive.Alive()
        self._held = HeldReading()
        self._written: Identity | None = None
        self._memory = memory.directory_for(self._directory) if self._directory else None
        self._histograms = SharedHistogramReader(self._memory) if self._memory else None
        self._files = snapshot_files.SnapshotReader(self._directory) if self._directory else None
        self._known: merging.Known = {}
        self._alone = merging.Alone()

    def section(self, name: str, provider: Callable[[], Any], fold: Fold | None = None) -> None:
        """Publish what *provider* returns (JSON types) beside the metrics."""
        self._sections[name] = Section(provider, fold)

    def start(self) -> None:
        """Become visible to the other workers; the first numbers follow with `publish`."""
        with suppressed("snapshots.start"):
            self._publish([])
            if self._cells is not None and self._name and self._memory is not None:
                self._cells.move_histograms(SharedHistograms(self._memory / self._name).place)

    def stop(self, deadline: float) -> None:
        """Publish the last numbers; the others fold them."""
        with suppressed("snapshots.stop"):
            self.publish()
        with self.gate:
            if self._written is not None and self._memory is not None:
                memory.remove(self._memory, self._name)  # all of it is published
            if self._live is not None:
                os.close(self._live)
                self._live = None

    def publish(self) -> None:
        """Write this process's numbers if they changed; atomic, at most about a millisecond."""
        with self.gate:  # so that of two threads the later one also writes later
            self._publish(self._collect())

    def _publish(self, families: list[Family], sections: bytes | None = None) -> None:
        with self.gate:
            directory = self._visible()
            if directory is None:
                return
            content = self._writer.texts(families), sections or self._sections.text()
            path = directory / f"{self._name}.json"
            if content == self._published and self._written == identity(path):
                self._alive.say(self._live)
                return
            # The time is outside the comparison above: a worker without requests writes nothing.
            head = orjson.dumps([os.getpid(), time.time()])
            # Unset meanwhile: after a failed write the next one must not be skipped as unchanged.
            self._written = None
            try:
                files.replace(path, head + b"\n" + document(*content))
            except OSError as error:
                count_failure("snapshots.publish", error)
                return
            self._published, self._written = content, identity(path)

    def _collect_and_publish(self) -> list[Family]:
        """The own numbers, in the file before anybody is told them; its sections stay."""
        with self.gate:
            own = self._collect()
            # Sections (statistics of routes) are no part of the answer: those of half a second ago
            # do; making them would be a third of the cost of a scrape.
            self._publish(own, self._published[1] if self._published is not None else None)
            return own

    def published(self) -> dict[int, float]:
        """When each living process measured what it published, unix time by process ID."""
        return alive.published(self._others(), self._directory)

    def one_reading(self) -> AbstractContextManager[None]:
        """Within it this thread reads all processes once: each answer is of the same time."""
        return self._held.hold()

    def merged(self) -> list[Family]:
        """All families of the host: every live worker's, and the totals of dead ones.

        The own numbers are published first if other workers exist: the next answer, of whichever
        worker, is not lower.
        """
        families = self._held.families
        if families is None:
            families = self._merge()
            if self._held.is_open:
                self._held.families = families
        return families

    def merged_with(self, *names: str) -> tuple[list[Family], dict[str, list[Any]]]:
        """As `merged`, and the sections of these *names* out of the same files, read once."""
        with self.one_reading():
            return self.merged(), {name: self.sections(name) for name in names}

    def _merge(self) -> list[Family]:
        # Listed once, before the own numbers are taken: whose file comes meanwhile is in the next
        # answer, and whose file goes is in the totals, which are read last.
        names = self._names()
        own = self._collect_and_publish() if names else self._collect()
        others = self._others(names)
        if not any(other.families or other.in_memory for other in others):
            return self._alone.families(own, os.getpid())
        total = merging.Sum()
        total.take(own, os.getpid())
        total.take_others(others)
        # Read and replaced as a whole: each of two threads that merge at once may use either.
        found = total.families(self._known)
        self._known = total.known
        return found

    def sections(self, name: str) -> list[Any]:
        """The values of one section: everybody's, and what dead processes left."""
        return self._sections.of_all(name, self._others())

    def fold(self) -> None:
        """Move the numbers of dead processes into the one file of totals."""
        directory = self._directory
        if directory is None or not directory.is_dir():
            return
        with self.gate, files.locked(directory / "fold.lock") as held:
            if not held:
                return
            # dead first, read then: what it published last is complete
            names = [name for name in self._names() if not self._lives(name)]
            dead = list(self._read(names))
            before, folded = self._totals.read()
            # A fold that was cut short left files; their numbers are in the totals already.
            new = [s for s in dead if s.name not in folded]
            # The totals are written before the files of the dead are removed: a process that is
            # killed in between leaves both, and the names in the totals prevent a double count.
            if not new or self._write_totals(directory, [before, *new], folded):
                for snapshot in dead:
                    remove(directory.glob(f"{snapshot.name}.*"))
                    if self._memory is not None:
                        memory.remove(self._memory, snapshot.name)
            self._sweep(directory)

    def _sweep(self, directory: Path) -> None:
        """Remove what processes left that died before they published, or in the middle of it."""
        # Not sooner: a process makes its `.live` file just before it locks it, and looks dead in
        # between.
        old = time.time() - ORPHAN_S
        with contextlib.suppress(OSError):
            remove(
                path
                for place in filter(None, (directory, self._memory))
                for path in place.glob("*.*")
                if path.name != "fold.lock"
                and path.stat().st_mtime < old
                and not self._lives(path.name.partition(".")[0])
            )

    def _write_totals(self, directory: Path, sources: list[Snapshot], folded: list[str]) -> bool:
        total = merging.Sum()
        total.take_others(sources)
        names = [*folded, *(s.name for s in sources[1:])]
        families = merging.bounded(total.families(add=total_not_below))
        values = self._sections.folded(sources)
        return snapshot_files.write_totals(directory, names, families, values)

    # --- reading -------------------------------------------------------------------------------
    def _others(self, listed: list[str] | None = None) -> list[Snapshot]:
        """Everybody else, newest first; the files before the totals, so that none is missed."""
        if self._held.others is not None:
            return self._held.others
        names = self._names() if listed is None else listed
        if self._histograms is not None:
            self._histograms.retain(set(names))
        if self._files is not None:
            self._files.retain(names)
        found = list(self._read(names))
        # In this order a process that is folded meanwhile is found twice, never missed; it is then
        # taken from the totals.
        totals, folded = self._totals.read()
        gone = frozenset(folded)
        others = [s for s in found if s.name not in gone]
        others.sort(key=lambda s: -s.time)
        for snapshot in others:
            snapshot.lives = self._lives(snapshot.name)
        others.append(totals)
        if self._held.is_open:
            self._held.others = others
        return others

    def _names(self) -> list[str]:
        """Names of the other processes that published."""
        try:
            listed = os.listdir(self._directory) if self._directory is not None else []
        except OSError:
            return []
        return [n[:-5] for n in listed if n.endswith(".json") and n[:-5] != self._name]

    def _read(self, names: list[str]) -> Iterator[Snapshot]:
        """What they published, and what their histograms say now."""
        if self._files is None:
            return
        for name in names:
            # In this order: a process that ends publishes all and then removes its memory. Read the
            # other way round, an older file would stand alone, and the totals would go back.
            records = self._histograms.records(name) if self._histograms is not None else []
            snapshot = self._files.read(name, records)
            if snapshot is not None:
                yield snapshot

    # --- alive or dead -------------------------------------------------------------------------
    def _visible(self) -> Path | None:
        """Take a name and lock it; again after somebody removed the directory."""
        directory = self._directory
        if directory is None:
            return None
        if self._live is not None and (directory / f"{self._name}.live").exists():
            return directory
        try:
            make_directories(directory, 0o700)
            if not self._name:
                # Random, because pids are used again and are not unique across containers.
                self._name = f"{os.getpid()}-{random.getrandbits(48):012x}"
            if self._live is not None:
                os.close(self._live)
                self._live = None
            self._live = files.lock(directory / f"{self._name}.live")
        except OSError as error:
            count_failure("snapshots.directory", error)
            return None
        return directory

    def _lives(self, name: str) -> bool:
        return self._directory is not None and files.is_locked(self._directory / f"{name}.live")
