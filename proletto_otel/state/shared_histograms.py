"""Histograms in memory that outlives its process: a killed worker loses no finished request.

Each process maps files of its own (`<name>.<n>.histograms`, in `state.memory`); its histogram
cells count there directly, which costs no more than counting in a list, and the other workers read
the numbers as they are, at any time. Who cannot map them (another container, another user) reads
what the process published last, at most half a second old.

A file is one chunk of fixed size:

    offset  bytes  what
    0       8      bytes in use, these included (an integer in the machine's byte order)
    8       …      records, one after the other:
            4        bytes of the description
            4        count of numbers
            …        description: JSON [name, unit, description, per, bounds, attributes, start_ns],
                     padded with spaces to a multiple of 8
            8 each   numbers as doubles: a count for each bucket, sum, minimum, maximum

A record is complete before "bytes in use" covers it, so a reader never sees half of one.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from pathlib import Path
from typing import Any

import orjson

from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.conventions import Metric
from proletto_otel.core.internal_errors import count_failure
from proletto_otel.core.metrics.registry import Attributes, Family, HistogramCell
from proletto_otel.core.record import record
from proletto_otel.state import memory
from proletto_otel.state.published import heads, pairs

CHUNK_BYTES = 256 * 1024
"""About 350 series of 14 buckets, their descriptions included."""
MAX_CHUNKS = 32
"""8 MB a process; cells beyond it count in lists and are published with the rest."""
SUFFIX = "histograms"
MAX_BOUNDS = 1000
"""Sets of bounds that are in memory once."""
Numbers = Any
"""A `memoryview` of numbers; what it is a view of, its type cannot say before Python 3.13."""
HEAD = struct.Struct("<II")
USED_BYTES = 8


class SharedHistograms:
    """The memory of this process; `place` is called by the registry for every new cell.

    Args:
        stem: Path of the files without number and suffix.
    """

    def __init__(self, stem: Path) -> None:
        self._stem = stem
        self._chunks = 0
        self._map: mmap.mmap | None = None
        self._header: Numbers = None
        self._used = 0
        self._is_full = False
        self._lock = threading.Lock()

    def place(self, metric: Metric, attributes: Attributes, cell: HistogramCell) -> None:
        """Let *cell* count here; where there is no space it goes on as it was."""
        if self._is_full:
            return
        m = metric
        description = [m.name, m.unit, m.description, m.per, m.bounds, attributes, cell.start_ns]
        text = orjson.dumps(description)
        # Doubles must be aligned to 8 bytes, or the cast of the view fails.
        text += b" " * (-len(text) % 8)
        try:
            with self._lock:
                view = self._record(text, cell.size)
        except OSError as error:  # disk full, no directory: the cell stays in a list
            self._is_full = True
            count_failure("histograms.grow", error)
            return
        if view is not None:
            cell.move(view)

    def _record(self, text: bytes, numbers: int) -> Numbers | None:
        size = HEAD.size + len(text) + 8 * numbers
        if self._map is None or self._used + size > CHUNK_BYTES:
            if self._chunks >= MAX_CHUNKS or size > CHUNK_BYTES - USED_BYTES:
                self._is_full = True
                return None
            self._grow()
        chunk, at = self._map, self._used
        assert chunk is not None  # _grow made it
        HEAD.pack_into(chunk, at, len(text), numbers)
        chunk[at + HEAD.size : at + HEAD.size + len(text)] = text
        # Last, so that a reader in another process does not find a record before it is complete.
        # No lock is shared between them: a killed writer blocks nobody.
        self._used = at + size
        self._header[0] = self._used
        return memoryview(chunk)[at + size - 8 * numbers : at + size].cast("d")

    def _grow(self) -> None:
        if self._chunks == 0:
            memory.make(self._stem.parent)
        path = f"{self._stem}.{self._chunks}.{SUFFIX}"
        # O_EXCL: a file of that name is of somebody else, as the name holds 48 random bits
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # allocated before it is mapped: writing to a page that nothing can hold would be fatal
            os.posix_fallocate(file, 0, CHUNK_BYTES)
            self._map = mmap.mmap(file, CHUNK_BYTES)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(file)  # the mapping stays valid without its descriptor
        self._header = _header(self._map)
        self._chunks += 1
        self._used = USED_BYTES


def _header(chunk: mmap.mmap) -> Numbers:
    """The number "bytes in use" of a chunk."""
    # Read and written by a view, as one aligned load or store of 8 bytes. `struct.pack_into` zeroes
    # the bytes before it writes them, whatever the format: of 1.6 million reads by another process
    # 42,000 found a zero, which to a new reader is an empty chunk; with the view none did (CPython
    # 3.11, two cores).
    return memoryview(chunk)[:USED_BYTES].cast("Q")


@record(slots=True, eq=False)
class Record:
    """One series in another process's memory."""

    head: Family
    """Without points."""
    bounds: tuple[float, ...]
    attributes: Attributes
    start_ns: int
    numbers: Numbers

    def read(self) -> bytes:
        """The numbers now, as doubles."""
        found: bytes = self.numbers.tobytes()
        return found


class MappedChunk:
    """A chunk of another process, read as it is."""

    def __init__(self, path: str) -> None:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(file, CHUNK_BYTES, prot=mmap.PROT_READ)
        finally:
            os.close(file)
        self._header = _header(self._map)
        self._read = USED_BYTES
        self.records: list[Record] = []

    def refresh(self) -> list[Record]:
        """All records, those made since the last call included."""
        # No record moves or changes its size, so those of before are still right.
        used = self._header[0]
        while self._read < used:
            length, numbers = HEAD.unpack_from(self._map, self._read)
            text = self._read + HEAD.size
            begin, end = text + length, text + length + 8 * numbers
            view = memoryview(self._map)[begin:end].cast("d")
            self.records.append(_record(self._map[text:begin], view))
            self._read = end
        return self.records


def _record(text: bytes, numbers: Numbers) -> Record:
    name, unit, description, per, bounds, attributes, start_ns = orjson.loads(text)
    # Eight workers with 50 routes have 400 records of one family: it is in memory once.
    head = heads[name, "histogram", unit, description, per]
    return Record(head, _bounds[tuple(bounds)], pairs(attributes), start_ns, numbers)


_bounds: BoundedCache[tuple[float, ...]] = BoundedCache(lambda bounds: bounds, MAX_BOUNDS)


class SharedHistogramReader:
    """The memory of all processes; what was opened once stays open while its process is listed.

    A scrape, a push and a fold may read at the same time, each in its thread.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._chunks: dict[str, list[MappedChunk]] = {}
        self._lock = threading.Lock()

    def retain(self, names: set[str]) -> None:
        """Close the memory of every process that is not in *names*."""
        with self._lock:
            for name in self._chunks.keys() - names:
                # unmapped when the last record of it is freed, not under a reader's hands
                del self._chunks[name]

    def records(self, name: str) -> list[Record]:
        """Every series in the memory of process *name*."""
        with self._lock:
            chunks = self._chunks.setdefault(name, [])
            try:
                while len(chunks) < MAX_CHUNKS:
                    chunks.append(MappedChunk(f"{self._directory}/{name}.{len(chunks)}.{SUFFIX}"))
            except FileNotFoundError:
                pass  # the next chunk does not exist yet
            except (OSError, ValueError) as error:
                count_failure("histograms.read", error)
            return [record for chunk in chunks for record in chunk.refresh()]
