"""Reading a log file in blocks of 256 KiB: the whole lines that start in each.

A line belongs to the block it starts in, so blocks can be read in any order and none is seen twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from proletto_otel.core.conventions import TIMESTAMP
from proletto_otel.core.lazy_pattern import lazy_pattern

BLOCK = 256 * 1024
"""Larger ones hold the interpreter's lock for longer: searching one takes about 0.2 ms."""
MAX_LINE = 1_000_000
"""Bytes of the longest line that is read."""
_STEP = 64 * 1024
_PROBE = 16 * 1024
_TIME = lazy_pattern(rb'\{"%s":"([0-9T:.\-]{19,32})' % TIMESTAMP.encode())


@dataclass(slots=True)
class Block:
    """Whole lines, one after the other."""

    text: bytes
    base: int
    """Offset in the file of its first byte."""
    too_long: int = 0
    """Lines that were left out because of their length."""

    def first_time(self) -> float | None:
        """Unix time of its first line that says it."""
        match = _TIME.search(self.text)
        return time_of(match[1]) if match else None

    def backwards(self) -> Iterator[tuple[int, bytes]]:
        """Offset in the file and text of each line, the last one first."""
        end = len(self.text)
        while end > 0:
            start = self.text.rfind(b"\n", 0, end - 1) + 1
            yield self.base + start, self.text[start : end - 1]
            end = start

    def forwards(self) -> Iterator[tuple[int, bytes]]:
        """Offset in the file and text of each line."""
        start = 0
        while start < len(self.text):
            end = self.text.index(b"\n", start)
            yield self.base + start, self.text[start:end]
            start = end + 1

    def line_at(self, position: int) -> tuple[int, bytes]:
        """Start in the block and text of the line that *position* is in."""
        start = self.text.rfind(b"\n", 0, position) + 1
        return start, self.text[start : self.text.index(b"\n", position)]


def read(fd: int, begin: int, end: int) -> Block:
    """The whole lines that start at *begin* or later, and before *end*."""
    start = max(begin - 1, 0)
    text = os.pread(fd, max(end - start, 0), start)
    base = start
    if begin:
        # one byte before the block tells whether a line starts with it
        first = text.find(b"\n") + 1
        if not first:
            return Block(b"", end)
        text, base = text[first:], start + first
    if not text or text.endswith(b"\n"):
        return Block(text, base)
    rest = _rest_of_line(fd, base + len(text), MAX_LINE)
    whole = text.rfind(b"\n") + 1
    if rest is None or len(text) - whole + len(rest) > MAX_LINE:
        is_torn = rest == b""
        return Block(text[:whole], base, 0 if is_torn else 1)
    return Block(text + rest if rest else text[:whole], base)


def _rest_of_line(fd: int, offset: int, most: int) -> bytes | None:
    """Up to and with the next newline; empty when there is none yet, None when it is too far."""
    parts: list[bytes] = []
    for at in range(offset, offset + most, _STEP):
        some = os.pread(fd, _STEP, at)
        found = some.find(b"\n") + 1
        if found:
            return b"".join((*parts, some[:found]))
        if len(some) < _STEP:
            return b""  # the last line is being written, or was torn by a crash
        parts.append(some)
    return None


def end_of_lines(fd: int, size: int) -> int:
    """Where the last whole line ends."""
    for end in range(size, max(size - MAX_LINE, 0), -_STEP):
        start = max(end - _STEP, 0)
        found = os.pread(fd, end - start, start).rfind(b"\n") + 1
        if found:
            return start + found
    return size if size > MAX_LINE else 0


def first_time(fd: int, block: int) -> float | None:
    """Unix time of the first line in the block of this number, without reading it whole."""
    start = max(block * BLOCK - 1, 0)
    text = os.pread(fd, _PROBE, start)
    begin = text.find(b"\n") + 1 if block else 0
    match = _TIME.match(text, begin)
    return time_of(match[1]) if match and (begin or not block) else None


def time_of(text: bytes | str) -> float | None:
    """A line's timestamp (UTC) as unix time."""
    try:
        shown = text.decode() if isinstance(text, bytes) else text
        return datetime.fromisoformat(shown).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
