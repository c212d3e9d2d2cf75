"""One backwards walk over the log: block by block, newest first, until enough, done or out of time.

`logs.search.search` opens the files and makes the answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence

import orjson

from proletto_otel.core.conventions import TIMESTAMP
from proletto_otel.logs.search import blocks
from proletto_otel.logs.search.block_index import BlockIndex
from proletto_otel.logs.search.blocks import BLOCK, Block
from proletto_otel.logs.search.cursor import Cursor
from proletto_otel.logs.search.files import LogFile
from proletto_otel.logs.search.query import Matcher
from proletto_otel.logs.search.results import LogLine

SLACK_S = 10.0
"""How far apart times of neighbouring lines may be: workers and threads write when they can."""


def parsed(file: LogFile, offset: int, text: bytes) -> LogLine | None:
    """A line as a record; None when it is no JSON object."""
    try:
        record = orjson.loads(text)
    except ValueError:
        # bytes that are no UTF-8, as somebody else wrote them; NaN, as `json` writes it
        try:
            record = json.loads(text.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None
    if not isinstance(record, dict):
        return None
    return LogLine(
        at=blocks.time_of(str(record.get(TIMESTAMP))) or 0.0,
        record=record,
        cursor=str(file.cursor(offset)),
        file=file.name,
    )


class Walk:
    """The state of one search.

    Args:
        matcher: What is looked for.
        limit: Lines to find.
        deadline: On *clock*.
        index_of: The index of a file; None where there is none.
        clock: Monotonic seconds, or what else grows with the work done.
    """

    def __init__(
        self,
        matcher: Matcher,
        limit: int,
        deadline: float,
        index_of: Callable[[LogFile], BlockIndex | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.found: list[LogLine] = []
        self.rest: Cursor | None = None
        """Where to go on; None when everything was searched."""
        self.searched_back_to: float | None = None
        self.searched_bytes = 0
        self.unreadable = 0
        self._matcher = matcher
        self._limit = limit
        self._deadline = deadline
        self._index_of = index_of
        self._clock = clock

    def run(self, files: Sequence[LogFile], end: int | None) -> bool:
        """Search *files*, the first one before offset *end*; whether older ones are wanted."""
        for file in files:
            before = min(end, file.size) if end is not None else file.size
            end = None
            if not self._search(file, before):
                return False
        return True

    def _search(self, file: LogFile, end: int) -> bool:
        """Search one file; whether the next one is to be searched."""
        index = self._index_of(file)
        for number in self._numbers(file, end, index):
            begin, before = number * BLOCK, min(end, (number + 1) * BLOCK)
            if self._clock() >= self._deadline and self.searched_bytes:
                self.rest = file.cursor(before)
                return False
            if index is not None and index.rules_out(number, self._matcher):
                continue
            block = blocks.read(file.fd, begin, before)
            self.searched_bytes += before - begin
            self.unreadable += block.too_long
            if not self._search_block(file, block):
                return False
            at = block.first_time()
            if at is not None:
                self.searched_back_to = at
                since = self._matcher.query.since
                if since is not None and at < since - SLACK_S:
                    return False
        return True

    def _numbers(self, file: LogFile, end: int, index: BlockIndex | None) -> Iterator[int]:
        """Numbers of the blocks to search, last first."""
        last = (end - 1) // BLOCK
        until = self._matcher.query.until
        if until is not None and last > 0:
            last = _last_before(file.fd, last, until + SLACK_S)
        return iter(range(last, -1, -1))

    def _search_block(self, file: LogFile, block: Block) -> bool:
        """Search a block, the last line first; whether to go on."""
        for offset, text in self._candidates(block):
            # one line in a thousand costs: an expression over a long message
            if self._clock() >= self._deadline and self._matcher.pattern is not None:
                self.rest = file.cursor(offset + 1)
                return False
            line = parsed(file, offset, text)
            if line is None:
                self.unreadable += 1
            elif self._matcher.matches(line):
                self.found.append(line)
                if len(self.found) >= self._limit:
                    self.rest = file.cursor(offset)
                    self.searched_back_to = line.at or self.searched_back_to
                    return False
        return True

    def _candidates(self, block: Block) -> Iterator[tuple[int, bytes]]:
        """Lines that pass the prefilter, the last one first."""
        needles = self._matcher.needles
        if not needles:
            yield from block.backwards()
            return
        text = block.text.lower() if needles[0].folded else block.text
        last = -1
        for position in needles[0].positions(text):
            start, line = block.line_at(position)
            if start != last and all(needle.within(line) for needle in needles[1:]):
                yield block.base + start, line
            last = start


def _last_before(fd: int, last: int, until: float) -> int:
    """The last block that may begin before *until*, by bisection."""
    low, high = 0, last
    while low < high:
        middle = (low + high + 1) // 2
        at = blocks.first_time(fd, middle)
        if at is not None and at > until:
            high = middle - 1
        else:  # a block without a line, in a long one, decides nothing: go on upwards
            low = middle
    return low
