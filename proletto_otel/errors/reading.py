"""What pages and programs read of error groups; no reading waits long for the store, none raises.

What could not be read, and why, is `ErrorGroups.problem`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from proletto_otel.errors import tables
from proletto_otel.state.store import Store, StoreUnavailable

# Queries, rows and texts are imported by who reads: they are a tenth of a program's start.
if TYPE_CHECKING:
    from proletto_otel.errors.group_list import ErrorTotals
    from proletto_otel.errors.group_rows import ErrorGroup
    from proletto_otel.errors.occurrences import Occurrence
    from proletto_otel.logs.search.query import Matcher
    from proletto_otel.logs.search.stored_errors import FoundErrors

MAX_ROWS = 200
DAY_S = 86_400.0
WAIT_S = 0.15
"""How long a page waits for the store."""
MAX_SPAN_S = tables.HOURS_S

T = TypeVar("T")


class ErrorReading:
    """The reading half of `ErrorGroups`."""

    _store: Store
    _now: Callable[[], float]
    lost: int
    version: str
    problem = ""
    """Why the last reading has nothing, or less than there is; empty when all is well."""

    def groups(
        self,
        *,
        status: str | None = None,
        search: str = "",
        since: float = 0.0,
        limit: int = 50,
        offset: int = 0,
        state: str | None = None,
        query: str = "",
        sort: str = "last",
        first_version: str | None = None,
        trend_s: float = DAY_S,
    ) -> list[ErrorGroup]:
        """Groups, the latest first unless *sort* says otherwise.

        Args:
            status: As *state*, its older name.
            search: As *query*, its older name.
            since: Only groups seen after this unix time.
            limit: At most 200.
            offset: Groups to leave out first.
            state: Only `open` (regressed ones too), `regressed`, `resolved` or `ignored` ones.
            query: Only groups with this text in type, message, location, component or fingerprint.
            sort: `last`, `first`, `count`, `users`, or `recent` (most within *trend_s*).
            first_version: Only groups first seen in this version of the application.
            trend_s: Seconds that the 24 bars of the trend cover, at most 90 days.

        Raises:
            ConfigError: for an unknown state or order.
        """
        from proletto_otel.errors import group_list

        wanted = group_list.Wanted(
            state=state or status, query=query or search, since=since, first_version=first_version
        )
        rows, skipped = min(max(limit, 1), MAX_ROWS), max(offset, 0)
        return self._read(
            lambda: group_list.read(
                self._store, wanted, sort, rows, skipped, _span(trend_s), self._now()
            ),
            [],
        )

    def count_groups(
        self,
        *,
        state: str | None = None,
        query: str = "",
        since: float = 0.0,
        first_version: str | None = None,
    ) -> dict[str, int]:
        """How many groups `groups` would find in all, by state."""
        from proletto_otel.errors import group_list

        wanted = group_list.Wanted(
            state=state, query=query, since=since, first_version=first_version
        )
        return self._read(lambda: group_list.count(self._store, wanted), {})

    def count_new(self, since: float) -> int:
        """How many groups that nobody ignores were first seen since a unix time."""
        from proletto_otel.errors import group_list

        return self._read(lambda: group_list.count_new(self._store, since), 0)

    def latest(self, limit: int = 50) -> list[dict[str, Any]]:
        """The latest groups that nobody ignores, as plain data."""
        from proletto_otel.errors.group_rows import IGNORED

        shown = [g for g in self.groups(limit=min(limit * 2, MAX_ROWS)) if g.status != IGNORED]
        return [group.summary() for group in shown[:limit]]

    def group(self, fingerprint: str, trend_s: float = DAY_S) -> ErrorGroup | None:
        """One group with its latest sample and its history; None when there is none."""
        return self._read(lambda: self._group(fingerprint, _span(trend_s)), None)

    def get(self, fingerprint: str) -> ErrorGroup | None:
        """As `group`, over the last 24 hours."""
        return self.group(fingerprint)

    def _group(self, fingerprint: str, span_s: float) -> ErrorGroup | None:
        from dataclasses import replace

        from proletto_otel.errors import group_list, occurrences
        from proletto_otel.errors.group_rows import MAX_CHANGES, NO_SAMPLE, Change

        found = group_list.one(self._store, fingerprint, span_s, self._now())
        if found is None:
            return None
        group, sample = found
        changes = self._store.select(
            "SELECT at, by, status FROM error_group_changes WHERE fingerprint = ?"
            f" ORDER BY at DESC, rowid DESC LIMIT {MAX_CHANGES}",
            (fingerprint,),
        )
        latest = occurrences.of_group(self._store, fingerprint, None, 1)
        record = latest[0].record if latest else None
        if record is None and sample != NO_SAMPLE:
            with suppress(ValueError):
                record = json.loads(sample)
        return replace(group, sample=record, changes=tuple(Change(**dict(c)) for c in changes))

    # --- occurrences ---------------------------------------------------------------------------
    def occurrences(
        self, fingerprint: str, before: int | None = None, limit: int = 50
    ) -> list[Occurrence]:
        """Occurrences of a group that can be read, newest first.

        Args:
            fingerprint: Of the group.
            before: The ID of an occurrence; only older ones.
            limit: At most 200.
        """
        from proletto_otel.errors import occurrences

        rows = min(max(limit, 1), MAX_ROWS)
        none: list[Occurrence] = []
        found = self._read(
            lambda: occurrences.of_group(self._store, fingerprint, before, rows), none
        )
        return found or (self._of_older_release(fingerprint) if before is None else [])

    def _of_older_release(self, fingerprint: str) -> list[Occurrence]:
        """The one sample that the first release stored of a group that did not come again."""
        from proletto_otel.errors.occurrences import Occurrence

        group = self.group(fingerprint)
        if group is None or group.sample is None:
            return []
        return [Occurrence(id=0, group=fingerprint, at=group.last_seen, record=group.sample)]

    def first_occurrence(self, fingerprint: str) -> Occurrence | None:
        """The first occurrence of a group that was stored."""
        from proletto_otel.errors import occurrences

        return self._read(lambda: occurrences.first(self._store, fingerprint), None)

    def occurrence(self, identifier: int) -> Occurrence | None:
        """One occurrence by its ID; None when it is not stored any more."""
        from proletto_otel.errors import occurrences

        return self._read(lambda: occurrences.by_id(self._store, identifier), None)

    def occurrences_of_request(self, identifier: str, limit: int = 20) -> list[Occurrence]:
        """The errors of one request, by its request ID or trace ID, oldest first."""
        from proletto_otel.errors import occurrences

        rows = min(max(limit, 1), MAX_ROWS)
        return self._read(lambda: occurrences.of_request(self._store, identifier, rows), [])

    def search(
        self, matcher: Matcher, low: int, high: int, limit: int, is_over: Callable[[], bool]
    ) -> FoundErrors:
        """Occurrences that a search of the log wants: see `logs.search.stored_errors`."""
        from proletto_otel.errors.occurrence_search import OccurrenceSearch

        def select(sql: str, values: Mapping[str, Any]) -> list[Any] | None:
            return self._read(lambda: self._store.select(sql, values), None)

        return OccurrenceSearch(select, matcher, is_over).run(low, high, limit)

    def known(self, fingerprints: Iterable[str]) -> set[str]:
        """Which of these have a group on this host."""
        wanted = list(fingerprints)
        marks = ",".join("?" * len(wanted))
        sql = f"SELECT fingerprint FROM error_groups WHERE fingerprint IN ({marks})"
        none: list[Any] = []
        return {row[0] for row in self._read(lambda: self._store.select(sql, wanted), none)}

    def as_markdown(self, occurrence: Occurrence) -> str:
        """Everything about an occurrence and its group as Markdown."""
        from proletto_otel.errors.markdown import as_markdown

        return as_markdown(occurrence, self.group(occurrence.group))

    # --- figures -------------------------------------------------------------------------------
    def per_minute(self, seconds: float = 3600.0) -> list[tuple[float, int]]:
        """Errors of all groups by minute over the last *seconds*, at most six hours.

        Returns:
            (unix time of the minute's start, count) of each minute that has any, oldest first.
        """
        from proletto_otel.errors import group_list

        since = self._now() - min(max(seconds, 60.0), tables.MINUTES_S)
        return self._read(lambda: group_list.per_minute(self._store, since), [])

    def totals(self) -> ErrorTotals:
        """Figures of all groups, what is stored and what the limits are."""
        from proletto_otel.errors.group_list import ErrorTotals
        from proletto_otel.errors.group_rows import MAX_GROUPS

        groups = self.count_groups()
        none: list[Any] = []
        rows = self._read(
            lambda: self._store.select(
                "SELECT (SELECT min(first_seen) FROM error_groups) AS since,"
                " coalesce(sum(stored), 0) AS stored, coalesce(sum(stored_bytes), 0) AS bytes"
                " FROM error_group_details"
            ),
            none,
        )
        return ErrorTotals(
            groups=groups,
            since=rows[0]["since"] if rows else None,
            stored=rows[0]["stored"] if rows else 0,
            stored_bytes=rows[0]["bytes"] if rows else 0,
            max_bytes=tables.MAX_STORED_BYTES,
            max_groups=MAX_GROUPS,
            lost=self.lost,
            problem=self.problem,
        )

    def write_within(self, wait_s: float) -> None:
        """Add what was counted to the store, unless that has to wait."""
        raise NotImplementedError

    def _read(self, read: Callable[[], T], nothing: T) -> T:
        """What *read* finds; *nothing* when the store cannot be read, and why in `problem`."""
        self.write_within(WAIT_S)
        try:
            with self._store.hurried(WAIT_S):
                found = read()
        except StoreUnavailable as error:
            self.problem = f"the state store cannot be read now: {error}"
            return nothing
        self.problem = "" if self._store.shared or not self._store.last_error else (
            f"the state store cannot be used ({self._store.last_error}):"
            " errors of this process since then"
        )  # fmt: skip
        return found


def _span(seconds: float) -> float:
    return min(max(seconds, 60.0), MAX_SPAN_S)
