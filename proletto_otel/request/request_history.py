"""The past of the requests: each route's counts and durations in buckets of three lengths.

The leader stores what the totals of all workers grew by. The totals that it stored last lie beside
the buckets and change in the same transaction, so a request is counted once, whoever leads, and
however often workers are replaced. Reading lives in `request.request_series`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.request import durations, failed_durations, gaps, status_codes
from proletto_otel.request.request_totals import RequestTotals, Route
from proletto_otel.state.store import Store, StoreUnavailable

if TYPE_CHECKING:
    from proletto_otel.request.route_stats import RouteSection

DDL = (
    # A route's number, and its totals as they were stored last.
    "CREATE TABLE IF NOT EXISTS request_routes (id INTEGER PRIMARY KEY, method TEXT NOT NULL,"
    " route TEXT NOT NULL, other INTEGER NOT NULL, c1 INTEGER NOT NULL, c2 INTEGER NOT NULL,"
    " c3 INTEGER NOT NULL, c4 INTEGER NOT NULL, c5 INTEGER NOT NULL, errors INTEGER NOT NULL,"
    " timed INTEGER NOT NULL, seconds REAL NOT NULL, durations BLOB NOT NULL,"
    " start_ns INTEGER NOT NULL, UNIQUE (method, route))",
    "CREATE TABLE IF NOT EXISTS request_clock (id INTEGER PRIMARY KEY CHECK (id = 1),"
    " generation INTEGER NOT NULL, at REAL NOT NULL)",
    # By time first: a bucket's rows lie together, and the oldest ones are found without an index.
    "CREATE TABLE IF NOT EXISTS request_points (tier INTEGER NOT NULL, at INTEGER NOT NULL,"
    " route INTEGER NOT NULL, other INTEGER NOT NULL, c1 INTEGER NOT NULL, c2 INTEGER NOT NULL,"
    " c3 INTEGER NOT NULL, c4 INTEGER NOT NULL, c5 INTEGER NOT NULL, errors INTEGER NOT NULL,"
    " timed INTEGER NOT NULL, seconds REAL NOT NULL, durations BLOB NOT NULL,"
    " PRIMARY KEY (tier, at, route)) WITHOUT ROWID",
    *failed_durations.DDL,
    *status_codes.DDL,
)
DAY_S = 86_400
TIERS = ((60, 6 * 3600), (900, 7 * DAY_S), (10_800, 90 * DAY_S))
"""Seconds of one bucket, and how long such buckets are stored: 360 + 672 + 720 of them."""
MAX_PER_BUCKET = 200
"""Routes with a row of their own in one bucket; further ones share a row. With 352,000 rows of
about 100 bytes the table ends at 35 MB."""
MAX_ROUTES = 2000
"""Routes that have numbers of their own, as in `request.route_stats`."""
ALL = 0
"""In place of a route's number: all of the application's requests, without probes and admin pages.
Written each minute even without any request, so that a time without a row is one that nobody
watched."""
OTHERS = -1
"""In place of a route's number: what had no row of its own."""
GAP_S = 90.0
"""After so long without a record the requests are put where they belong, not where it ends."""
FALLEN_S = 30.0
"""How long totals must be lower than before until they are taken for a new beginning."""
JUST_S = 60.0
"""A series that is not known yet and began so shortly before the last record began since then."""
PRUNE_BATCH = 1000
Low = dict[Route, tuple[float, RequestTotals]]
"""Routes whose totals are lower than before: since when, and those that were read then."""

_COLUMNS = "other, c1, c2, c3, c4, c5, errors, timed, seconds, durations"
_PUT = f"INSERT OR REPLACE INTO request_points (tier, at, route, {_COLUMNS}) VALUES ({'?,' * 12}?)"
_ROUTE = (
    f"INSERT INTO request_routes (method, route, start_ns, {_COLUMNS}) VALUES ({'?,' * 12}?)"
    " ON CONFLICT (method, route) DO UPDATE SET start_ns = excluded.start_ns, "
    + ", ".join(f"{c} = excluded.{c}" for c in _COLUMNS.split(", "))
)


class RequestHistory:
    """Stores the requests of all workers; called by the leader alone.

    Args:
        store: The host's store.
        excluded: Templates that are no part of `ALL`.
        now: Unix seconds.
    """

    def __init__(
        self, store: Store, excluded: Container[object] = (),
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._store = store
        self._excluded = excluded
        self._now = now
        self._generation = -1
        self._stored: dict[Route, tuple[int, RequestTotals]] = {}
        self._fallen: Low = {}
        self._behind: Low = {}
        store.define(*DDL)

    def record(
        self, totals: Mapping[Route, RequestTotals], sections: Iterable[RouteSection] = ()
    ) -> None:
        """Store what the *totals* of every route grew by since somebody did so last.

        Args:
            totals: Every route's, over all workers.
            sections: The routes' statistics; after a time without a leader their counts per minute
                say when the requests were.
        """
        at = self._now()
        try:
            with self._store.transaction() as db:
                self._record(db, totals, sections, at)
        except StoreUnavailable:
            self._generation = -1  # what was not committed is read again
        except BaseException:
            self._generation = -1
            raise

    def _record(
        self, db: sqlite3.Connection, totals: Mapping[Route, RequestTotals],
        sections: Iterable[RouteSection], at: float,
    ) -> None:  # fmt: skip
        known_at = self._load(db)
        since = at if known_at is None else known_at
        grown = self._grown(db, totals, since, at)
        if grown is None and at // 60 == since // 60 and known_at is not None:
            return  # an idle service writes once a minute
        grown = grown or {}
        parts = {at: grown}
        if at - since > GAP_S:
            parts = gaps.spread(grown, self._missing(db, sections, since, at), at)
        for minute, routes in parts.items():
            everything = RequestTotals()
            for route, more in routes.items():
                if route[1] not in self._excluded:
                    everything.add(more)
            numbered = {self._stored[route][0]: more for route, more in routes.items()}
            for tier, _ in TIERS:
                self._add(db, tier, int(minute // tier * tier), {**numbered, ALL: everything})
        self._generation += 1
        db.execute("INSERT OR REPLACE INTO request_clock VALUES (1, ?, ?)", (self._generation, at))

    def _load(self, db: sqlite3.Connection) -> float | None:
        """When somebody recorded last (None: nobody ever), with the totals of that time."""
        row = db.execute("SELECT generation, at FROM request_clock").fetchone()
        if row is None:
            self._generation, self._stored = 0, {}
            return None
        # Another generation: another process led meanwhile, or the store was replaced.
        if row["generation"] != self._generation:
            self._generation = row["generation"]
            self._fallen, self._behind = {}, {}
            failed, codes = failed_durations.totals(db), status_codes.totals(db)
            self._stored = {
                (r["method"], r["route"]): (
                    r["id"],
                    row_totals(r, r["start_ns"], failed.get(r["id"]), codes.get(r["id"])),
                )
                for r in db.execute("SELECT * FROM request_routes")
            }
        return float(row["at"])

    def _grown(
        self, db: sqlite3.Connection, totals: Mapping[Route, RequestTotals], since: float,
        at: float,
    ) -> dict[Route, RequestTotals] | None:  # fmt: skip
        """What came to each route since the last record; None where no totals changed."""
        found: dict[Route, RequestTotals] = {}
        changed = False
        for route, now in totals.items():
            number, before = self._stored.get(route, (None, None))
            if before is not None and now == before:
                for low in (self._fallen, self._behind):
                    low.pop(route, None)
                continue
            if number is None and len(self._stored) >= MAX_ROUTES:
                log_rate_limited("request.history", "more than %d routes: no history", MAX_ROUTES)
                continue
            if before is None:
                # Nobody stored this route's totals. Did it begin since the last record, or is it
                # from a time when an earlier release led, which stored none?
                began = now.start_ns / 1e9 >= since - JUST_S
                more, after = (now if began else None), now
            else:
                more, after = self._step(route, now, before, at)
            if after is not before:
                self._stored[route] = (_remember(db, route, after, number), after)
                changed = True
            if more is not None:
                found[route] = more
        return found if changed else None

    def _step(
        self, route: Route, now: RequestTotals, before: RequestTotals, at: float
    ) -> tuple[RequestTotals | None, RequestTotals]:
        """What was added to a route, and the totals to remember."""
        more = now.since(before)
        if more is None:
            # Read before another leader's totals, or without a worker's file just now: what is
            # there is not counted again. Or files were removed: it goes on from what is left.
            left = self._stays(self._fallen, route, now, at)
            return (now.since(left), now) if left else (None, before)
        self._fallen.pop(route, None)
        if durations.grown(now.durations, before.durations) is not None:
            self._behind.pop(route, None)
            return more, now
        # Fine durations come from other files than counts: a little older, or for ever without the
        # last half second of a worker that was killed. The counts are exact meanwhile.
        if (left := self._stays(self._behind, route, now, at)) is None:
            return more, replace(now, durations=before.durations, failed=before.failed)
        more.durations = durations.grown(now.durations, left.durations) or {}
        failed = durations.grown(now.failed, left.failed) or {}
        more.failed = durations.at_most(failed, more.durations)
        return more, now

    def _stays(self, low: Low, route: Route, now: RequestTotals, at: float) -> RequestTotals | None:
        """The first of the totals that are too low, once they have been so for `FALLEN_S`."""
        first_at, left = low.setdefault(route, (at, now))
        if at - first_at < FALLEN_S:
            return None
        del low[route]
        return left

    def _missing(
        self, db: sqlite3.Connection, sections: Iterable[RouteSection], since: float, at: float
    ) -> dict[Route, dict[float, float]]:
        """How many requests of each minute since the last record are not stored yet."""
        found: dict[Route, dict[float, float]] = {}
        for section in sections:
            route = (section["method"], section["route"] or "")
            if route in self._stored:
                rows = db.execute(
                    "SELECT * FROM request_points WHERE tier = 60 AND at >= ? AND route = ?",
                    (since // 60 * 60, self._stored[route][0]),
                )
                stored = {row["at"]: row_totals(row).count for row in rows}
                found[route] = {
                    m * 60: max(0.0, n - stored.get(m * 60, 0))
                    for m, n, *_ in section["minutes"]
                    if since // 60 <= m <= at // 60
                }
        return found

    def _add(
        self, db: sqlite3.Connection, tier: int, at: int, grown: Mapping[int, RequestTotals]
    ) -> None:
        rows = db.execute("SELECT * FROM request_points WHERE tier = ? AND at = ?", (tier, at))
        there = {row["route"]: row for row in rows}
        made: dict[int, RequestTotals] = {}
        for route, more in grown.items():
            own = (there.keys() | made) - {ALL, OTHERS}
            fits = route in there or route == ALL or len(own) < MAX_PER_BUCKET
            row = route if fits else OTHERS
            if row not in made:
                made[row] = row_totals(there[row]) if row in there else RequestTotals()
            made[row].add(more)
        db.executemany(_PUT, [(tier, at, row, *_values(total)) for row, total in made.items()])
        failed_durations.add(db, tier, at, {row: total.failed for row, total in made.items()})
        status_codes.add(db, tier, at, {row: total.codes for row, total in made.items()})

    def prune(self, at: float) -> None:
        """Delete what is too old at *at*."""
        # In batches: after a long stop they would hold the write lock for too long.
        self._store.write(
            "DELETE FROM request_points WHERE (tier, at, route) IN (SELECT tier, at, route"
            " FROM request_points WHERE tier = ? AND at < ? LIMIT ?)",
            [(tier, at - stored_s, PRUNE_BATCH) for tier, stored_s in TIERS],
        )
        oldest = {tier: at - stored_s for tier, stored_s in TIERS}
        failed_durations.prune(self._store, oldest, PRUNE_BATCH)
        status_codes.prune(self._store, oldest, PRUNE_BATCH)


def _remember(
    db: sqlite3.Connection, route: Route, totals: RequestTotals, number: int | None
) -> int:
    db.execute(_ROUTE, (*route, totals.start_ns, *_values(totals)))
    if number is None:
        sql = "SELECT id FROM request_routes WHERE method = ? AND route = ?"
        number = int(db.execute(sql, route).fetchone()[0])
    failed_durations.remember(db, number, totals.failed)
    status_codes.remember(db, number, totals.codes)
    return number


def _values(totals: RequestTotals) -> tuple[object, ...]:
    packed = durations.packed(totals.durations)
    return (*totals.classes, totals.errors, totals.timed, totals.seconds, packed)


def row_totals(
    row: sqlite3.Row, start_ns: int = 0, failed: durations.Sparse | None = None,
    codes: status_codes.Codes | None = None,
) -> RequestTotals:  # fmt: skip
    """What a row of either table says."""
    return RequestTotals(
        classes=[row["other"], row["c1"], row["c2"], row["c3"], row["c4"], row["c5"]],
        codes=codes or {},
        errors=row["errors"],
        timed=row["timed"],
        seconds=row["seconds"],
        durations=durations.unpacked(row["durations"]),
        failed=failed or {},
        start_ns=start_ns,
    )
