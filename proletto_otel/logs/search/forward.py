"""Reading the log forwards: a live tail, and the lines around one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from proletto_otel.logs.search import blocks
from proletto_otel.logs.search.blocks import BLOCK, MAX_LINE
from proletto_otel.logs.search.files import LogFile
from proletto_otel.logs.search.query import Matcher
from proletto_otel.logs.search.results import LogLine, LogPage
from proletto_otel.logs.search.walk import parsed

QUIET_S = 0.5
"""Other workers write into a rotated file for up to 0.1 s: it is left when it is quiet so long."""
MAX_AROUND = 8
"""Blocks read on each side of a line."""


def tail(files: Sequence[LogFile], offset: int, matcher: Matcher, most: int) -> LogPage:
    """What follows *offset* of the last of *files*, then the newer ones; at most *most* bytes."""
    lines: list[LogLine] = []
    left, unreadable = most, 0
    for file in reversed(files):
        while left > 0 and offset < file.size:
            text = os.pread(file.fd, min(left, BLOCK, file.size - offset), offset)
            whole = text[: text.rfind(b"\n") + 1]
            if not whole:
                skipped = _over_long(file, offset)
                if not skipped:
                    break
                whole, unreadable = b"", unreadable + 1
                offset, left = offset + skipped, left - skipped
                continue
            for start, line in blocks.Block(whole, offset).forwards():
                made = parsed(file, start, line)
                if made is None:
                    unreadable += 1
                elif matcher.matches(made):
                    lines.append(made)
            offset, left = offset + len(whole), left - len(whole)
        rotated = file is not files[0]
        if left <= 0 or not rotated or time.time() - file.modified < QUIET_S:
            break
        offset = 0
    return LogPage(
        lines=tuple(lines),
        cursor=str(file.cursor(offset)),
        newest=str(file.cursor(offset)),
        complete=left > 0,
        unreadable=unreadable,
        searched_bytes=most - max(left, 0),
    )


def _over_long(file: LogFile, offset: int) -> int:
    """Bytes of a line that is longer than a block; 0 when it is not finished."""
    at = offset
    while at < min(file.size, offset + 64 * MAX_LINE):
        some = os.pread(file.fd, BLOCK, at)
        found = some.find(b"\n") + 1
        if found:
            return at + found - offset
        if not some:
            return 0
        at += len(some)
    return 0


def around(file: LogFile, offset: int, before: int, after: int) -> list[LogLine]:
    """The line at *offset* with so many lines before and after it, oldest first."""
    earlier: list[LogLine] = []
    for line in _backwards(file, offset):
        if len(earlier) >= before:
            break
        earlier.append(line)
    later: list[LogLine] = []
    for line in _forwards(file, offset):
        if len(later) > after:
            break
        later.append(line)
    return [*earlier[::-1], *later]


def _backwards(file: LogFile, end: int) -> Iterator[LogLine]:
    last = (end - 1) // BLOCK
    for number in range(last, max(last - MAX_AROUND, -1), -1):
        block = blocks.read(file.fd, number * BLOCK, min(end, (number + 1) * BLOCK))
        yield from _lines(file, block.backwards())


def _forwards(file: LogFile, begin: int) -> Iterator[LogLine]:
    first = begin // BLOCK
    for number in range(first, first + MAX_AROUND):
        start, end = max(begin, number * BLOCK), min(file.size, (number + 1) * BLOCK)
        if start < end:
            block = blocks.read(file.fd, start, end)
            yield from _lines(file, block.forwards())


def _lines(file: LogFile, lines: Iterator[tuple[int, bytes]]) -> Iterator[LogLine]:
    for offset, text in lines:
        line = parsed(file, offset, text)
        if line is not None:
            yield line
