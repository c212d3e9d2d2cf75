"""Stored errors among the lines of a search: those whose line is in none of the files.

Lines are rotated away after some days, stored errors stay longer. Both are asked the same; an error
that has its line is shown once, as the line. Where the errors come from is `ErrorSource`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from proletto_otel.logs.search.block_index import BlockIndex
from proletto_otel.logs.search.cursor import Bookmark, Cursor
from proletto_otel.logs.search.files import LogFile
from proletto_otel.logs.search.query import LogQuery, Matcher
from proletto_otel.logs.search.results import LogLine
from proletto_otel.logs.search.walk import SLACK_S, Walk

BUDGET_S = 0.05
"""Time of one call for them, should the files have taken all of theirs."""
PROBE_BYTES = 16 << 20
"""To read for the line of one error, some milliseconds; no time, which a busy machine takes away:
the error would be shown beside its line."""
MAX_PROBED = 50
SETTLED_S = 2.0
"""Errors of this time are left to their lines, which are being written."""
NEVER = 1 << 47
"""Unix milliseconds after every record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundErrors:
    """Stored errors that a search wants."""

    lines: Sequence[LogLine] = ()
    """Newest first."""
    reached: int | None = None
    """Unix milliseconds: everything from then on was searched. None: everything was."""
    problem: str = ""
    """Why there may be more; empty when there is not."""


class ErrorSource(Protocol):
    """Where errors are stored."""

    def search(
        self, matcher: Matcher, low: int, high: int, limit: int, is_over: Callable[[], bool]
    ) -> FoundErrors:
        """Errors from *low* to before *high* (unix milliseconds), of more than *limit* the newest.

        Some are searched even when the time *is_over* from the beginning.
        """
        ...


@dataclass(slots=True, kw_only=True)
class Joined:
    """Lines and errors of one answer."""

    lines: list[LogLine]
    rest: Bookmark | None = None
    """Where to go on; None when everything was searched."""
    searched_back_to: float | None = None
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Joining:
    """One answer being made: a walk that is over, and what the errors add to it."""

    source: ErrorSource
    walk: Walk
    matcher: Matcher
    begin: Bookmark
    """Where the walk began."""
    limit: int
    is_over: Callable[[], bool]
    is_written: Callable[[LogLine], bool]
    """Whether the line of an error is in the files."""
    start: Cursor | None
    """Where in the files the walk began; None: there are none."""
    known: Counter[tuple[object, ...]] = field(init=False)

    def run(self) -> Joined:
        """Lines of the files and errors, down to one time."""
        found, low, high = self.walk.found, self._low(), self._high()
        low = min(low, high)
        # of as many errors as there are lines, each may have its line
        errors = self.source.search(self.matcher, low, high, self.limit + len(found), self.is_over)
        self.known = Counter(line.identity() for line in found)
        added, reached = self._added(errors, low, high)
        is_done = self.walk.rest is None and reached <= low
        if reached > low:
            # lines from before that time come with the next answer, together with their errors
            cut = next((i for i, line in enumerate(found) if milliseconds(line) < reached), None)
            if cut is not None:
                at = Cursor.parse(found[cut - 1].cursor) if cut else self.start
                return Joined(
                    lines=_in_order(found[:cut], added), rest=Bookmark(at, reached),
                    searched_back_to=reached / 1000, problem=errors.problem,
                )  # fmt: skip
        back_to = self.walk.searched_back_to
        if self.walk.rest is None and not is_done:
            back_to = reached / 1000
        return Joined(
            lines=_in_order(found, added),
            rest=None if is_done else Bookmark(self.walk.rest, reached),
            searched_back_to=back_to,
            problem=errors.problem,
        )

    def _low(self) -> int:
        """How far back the files were searched, unix milliseconds."""
        since = self.matcher.query.since
        least = 0 if since is None else round(since * 1000)
        if self.walk.rest is None:
            return least
        back_to = self.walk.searched_back_to
        return NEVER if back_to is None else max(round(back_to * 1000), least)

    def _high(self) -> int:
        until, before = self.matcher.query.until, self.begin.errors_before
        latest = NEVER if until is None else round(until * 1000) + 1
        if self.start is not None and before is None:
            # A line is written some milliseconds after its error was counted.
            latest = min(latest, round((time.time() - SETTLED_S) * 1000))
        return latest if before is None else min(before, latest)

    def _added(self, errors: FoundErrors, low: int, high: int) -> tuple[list[LogLine], int]:
        """Errors that have no line, and the time down to which that is all of them."""
        added: list[LogLine] = []
        reached = low if errors.reached is None else max(low, errors.reached)
        probed, last = 0, high
        for error in errors.lines:
            at, key = milliseconds(error), error.identity()
            is_within, last = at == last, at
            if len(added) >= self.limit and at < milliseconds(added[-1]):
                return added, max(milliseconds(added[-1]), reached)
            if self.known[key]:
                self.known[key] -= 1
                continue
            if self._is_near_an_edge(at, low, high):
                # One probe a call whatever the time, so that each call gets further, and no end
                # within a millisecond: the next answer would begin with its first errors again.
                if probed and not is_within and (probed >= MAX_PROBED or self.is_over()):
                    return added, max(at + 1, reached)
                probed += 1
                if self.is_written(error):
                    continue
            added.append(error)
        return added, reached

    def _is_near_an_edge(self, at: int, low: int, high: int) -> bool:
        """Whether the line may be in the files all the same, on another page.

        Lines that were written at about the same time are mixed in a file: what is older than a
        page's last line may be before it.
        """
        slack = round(SLACK_S * 1000)
        begin = self.begin
        if begin.errors_before is None and begin.file is not None:
            return True  # a position that no search gave: what is newer was not searched
        is_first = begin.file is None and begin.errors_before is None
        has_older_lines = self.walk.rest is not None and at < low + slack
        return has_older_lines or (not is_first and at >= high - slack)


def without(walk: Walk) -> Joined:
    """What a walk found, where no errors are stored."""
    rest = None if walk.rest is None else Bookmark(walk.rest)
    return Joined(lines=walk.found, rest=rest, searched_back_to=walk.searched_back_to)


def _in_order(lines: list[LogLine], added: list[LogLine]) -> list[LogLine]:
    """Newest first; lines alone stay in the order of the file."""
    return sorted(lines + added, key=lambda line: -line.at) if added else lines


def milliseconds(line: LogLine) -> int:
    """When it was logged, unix time."""
    return round(line.at * 1000)


def is_written(
    files: Sequence[LogFile],
    index_of: Callable[[LogFile], BlockIndex | None],
    error: LogLine,
) -> bool:
    """Whether the line of *error* is in one of *files*."""
    if error.host:
        return False
    query = LogQuery(
        fingerprint=error.fingerprint or error.group, since=error.at - 0.001, until=error.at + 0.001
    )
    probe = Walk(
        Matcher(query), MAX_PROBED, PROBE_BYTES, index_of, clock=lambda: probe.searched_bytes
    )
    probe.run(files, None)
    return any(line.identity() == error.identity() for line in probe.found)
