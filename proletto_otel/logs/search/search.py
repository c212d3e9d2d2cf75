"""Log search: what pages and programs ask of the structured log, and of errors stored beside it.

Every call is bounded in time and memory and raises nothing of its own; one runs at a time in each
worker. How a search walks through the files is in `logs.search.walk`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from proletto_otel.logs.search import blocks, files, forward, packed, stored_errors
from proletto_otel.logs.search.block_index import Indexes
from proletto_otel.logs.search.cursor import Bookmark, Cursor
from proletto_otel.logs.search.files import OpenFiles
from proletto_otel.logs.search.level_counts import Counting, LevelCounts
from proletto_otel.logs.search.query import LogQuery, Matcher
from proletto_otel.logs.search.results import LogPage
from proletto_otel.logs.search.stored_errors import ErrorSource, Joined, Joining
from proletto_otel.logs.search.walk import Walk

if TYPE_CHECKING:
    from proletto_otel.logs.search.indexer import Indexer

BUDGET_S = 0.15
"""Time of one call; then it returns what it has and where to go on."""
MAX_BUDGET_S = 2.0
MAX_LINES = 1000
MAX_TAIL_BYTES = 256 * 1024
RETRY_S = 0.25
"""When to ask again while another search runs in this worker."""
STEPS = 5
"""Steps of the indexer in one call, 4 MiB each."""
GONE = "the file of this position was deleted by rotation"
UNKNOWN = "this is no position in the log"


class LogSearch:
    """Searches one log.

    Args:
        path: The structured log file; None: there is none.
        problem: Why there is none.
        indexes: Of the rotated files; None: there are none.
        note: Called with each search.
        clock: Monotonic seconds.
        errors: Stored errors, found beside the lines; None: there are none.
    """

    def __init__(
        self,
        path: Path | None,
        problem: str = "",
        indexes: Indexes | None = None,
        note: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        errors: ErrorSource | None = None,
    ) -> None:
        self.path = path
        self.problem = problem
        """Why nothing can be searched, whatever is asked; empty when it can."""
        self._indexes = indexes or Indexes(None)
        self._indexer: Indexer | None = None
        self._note, self._clock, self._errors = note, clock, errors
        self._running, self._pid = threading.Lock(), os.getpid()
        self._unpacker = packed.Unpacker(clock)

    def search(
        self,
        query: LogQuery | None = None,
        *,
        cursor: str | None = None,
        limit: int = 100,
        budget_s: float = BUDGET_S,
    ) -> LogPage:
        """Lines that match *query*, newest first, and stored errors that have no line any more.

        Args:
            query: What to look for; None: every line.
            cursor: Of an earlier page: go on there.
            limit: Lines at most, up to 1,000; of errors without a line as many beside them.
            budget_s: Seconds it may take, up to 2; then the page says how far it came.

        Raises:
            ConfigError: for an unknown level or a regular expression that is refused.
        """
        matcher = Matcher(query or LogQuery())
        begin = Bookmark() if cursor is None else Bookmark.parse(cursor)
        if begin is None:
            return _nowhere(None)
        with self._opened() as found:
            nothing = found if isinstance(found, LogPage) else None
            if nothing is not None and (nothing.busy or self._errors is None):
                return nothing
            files = found if isinstance(found, OpenFiles) else OpenFiles()
            began = self._clock()
            deadline = began + min(max(budget_s, 0.01), MAX_BUDGET_S)
            many = min(max(limit, 1), MAX_LINES)
            walk = Walk(matcher, many, deadline, self._indexes.of, self._clock)
            if not self._walked(walk, files, begin, matcher, deadline):
                return _nowhere(begin.file)
            joined = self._with_errors(walk, files, begin, matcher, many, deadline)
            notes = (*files.notes, *(nothing.notes if nothing else ()))
            return LogPage(
                lines=tuple(joined.lines),
                cursor=None if joined.rest is None else str(joined.rest),
                newest=_end_of(files) if files.files else None,
                searched_back_to=joined.searched_back_to,
                complete=joined.rest is None,
                problem="" if nothing is None else nothing.problem,
                notes=(*notes, joined.problem) if joined.problem else notes,
                searched_bytes=walk.searched_bytes,
                unreadable=walk.unreadable,
                took_ms=(self._clock() - began) * 1000,
            )

    def _walked(
        self, walk: Walk, found: OpenFiles, begin: Bookmark, matcher: Matcher, deadline: float
    ) -> bool:
        """Walk through the files from *begin* on; False when its file is gone."""
        start, end, packed_from = 0, None, 0
        if begin.file is None and begin.errors_before is not None:
            return True  # the files are done, errors are not
        if begin.file is not None:
            place, end = found.find(begin.file), begin.file.offset
            if place is None:
                in_packed = packed.place_of(found.packed, begin.file)
                if in_packed is None:
                    return False
                packed_from, place = in_packed, len(found.files)
            start = place
        if walk.run(found.files[start:], end):
            found.notes.extend(packed.search(
                self._unpacker, walk, found.packed[packed_from:],
                end if start == len(found.files) else None, matcher.query.since, deadline,
            ))  # fmt: skip
        return True

    def _with_errors(
        self, walk: Walk, found: OpenFiles, begin: Bookmark, matcher: Matcher, limit: int,
        deadline: float,
    ) -> Joined:  # fmt: skip
        """What the walk found, and the stored errors that belong there and have no line."""
        if self._errors is None:
            return stored_errors.without(walk)
        clock, latest = self._clock, max(deadline, self._clock() + stored_errors.BUDGET_S)
        start = begin.file
        if start is None and found.files:
            start = found.files[0].cursor(found.files[0].size)
        look = partial(stored_errors.is_written, found.files, self._indexes.of)
        return Joining(
            source=self._errors, walk=walk, matcher=matcher, begin=begin, limit=limit,
            is_over=lambda: clock() >= latest, is_written=look, start=start,
        ).run()  # fmt: skip

    def of_request(
        self, identifier: str, *, near: float | None = None, limit: int = 500,
        budget_s: float = BUDGET_S,
    ) -> LogPage:  # fmt: skip
        """Every line of one request, oldest first.

        Args:
            identifier: Its request ID or trace ID.
            near: Unix time within an hour of it, where it is known: less has to be searched.
            limit: Lines at most, up to 1,000; of more, the latest.
            budget_s: As for `search`.
        """
        query = LogQuery(identifier=identifier)
        if near is not None:
            query = replace(query, since=near - 3600.0, until=near + 3600.0)
        page = self.search(query, limit=limit, budget_s=budget_s)
        return replace(page, lines=page.lines[::-1])

    def level_counts(
        self, since: float, until: float, bars: int = 60, budget_s: float = BUDGET_S
    ) -> LevelCounts:
        """Lines by level between two unix times, in at most 400 *bars*."""
        counts = LevelCounts.empty(since, until, bars)
        with self._opened() as found:
            if isinstance(found, LogPage):
                return replace(counts, problem=found.problem, busy=found.busy)
            deadline = self._clock() + min(max(budget_s, 0.01), MAX_BUDGET_S)
            counting = Counting(counts, deadline, self._clock)
            if counting.run(found.files, self._indexes.of) and found.packed:
                counts.counted_back_to = counting.oldest
        return counts

    def around(self, cursor: str, before: int = 10, after: int = 10) -> LogPage:
        """The line at *cursor* and its neighbours of the same file, oldest first."""
        with self._opened() as found:
            if isinstance(found, LogPage):
                return found
            position = Cursor.parse(cursor)
            place = found.find(position) if position is not None else None
            many = (min(max(before, 0), 200), min(max(after, 0), 200))
            if position is not None and place is None:
                return self._around_packed(found, position, many)
            if position is None or place is None:
                return _nowhere(position)
            lines = forward.around(found.files[place], position.offset, *many)
            return LogPage(lines=tuple(lines), notes=tuple(found.notes), newest=_end_of(found))

    def _around_packed(self, found: OpenFiles, position: Cursor, many: tuple[int, int]) -> LogPage:
        place = packed.place_of(found.packed, position)
        if place is None:
            return _nowhere(position)
        file, problem = self._unpacker.open(found.packed[place], self._clock() + MAX_BUDGET_S)
        if file is None:
            return LogPage(problem=problem or "the file is being unpacked: try again")
        try:
            lines = forward.around(file, position.offset, *many)
        finally:
            os.close(file.fd)
        return LogPage(lines=tuple(lines), notes=tuple(found.notes), newest=_end_of(found))

    def tail(
        self, cursor: str | None = None, query: LogQuery | None = None, *,
        max_bytes: int = MAX_TAIL_BYTES,
    ) -> LogPage:  # fmt: skip
        """What was written since *cursor*, oldest first.

        Args:
            cursor: `newest` of a page, or `cursor` of an earlier tail; None: from now on.
            query: Only lines that match.
            max_bytes: Read at most; `complete` says whether more waits.

        Returns:
            The lines; `cursor` is where the next tail goes on.

        Raises:
            ConfigError: as `search`.
        """
        matcher = Matcher(query or LogQuery())
        with self._opened() as found:
            if isinstance(found, LogPage):
                return found
            if cursor is None:
                end = _end_of(found)
                return LogPage(cursor=end, newest=end, complete=True, notes=tuple(found.notes))
            position = Cursor.parse(cursor)
            place = found.find(position) if position is not None else None
            if position is None or place is None:
                return replace(_nowhere(position), cursor=_end_of(found))
            most = min(max(max_bytes, 1), 4 * MAX_TAIL_BYTES)
            return forward.tail(found.files[: place + 1], position.offset, matcher, most)

    def index_some(self) -> bool:
        """Index up to 20 MiB more; whether there is more to do. For the leader's ticker."""
        if self.path is None:
            return False
        if self._indexer is None:
            from proletto_otel.logs.search.indexer import Indexer

            self._indexer = Indexer(self.path, self._indexes)
        return all(self._indexer.step() for _ in range(STEPS))

    @contextmanager
    def _opened(self) -> Iterator[OpenFiles | LogPage]:
        """The files, or the page that says why there are none."""
        if self._note is not None:
            self._note()
        if os.getpid() != self._pid:  # a search of the parent's is not under way in this child
            self._running, self._pid = threading.Lock(), os.getpid()
            self._unpacker.forget()
        if self.path is None or self.problem:
            yield LogPage(problem=self.problem or "there is no log file", complete=True)
        elif not self._running.acquire(blocking=False):
            yield LogPage(busy=True, retry_after_s=RETRY_S)
        else:
            try:
                with files.opened(self.path) as found:
                    if found.files:
                        yield found
                    else:
                        yield LogPage(
                            problem=found.problem, notes=tuple(found.notes), complete=True
                        )
            finally:
                self._running.release()


def _nowhere(position: Cursor | None) -> LogPage:
    if position is None:
        return LogPage(problem=UNKNOWN, complete=True)
    return LogPage(gone=True, notes=(GONE,), complete=True)


def _end_of(found: OpenFiles) -> str:
    newest = found.files[0]
    return str(newest.cursor(blocks.end_of_lines(newest.fd, newest.size)))
