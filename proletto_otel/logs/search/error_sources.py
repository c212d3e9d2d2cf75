"""Several places that store errors, as one: the host's store, and the table of the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from proletto_otel.logs.search.query import Matcher
from proletto_otel.logs.search.results import LogLine
from proletto_otel.logs.search.stored_errors import ErrorSource, FoundErrors, milliseconds


class Groups(ErrorSource, Protocol):
    """The host's error groups with their occurrences."""

    def known(self, fingerprints: Iterable[str]) -> set[str]:
        """Which of these have a group on this host."""
        ...


class ErrorSources:
    """Asks one after the other; an error that two of them have is the first one's.

    Args:
        groups: The host's store.
        others: Make the other sources, when they are first asked; more may be added meanwhile.
    """

    def __init__(self, groups: Groups, others: Sequence[Callable[[], ErrorSource]] = ()) -> None:
        self._groups, self._others = groups, others
        self._made: list[ErrorSource] = []

    def _sources(self) -> list[ErrorSource]:
        while len(self._made) < len(self._others):
            self._made.append(self._others[len(self._made)]())
        return [self._groups, *self._made]

    def search(
        self, matcher: Matcher, low: int, high: int, limit: int, is_over: Callable[[], bool]
    ) -> FoundErrors:
        """As `ErrorSource` says."""
        found = [s.search(matcher, low, high, limit, is_over) for s in self._sources()]
        if len(found) == 1:
            return found[0]
        # only down to where all of them were searched
        reached = max((f.reached for f in found if f.reached is not None), default=None)
        lines: list[LogLine] = []
        for each in found:
            whole = [x for x in each.lines if reached is None or milliseconds(x) >= reached]
            before = Counter(line.identity() for line in lines)
            lines += [line for line in whole if not _take(before, line)]
        lines.sort(key=lambda line: -line.at)
        return FoundErrors(
            lines=self._with_links(lines),
            reached=reached,
            problem="; ".join(f.problem for f in found if f.problem),
        )

    def _with_links(self, lines: list[LogLine]) -> list[LogLine]:
        """Without the groups that this host does not have: another one's errors may be others."""
        foreign = {line.group for line in lines if not line.occurrence}
        known = self._groups.known(foreign) if foreign else set()
        return [
            line if line.occurrence or line.group in known else replace(line, group="")
            for line in lines
        ]


def _take(known: Counter[tuple[object, ...]], line: LogLine) -> bool:
    """Whether the line is one of *known*, each of which counts once."""
    key = line.identity()
    known[key] -= 1
    return known[key] >= 0
