"""Reading the log forwards: a live tail, and the lines around one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from proletto_otel.logs.search import blocks
from proletto_otel.logs.search.blocks import BLOCK, Block
from proletto_otel.logs.search.files import LogFile
from proletto_otel.logs.search.query import Matcher
from proletto_otel.logs.search.results import LogLine, LogPage
from proletto_otel.logs.search.walk import parsed

QUIET_S = 2.0
"""Other workers write into a rotated file for 0.1 s, and longer on a loaded machine: a tail leaves
it when it was quiet so long."""
MAX_AROUND = 8
"""Blocks read on each side of a line."""


def tail(files: Sequence[LogFile], offset: int, matcher: Matcher, most: int) -> LogPage:
    """What follows *offset* of the last of *files*, then the newer ones; at most *most* bytes."""
    lines: list[LogLine] = []
    left, unreadable = most, 0
    for file in reversed(files):
        while left > 0 and offset < file.size:
            block, end = _next_lines(file, offset, left)
            if end == offset:
                break  # the last line is being written
            unreadable += block.too_long
            for start, line in block.forwards():
                made = parsed(file, start, line)
                if made is None:
                    unreadable += 1
                elif matcher.matches(made):
                    lines.append(made)
            offset, left = end, left - (end - offset)
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


def _next_lines(file: LogFile, offset: int, most: int) -> tuple[Block, int]:
    """Whole lines from *offset* on, about *most* bytes but at least one, and where they end."""
    text = os.pread(file.fd, min(BLOCK, file.size - offset), offset)
    end = text.rfind(b"\n", 0, max(most, 1)) + 1 or text.find(b"\n") + 1
    if end:
        return Block(text[:end], offset), offset + end
    # a line that is longer than a block
    block = blocks.read(file.fd, offset, offset + 1)
    if block.text:
        return block, offset + len(block.text)
    at = offset
    while block.too_long and at < file.size:
        some = os.pread(file.fd, BLOCK, at)
        found = some.find(b"\n") + 1
        if found:
            return block, at + found
        at += len(some)
    return block, offset


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
