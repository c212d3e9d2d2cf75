"""Reads the past of the requests: points of charts, heat maps, one row for each endpoint.

Who writes it, and into which tables, lives in `request.request_history`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from proletto_otel.request import durations, request_days
from proletto_otel.request.request_history import ALL, DAY_S, DDL, TIERS
from proletto_otel.request.request_totals import CLASSES, RequestSum, RequestTotals
from proletto_otel.state.store import Store

MAX_POINTS = 2000
HEAT_EDGES_S = tuple(0.002 * 2**i for i in range(14))
"""Between the rows of a heat map: below 2 ms, a row for each doubling, above 16 s; 15 rows."""
_HEAT_ROWS = [sum(durations.middle_s(i) >= edge for edge in HEAT_EDGES_S) for i in
              range(len(durations.EDGES) + 1)]  # fmt: skip
"""The row of each bucket of `request.durations`."""

# One look-up of the primary key for each bucket: a scan would read all routes of the time.
_OF_ROUTE = (
    "WITH RECURSIVE times(at) AS (SELECT :first UNION ALL SELECT at + :tier FROM times"
    " WHERE at + :tier < :end) SELECT p.* FROM times JOIN request_points p"
    " ON p.tier = :tier AND p.at = times.at AND p.route = :route"
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
_DURATIONS = f"SELECT route, durations {_IN_TIME}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPoint:
    """The requests of one bucket. A bucket that nobody watched has no point."""

    time: float
    """Where the bucket begins, unix seconds."""

    seconds: float
    """How long it is; of the one that is under way, how much is over: a rate is count / seconds."""

    count: int
    errors: int
    """Those that failed: 5xx, or an exception nobody handled."""

    by_status: Mapping[str, int] = field(default_factory=dict)
    """By class of status: `2xx`, and `other` where none was sent; only those that occurred."""

    timed: int
    """Those that the durations below are about: no event streams, no WebSockets."""

    mean: float | None
    """Seconds, as all of the following; None without a timed request."""
    min: float | None
    """As all of the following right within 4 %."""
    max: float | None
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyHeatmap:
    """How many requests took how long, by time."""

    times: tuple[float, ...]
    """Where each column begins, unix seconds; columns of times that nobody watched are missing."""

    seconds: float
    """How long a column is."""

    edges: tuple[float, ...]
    """Seconds between the rows: one less than there are rows."""

    counts: tuple[tuple[int, ...], ...]
    """By column, then by row, the fastest row first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPoint:
    """One endpoint's requests of a time, and how they were spread over it."""

    method: str
    route: str | None
    """Template; None: no route matched."""
    total: RequestPoint
    """Everything together; `time` and `seconds` are those of the time asked for."""
    points: tuple[tuple[float, int, int], ...]
    """Unix seconds, requests, failures: what a small curve shows."""


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
        points: int = 120,
    ) -> tuple[RequestPoint, ...]:  # fmt: skip
        """The points of a chart from *start* to *end*, unix seconds.

        Args:
            start: Unix seconds.
            end: Unix seconds.
            route: Only this template's; empty: requests that no route matched; None: all of the
                application's, without probes and admin pages.
            method: Only this method's.
            points: How many at most.
        """
        step, columns = self._columns(start, end, route, method, points)
        return tuple(_point(at, step, total) for at, total in columns)

    def total(
        self, start: float, end: float, route: str | None = None, method: str | None = None
    ) -> RequestPoint:
        """All requests from *start* to *end* in one; arguments as for `points`."""
        # Only times that are over by half are wanted: the first bucket belongs mostly to before.
        _, columns = self._columns(start + 30, end, route, method, MAX_POINTS)
        everything = RequestTotals()
        for _, total in columns:
            everything.add(total)
        return _point(start, end - start, everything)

    def heatmap(
        self, start: float, end: float, route: str | None = None, method: str | None = None,
        columns: int = 60,
    ) -> LatencyHeatmap:  # fmt: skip
        """How many requests took how long; arguments as for `points`."""
        step, found = self._columns(start, end, route, method, columns)
        return LatencyHeatmap(
            times=tuple(float(at) for at, _ in found),
            seconds=float(step),
            edges=HEAT_EDGES_S,
            counts=tuple(_heat(total) for _, total in found),
        )

    def endpoints(self, start: float, end: float, points: int = 30) -> tuple[EndpointPoint, ...]:
        """Every endpoint that was asked between *start* and *end*, the busiest first."""
        tier, step, first = _fit(start, end, points, self._oldest())
        found: dict[int, _Endpoint] = {}
        parts = request_days.pieces(self._store, tier, first, end)
        # a column of the curves may be finer than a piece
        curves = parts if step % DAY_S == 0 else [(tier, first, end)]
        for row in self._read(_COUNTS, curves, step):
            if row["route"] not in found:
                found[row["route"]] = _Endpoint()
            found[row["route"]].take(row)
        # Apart from the counts, which SQLite adds up: these are most of the bytes.
        for number, packed in self._read(_DURATIONS, parts, step):
            if number in found:
                durations.add_packed(found[number].total.fine, packed)
        names = self._store.query("SELECT id, method, route FROM request_routes")
        made = [
            found[number].report((method, route), first, end)
            for number, method, route in names
            if number in found
        ]
        return tuple(sorted(made, key=lambda e: -e.total.count))

    def _read(
        self, sql: str, parts: Iterable[request_days.Piece], step: int
    ) -> Iterator[sqlite3.Row]:
        for tier, first, end in parts:
            yield from self._store.query(
                sql, {"tier": tier, "first": first, "end": end, "step": step}
            )

    def _columns(
        self, start: float, end: float, route: str | None, method: str | None, points: int
    ) -> tuple[int, list[tuple[int, RequestTotals]]]:
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
        return step, [(at, rows.totals()) for at, rows in sorted(found.items())]

    def _rows_of(self, asked: Mapping[str, object]) -> list[sqlite3.Row]:
        numbers = self._store.query(
            "SELECT id FROM request_routes WHERE (:method IS NULL OR method = :method)"
            " AND (:route IS NULL OR route = :route)",
            {"method": asked["method"], "route": asked["route"]},
        )
        if len(numbers) > 3:  # all templates of a method: one scan costs less
            return self._store.query(_OF_ROUTES, asked)
        found = (self._store.query(_OF_ROUTE, {**asked, "route": row["id"]}) for row in numbers)
        return [row for rows in found for row in rows]

    def _oldest(self) -> dict[int, float]:
        """Where each tier begins."""
        found = {}
        for tier, _ in TIERS:
            sql = "SELECT min(at) AS first FROM request_points WHERE tier = ?"
            rows = self._store.query(sql, (tier,))
            if rows and rows[0]["first"] is not None:
                found[tier] = float(rows[0]["first"])
        return found


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


def _point(at: float, seconds: float, total: RequestTotals) -> RequestPoint:
    over_s = min(seconds, max(time.time() - at, 1.0))
    buckets = [int(i) for i in total.durations]
    quantiles = [durations.quantile_s(total.durations, q) for q in (0.5, 0.95, 0.99)]
    return RequestPoint(
        time=float(at),
        seconds=float(over_s),
        count=total.count,
        errors=total.errors,
        by_status={name: n for name, n in zip(CLASSES, total.classes, strict=True) if n},
        timed=total.timed,
        mean=total.seconds / total.timed if total.timed else None,
        min=durations.middle_s(min(buckets)) if buckets else None,
        max=durations.middle_s(max(buckets)) if buckets else None,
        p50=quantiles[0],
        p95=quantiles[1],
        p99=quantiles[2],
    )


class _Endpoint:
    """The rows of one endpoint."""

    __slots__ = ("points", "total")

    def __init__(self) -> None:
        self.total = RequestSum()
        self.points: list[tuple[float, int, int]] = []

    def take(self, row: sqlite3.Row) -> None:
        """Add the counts of one column."""
        self.total.add_counts(row)
        count, errors = sum(row[3:9]), row[9]
        if self.points and self.points[-1][0] == row[1]:  # a column of two pieces
            _, earlier, failed = self.points.pop()
            count, errors = count + earlier, errors + failed
        self.points.append((float(row[1]), count, errors))

    def report(self, key: tuple[str, str], first: int, end: float) -> EndpointPoint:
        """What a table shows."""
        return EndpointPoint(
            method=key[0],
            route=key[1] or None,
            total=_point(first, end - first, self.total.totals()),
            points=tuple(self.points),
        )


def _heat(total: RequestTotals) -> tuple[int, ...]:
    rows = [0] * (len(HEAT_EDGES_S) + 1)
    for bucket, n in total.durations.items():
        row = _HEAT_ROWS[min(int(bucket), len(_HEAT_ROWS) - 1)]
        rows[row] += n
    return tuple(rows)
