"""Reads the past of the requests: points of charts, heat maps, one row for each endpoint.

Who writes it, and into which tables, lives in `request.request_history`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from proletto_otel.request import durations, failed_durations, request_days, status_codes
from proletto_otel.request.request_history import ALL, DAY_S, DDL, TIERS
from proletto_otel.request.request_points import (
    HEAT_EDGES_S,
    EndpointPoint,
    EndpointRows,
    LatencyHeatmap,
    RequestPoint,
    heat,
    point,
)
from proletto_otel.request.request_totals import RequestSum
from proletto_otel.state.store import Store

if TYPE_CHECKING:
    from proletto_otel.request.readings import StatusCount

MAX_POINTS = 2000
HALF_S = 30
"""Half a minute: whether the minute in which a time begins counts, its larger half decides."""
Columns = list[tuple[int, RequestSum]]
"""Where each column of a chart begins, unix seconds, and its requests."""

# One look-up of the primary key for each bucket: a scan would read all routes of the time.
_TIMES = (
    "WITH RECURSIVE times(at) AS (SELECT :first UNION ALL SELECT at + :tier FROM times"
    " WHERE at + :tier < :end) "
)
_JOINED = " FROM times JOIN request_points p ON p.tier = :tier AND p.at = times.at AND p.route = "
_OF_ROUTE = f"{_TIMES} SELECT p.* {_JOINED} :route"
_WATCHED = (
    f"{_TIMES} SELECT count(*) AS n, min(p.at) AS oldest, max(p.at) AS newest {_JOINED} {ALL}"
)
_OF_ROUTES = (
    "SELECT p.*, r.method, r.route AS template FROM request_points p JOIN request_routes r"
    " ON r.id = p.route WHERE p.tier = :tier AND p.at >= :first AND p.at < :end"
    " AND (:method IS NULL OR r.method = :method) AND (:route IS NULL OR r.route = :route)"
)

_IN_TIME = "FROM request_points WHERE tier = :tier AND at >= :first AND at < :end AND route > 0"
_COUNTS = (
    "SELECT tier, at / :step * :step AS begin, route, sum(other), sum(c1), sum(c2), sum(c3),"
    f" sum(c4), sum(c5), sum(errors), sum(timed), sum(seconds) {_IN_TIME} GROUP BY route, begin"
)
_OLDEST = "SELECT " + ", ".join(
    f"(SELECT min(at) FROM request_points WHERE tier = {tier})" for tier, _ in TIERS
)
_DURATIONS = f"SELECT route, durations {_IN_TIME}"


class RequestSeries:
    """Reads what `RequestHistory` wrote; empty where the store cannot be used.

    Args:
        store: The host's store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        store.define(*DDL)

    def points(
        self, start: float, end: float, route: str | None = None, method: str | None = None,
        points: int = 120, *, without_failed: bool = False,
    ) -> tuple[RequestPoint, ...]:  # fmt: skip
        """The points of a chart from *start* to *end*, unix seconds.

        Args:
            start: Unix seconds.
            end: Unix seconds.
            route: Only this template's; empty: requests that no route matched; None: all of the
                application's, without probes and admin pages.
            method: Only this method's.
            points: How many at most.
            without_failed: Take the durations of those alone that did not fail; counts are of all.
        """
        asked = (route, method, points, without_failed)
        step, columns = self.columns(start, end, *asked)
        return tuple(point(at, step, total) for at, total in columns)

    def total(
        self, start: float, end: float, route: str | None = None, method: str | None = None,
        *, without_failed: bool = False,
    ) -> RequestPoint:  # fmt: skip
        """All requests from *start* to *end* in one; arguments as for `points`."""
        asked = (route, method, MAX_POINTS, without_failed)
        return added(start, end, *self.columns(start + HALF_S, end, *asked))

    def statuses(
        self, start: float, end: float, route: str | None = None, method: str | None = None
    ) -> tuple[StatusCount, ...]:
        """Requests by exact status, where it is stored; arguments as for `points`."""
        tier, _, first = _fit(start + HALF_S, end, MAX_POINTS, self._oldest())
        asked = {"tier": tier, "first": first, "end": end, "method": method, "route": route}
        is_all = route is None and method is None
        numbers = [ALL] if is_all else self._numbers(asked)
        return status_codes.read(self._store, asked, numbers)

    def heatmap(
        self, start: float, end: float, route: str | None = None, method: str | None = None,
        columns: int = 60, *, without_failed: bool = False,
    ) -> LatencyHeatmap:  # fmt: skip
        """How many requests took how long; arguments as for `points`."""
        asked = (route, method, columns, without_failed)
        step, found = self.columns(start, end, *asked)
        return LatencyHeatmap(
            times=tuple(float(at) for at, _ in found),
            seconds=float(step),
            edges=HEAT_EDGES_S,
            counts=tuple(heat(total) for _, total in found),
        )

    def endpoints(
        self, start: float, end: float, points: int = 30, *, without_failed: bool = False
    ) -> tuple[EndpointPoint, ...]:
        """Every endpoint that was asked between *start* and *end*, the busiest first."""
        oldest = self._oldest()
        tier, step, first = _fit(start, end, points, oldest)
        found: dict[int, EndpointRows] = {}
        parts = request_days.pieces(self._store, tier, first, end)
        # a column of the curves may be finer than a piece
        curves = parts if step % DAY_S == 0 else [(tier, first, end)]
        for row in self._read(_COUNTS, curves, step):
            if row["route"] not in found:
                found[row["route"]] = EndpointRows()
            found[row["route"]].take(row)
        # Apart from the counts, which SQLite adds up: these are most of the bytes.
        for number, packed in self._read(_DURATIONS, parts, step):
            if number in found:
                durations.add_packed(found[number].total.fine, packed)
        if without_failed:
            for number, counts in _added(self._failures(parts)).items():
                if number in found:
                    found[number].total.leave_out(counts)
        watched_s = self._watched_s(parts, end, oldest)
        names = self._store.query("SELECT id, method, route FROM request_routes")
        made = [
            found[number].report((method, route), first, watched_s, step)
            for number, method, route in names
            if number in found
        ]
        return tuple(sorted(made, key=lambda e: -e.total.count))

    def _watched_s(
        self, parts: Iterable[request_days.Piece], end: float, oldest: Mapping[int, float]
    ) -> float:
        """How much of a time somebody watched: so long, requests were counted."""
        seconds = 0.0
        for tier, first, until in parts:
            for row in self._store.query(_WATCHED, {"tier": tier, "first": first, "end": until}):
                if row["n"]:
                    seconds += row["n"] * tier - max(0.0, row["newest"] + tier - end)
                    seconds -= _before_the_first(tier, row["oldest"], oldest)
        return seconds

    def _read(
        self, sql: str, parts: Iterable[request_days.Piece], step: int
    ) -> Iterator[sqlite3.Row]:
        for tier, first, end in parts:
            yield from self._store.query(
                sql, {"tier": tier, "first": first, "end": end, "step": step}
            )

    def _failures(self, parts: Iterable[request_days.Piece]) -> Iterator[tuple[int, bytes]]:
        for tier, first, end in parts:
            # of days there is no sum: few rows have a failure
            fine = min(tier, request_days.EIGHTH_S)
            for row in failed_durations.of_endpoints(self._store, fine, first, end):
                yield row["route"], row["durations"]

    def recorded(self) -> int:
        """Differs when more was recorded; an idle service records once a minute."""
        rows = self._store.query("SELECT generation FROM request_clock")
        return int(rows[0][0]) if rows else 0

    def columns(
        self, start: float, end: float, route: str | None = None, method: str | None = None,
        points: int = MAX_POINTS, without_failed: bool = False,
    ) -> tuple[int, Columns]:  # fmt: skip
        """Seconds of a column, and the columns; arguments as for `points`."""
        tier, step, first = _fit(start, end, points, self._oldest())
        asked = {"tier": tier, "first": first, "end": end, "method": method, "route": route}
        watched = self._store.query(_OF_ROUTE, asked | {"route": ALL})
        found = {row["at"] // step * step: RequestSum() for row in watched}
        rows: Iterable[sqlite3.Row] = watched
        if route is not None or method is not None:
            rows = self._rows_of(asked)
        for row in rows:
            column = row["at"] // step * step
            if column not in found:
                found[column] = RequestSum()
            found[column].take(row)
        if without_failed:
            failures = failed_durations.of_columns(self._store, asked, ALL)
            gone = _added((row["at"] // step * step, row["durations"]) for row in failures)
            for column, counts in gone.items():
                if column in found:
                    found[column].leave_out(counts)
        return step, sorted(found.items())

    def _rows_of(self, asked: Mapping[str, object]) -> list[sqlite3.Row]:
        numbers = self._numbers(asked)
        if len(numbers) > 3:  # all templates of a method: one scan costs less
            return self._store.query(_OF_ROUTES, asked)
        found = (self._store.query(_OF_ROUTE, {**asked, "route": number}) for number in numbers)
        return [row for rows in found for row in rows]

    def _numbers(self, asked: Mapping[str, object]) -> list[int]:
        rows = self._store.query(
            "SELECT id FROM request_routes WHERE (:method IS NULL OR method = :method)"
            " AND (:route IS NULL OR route = :route)",
            {"method": asked["method"], "route": asked["route"]},
        )
        return [int(row["id"]) for row in rows]

    def _oldest(self) -> dict[int, float]:
        """Where each tier begins."""
        rows = self._store.query(_OLDEST)
        firsts = zip(TIERS, rows[0] if rows else [None] * len(TIERS), strict=True)
        return {tier: float(first) for (tier, _), first in firsts if first is not None}


def _fit(
    start: float, end: float, points: int, oldest: Mapping[int, float]
) -> tuple[int, int, int]:
    """The tier to read, seconds of a column, and where the first one begins."""
    wanted_s = max(end - start, 1.0) / min(max(points, 1), MAX_POINTS)
    tiers = [tier for tier, _ in TIERS]
    # the coarsest with buckets that are fine enough: the fewest rows to read
    fits = max((tier for tier in tiers if tier <= wanted_s), default=tiers[0])
    tier = next((t for t in tiers if t >= fits and _reaches(t, start, oldest)), fits)
    step = tier * max(1, -int(-wanted_s // tier))
    return tier, step, int(start // step * step)


def _reaches(tier: int, start: float, oldest: Mapping[int, float]) -> bool:
    # A coarser bucket begins before its first request: that much is no missing past.
    coarser = [max(start, first + t) for t, first in oldest.items() if t > tier]
    return tier in oldest and all(oldest[tier] <= begin for begin in coarser)


def _before_the_first(tier: int, bucket: float, oldest: Mapping[int, float]) -> float:
    """Seconds of the first of all buckets in which the service did not run yet."""
    first = oldest.get(min(tier, request_days.EIGHTH_S), -1.0)
    if not bucket <= first < bucket + tier:
        return 0.0
    # the finer tiers forget sooner: then they begin in another bucket
    return max(at for at in (bucket, *oldest.values()) if bucket <= at < bucket + tier) - bucket


def added(start: float, end: float, step: int, columns: Columns) -> RequestPoint:
    """Everything from *start* to *end* in one, out of *columns* that are *step* seconds long."""
    everything, watched_s = RequestSum(), 0.0
    for at, total in columns:
        everything.add(total)
        watched_s += max(0.0, min(at + step, end) - max(at, start))
    return point(start, watched_s, everything)


def _added(rows: Iterable[tuple[int, bytes]]) -> dict[int, durations.Counts]:
    """Packed durations added up by the number beside them."""
    # a month of a hundred endpoints that all fail is 24,000 rows
    found: dict[int, durations.Counts] = {}
    for number, packed in rows:
        if number not in found:
            found[number] = durations.empty()
        durations.add_packed(found[number], packed)
    return found
