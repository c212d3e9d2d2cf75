"""How many lines of each level were written when: the strip above a log.

Indexed blocks are not read, unless one covers several bars.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proletto_otel.core import conventions as c
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.logs.record.timestamp import utc
from proletto_otel.logs.search import blocks
from proletto_otel.logs.search.block_index import BlockFacts, BlockIndex
from proletto_otel.logs.search.blocks import BLOCK
from proletto_otel.logs.search.files import LogFile
from proletto_otel.logs.search.query import LEVELS
from proletto_otel.logs.search.walk import SLACK_S

MAX_BARS = 400
# It begins with the newline before its line: `^` is tried at every byte, which takes longer.
_LINE = lazy_pattern(
    b'\n\\{"%s":"([^"]{19,32})","%s":"([^"]{1,30})"' % (c.TIMESTAMP.encode(), c.LEVEL.encode())
)


@dataclass(slots=True, kw_only=True)
class LevelCounts:
    """Lines by level and time."""

    begin: float
    """Unix time of the first bar's start."""
    bar_s: float
    counts: dict[str, list[int]]
    """For each level one number a bar, oldest first."""
    counted_back_to: float | None = None
    """Unix time; bars before it are not complete. None: all are."""
    problem: str = ""
    """Why there are none; empty when there are."""
    busy: bool = False
    """Whether another search ran in this worker."""

    @property
    def end(self) -> float:
        """Unix time of the last bar's end."""
        return self.begin + self.bar_s * len(self.counts[LEVELS[0]])

    @classmethod
    def empty(cls, since: float, until: float, bars: int) -> LevelCounts:
        """Bars of nothing between two unix times."""
        number = min(max(bars, 1), MAX_BARS)
        return cls(
            begin=since,
            bar_s=max(until - since, 1.0) / number,
            counts={name: [0] * number for name in LEVELS},
        )


@dataclass(slots=True)
class Counting:
    """The state of one count; newest block first, until the first bar or the deadline.

    One block is counted whatever the time, as a machine may be busy.
    """

    into: LevelCounts
    deadline: float
    clock: Callable[[], float] = time.monotonic
    _next: float = field(default=float("inf"))
    """When the block after the present one begins; none was counted that tells a time: infinite."""
    _has_begun: bool = False
    _edges: list[bytes] = field(init=False)
    """Where each bar begins, as lines say it, and where the last one ends."""
    _rows: dict[bytes, list[int]] = field(init=False)
    """The counts by the level as lines say it."""

    def __post_init__(self) -> None:
        into = self.into
        number = len(into.counts[LEVELS[0]])
        self._edges = [_as_said(into.begin + i * into.bar_s) for i in range(number + 1)]
        self._rows = {name.encode(): bars for name, bars in into.counts.items()}

    def run(
        self, files: Sequence[LogFile], index_of: Callable[[LogFile], BlockIndex | None]
    ) -> bool:
        """Count the lines of *files*; whether older ones are wanted."""
        for file in files:
            index = index_of(file)
            known = index.blocks if index is not None else []
            for number in range((file.size - 1) // BLOCK, -1, -1):
                if self._has_begun and self.clock() >= self.deadline:
                    self.into.counted_back_to = min(self._next, self.into.end)
                    return False
                self._has_begun = True
                facts = known[number] if number < len(known) else None
                self._count(file, number, facts)
                if self._next < self.into.begin - SLACK_S:
                    return False
        return True

    @property
    def oldest(self) -> float | None:
        """Unix time of the oldest block that was counted; None: there was none."""
        return self._next if self._next != float("inf") else None

    def _count(self, file: LogFile, number: int, facts: BlockFacts | None) -> None:
        begin = facts.first_time if facts is not None else None
        if facts is not None and begin is not None and self._bar(begin) == self._bar(self._next):
            self._add(begin, dict(zip(LEVELS, facts.levels, strict=True)))
            self._next = begin
            return
        end = min((number + 1) * BLOCK, file.size)
        block = blocks.read(file.fd, number * BLOCK, end)
        # Times are compared as texts, which sort as they do: a page counts thousands of lines in
        # blocks that are not indexed yet or reach over several bars. 8,000 lines take 10 ms of CPU;
        # 44 with the time of each line read and `^` in the expression (CPython 3.11, load 8).
        edges, rows = self._edges, self._rows
        for when, level in _LINE.findall(b"\n" + block.text):
            row = rows.get(level)
            bar = bisect_right(edges, when) - 1
            if row is not None and 0 <= bar < len(row):
                row[bar] += 1
        self._next = block.first_time() or self._next

    def _bar(self, at: float) -> int:
        far = at - self.into.begin
        return -1 if far < 0 else int(min(far / self.into.bar_s, MAX_BARS + 1))

    def _add(self, at: float, levels: dict[str, int]) -> None:
        bar = self._bar(at)
        for name, number in levels.items():
            bars = self.into.counts.get(name)
            if bars is not None and 0 <= bar < len(bars):
                bars[bar] += number


def _as_said(at: float) -> bytes:
    """A unix time as the timestamp of a line; the next millisecond, as lines have no finer ones."""
    milliseconds = math.ceil(round(at * 1000, 3))
    return utc(milliseconds * 1_000_000).encode()
