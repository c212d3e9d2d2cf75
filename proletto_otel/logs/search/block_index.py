"""What is known of each block of a log file without reading it: first time, levels, IDs.

A file of 20 MB takes about 60 KB. One file of the state directory holds the index of one log file:

    header   magic, mark of the log file, number of blocks
    blocks   for each: first time (NaN: none), lines, lines of each of five levels, number of IDs
    IDs      for each block: 32 bits of each request ID, trace ID and fingerprint, sorted
    CRC-32   of all before it

Only whole blocks are in it, so the index of a file that grows is true for what it covers.
`logs.search.indexer` writes it.
"""

from __future__ import annotations

import math
import re
import struct
import sys
import zlib
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from proletto_otel.core import conventions as c
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.logs.search.query import LEVELS, Matcher, key_of

if TYPE_CHECKING:
    from proletto_otel.logs.search.blocks import Block
    from proletto_otel.logs.search.files import LogFile

MAGIC = b"plogidx1"
SUFFIX = ".index"
MAX_BYTES = 16_000_000
"""Larger index files are not read: the log file is searched without."""
MAX_CACHED = 32
_HEADER = struct.Struct("<8sIII")
_BLOCK = struct.Struct("<d7I")
_CRC = struct.Struct("<I")
_REQUEST = lazy_pattern(
    b'"%s":"([^"\\\\]{1,128})"(?:,"%s":"([0-9a-f]{32})")?'
    % (c.REQUEST_ID.encode(), c.TRACE_ID.encode())
)
_OTHERS = tuple(
    (b'"%s":"' % name, re.compile(b'"%s":"([0-9a-f]{1,64})"' % name))
    for name in (c.TRACE_ID.encode(), c.LOG_FINGERPRINT.encode())
)
_LEVELS = tuple(f'","{c.LEVEL}":"{name}","{c.LOGGER_NAME}":"'.encode() for name in LEVELS)
"""As a line begins after its time, so that a fact of this name does not count."""


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """What is known of one block."""

    first_time: float | None
    lines: int
    levels: tuple[int, ...]
    """Lines of each of `LEVELS`."""
    keys: Sequence[int]
    """Sorted."""

    @classmethod
    def of(cls, block: Block) -> BlockFacts:
        """The facts of a block that was read."""
        return cls(
            block.first_time(),
            block.text.count(b"\n") + block.too_long,
            tuple(block.text.count(needle) for needle in _LEVELS),
            array("I", sorted(map(key_of, _identifiers(block.text)))),
        )


def _identifiers(text: bytes) -> set[bytes]:
    """The IDs in a block; a nested fact of such a name does no harm."""
    pairs = _REQUEST.findall(text)
    traces = sum(1 for _, trace in pairs if trace)
    found = {identifier for pair in set(pairs) for identifier in pair if identifier}
    for needle, pattern in _OTHERS:
        # A trace ID mostly follows the request ID: then one pass over the text, not two.
        if text.count(needle) != (traces if needle is _OTHERS[0][0] else 0):
            found.update(pattern.findall(text))
    return found


@dataclass(slots=True)
class BlockIndex:
    """The blocks of one file."""

    mark: int
    blocks: list[BlockFacts] = field(default_factory=list)

    def rules_out(self, number: int, matcher: Matcher) -> bool:
        """Whether the block certainly has no line that *matcher* looks for."""
        if number >= len(self.blocks):
            return False
        facts = self.blocks[number]
        for key in matcher.index_keys:
            at = bisect_left(facts.keys, key)
            if at == len(facts.keys) or facts.keys[at] != key:
                return True
        if not matcher.min_level:
            return False
        high = sum(compress(facts.levels, matcher.high_levels))
        # lines of other levels: a level of the application's own, or no JSON
        return high == 0 and facts.lines == sum(facts.levels)

    def dump(self) -> bytes:
        """The content of its file."""
        parts = [_HEADER.pack(MAGIC, self.mark, len(self.blocks), 0)]
        keys = array("I")
        for facts in self.blocks:
            at = math.nan if facts.first_time is None else facts.first_time
            parts.append(_BLOCK.pack(at, facts.lines, *facts.levels, len(facts.keys)))
            keys.extend(facts.keys)
        if sys.byteorder == "big":
            keys.byteswap()
        body = b"".join((*parts, keys.tobytes()))
        return body + _CRC.pack(zlib.crc32(body))

    @classmethod
    def load(cls, data: bytes) -> BlockIndex | None:
        """What `dump` made; None when it is damaged or of another release."""
        if len(data) < _HEADER.size + _CRC.size:
            return None
        body = memoryview(data)[: -_CRC.size]
        magic, mark, count, _ = _HEADER.unpack_from(data)
        (checksum,) = _CRC.unpack_from(data, len(data) - _CRC.size)
        if magic != MAGIC or zlib.crc32(body) != checksum:
            return None
        rows = list(_BLOCK.iter_unpack(body[_HEADER.size : _HEADER.size + count * _BLOCK.size]))
        keys = array("I", body[_HEADER.size + count * _BLOCK.size :].tobytes())
        if sys.byteorder == "big":
            keys.byteswap()
        return cls(mark, list(_facts(rows, keys)))


def _facts(rows: Iterable[tuple[float | int, ...]], keys: array[int]) -> Iterable[BlockFacts]:
    begin = 0
    for first, lines, *levels, count in rows:
        end = begin + int(count)
        at = None if math.isnan(first) else first
        yield BlockFacts(at, int(lines), tuple(map(int, levels)), keys[begin:end])
        begin = end


class Indexes:
    """The stored indexes of a log's files, read when they are asked for.

    Args:
        directory: Where they are; None: nowhere.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._cached: OrderedDict[Path, tuple[tuple[int, int], BlockIndex | None]] = OrderedDict()

    def path_of(self, file: LogFile) -> Path | None:
        """Where the index of *file* is, or would be."""
        if self.directory is None:
            return None
        return self.directory / f"{file.inode:x}-{file.mark:x}{SUFFIX}"

    def of(self, file: LogFile) -> BlockIndex | None:
        """The index of *file*; None when there is none that fits."""
        path = self.path_of(file)
        if path is None:
            return None
        try:
            found = path.stat()
            version = (found.st_mtime_ns, found.st_size)
            known = self._cached.pop(path, None)
            if known is None or known[0] != version:
                data = path.read_bytes() if found.st_size <= MAX_BYTES else b""
                known = (version, BlockIndex.load(data))
        except OSError:
            return None
        self._cached[path] = known
        while len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)
        index = known[1]
        # a file that became shorter was emptied and written anew
        fits = index is not None and (len(index.blocks) - 1) * _block_size() < file.size
        return index if fits else None


def _block_size() -> int:
    from proletto_otel.logs.search.blocks import BLOCK

    return BLOCK
