"""The past of the requests: each route's counts and durations in buckets of three lengths.

The leader stores what the totals of all workers grew by. The totals that it stored last lie beside
the buckets and change in the same transaction, so a request is counted once, whoever leads, and
however often workers are replaced. Reading lives in `request.request_series`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import replace

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.request import durations
from proletto_otel.request.request_totals import RequestTotals, Route
from proletto_otel.state.store import Store, StoreUnavailable

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
JUST_S = 60.0
"""A series that is not known yet and began so shortly before the last record began since then."""
PRUNE_BATCH = 1000
PRUNE_S = 60.0

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
        self._pruned_at = 0.0
        store.define(*DDL)

    def record(self, totals: Mapping[Route, RequestTotals]) -> None:
        """Store what the *totals* of every route grew by since somebody did so last."""
        at = self._now()
        try:
            with self._store.transaction() as db:
                since = self._load(db)
                grown = self._grown(db, totals, at if since is None else since)
                for tier, _ in TIERS:
                    self._add(db, tier, int(at // tier * tier), grown)
                self._generation += 1
                db.execute(
                    "INSERT OR REPLACE INTO request_clock VALUES (1, ?, ?)", (self._generation, at)
                )
        except StoreUnavailable:
            self._generation = -1  # what was not committed is read again
            return
        except BaseException:
            self._generation = -1
            raise
        if abs(at - self._pruned_at) >= PRUNE_S:
            self._pruned_at = at
            self._prune(at)

    def _load(self, db: sqlite3.Connection) -> float | None:
        """When somebody recorded last (None: nobody ever), with the totals of that time."""
        row = db.execute("SELECT generation, at FROM request_clock").fetchone()
        if row is None:
            self._generation, self._stored = 0, {}
            return None
        # Another generation: another process led meanwhile, or the store was replaced.
        if row["generation"] != self._generation:
            self._generation = row["generation"]
            self._stored = {
                (r["method"], r["route"]): (r["id"], row_totals(r, r["start_ns"]))
                for r in db.execute("SELECT * FROM request_routes")
            }
        return float(row["at"])

    def _grown(
        self, db: sqlite3.Connection, totals: Mapping[Route, RequestTotals], since: float
    ) -> dict[int, RequestTotals]:
        """What came to each route since the last record, by number; and to all of them."""
        found: dict[int, RequestTotals] = {}
        everything = RequestTotals()
        for route, now in totals.items():
            number, before = self._stored.get(route, (None, None))
            if before is not None and now == before:
                continue
            more, kept = _step(now, before, since)
            if number is None and len(self._stored) >= MAX_ROUTES:
                log_rate_limited("request.history", "more than %d routes: no history", MAX_ROUTES)
                continue
            number = _remember(db, route, kept, number)
            self._stored[route] = (number, kept)
            if more is not None:
                found[number] = more
                if route[1] not in self._excluded:
                    everything.add(more)
        return {**found, ALL: everything}

    def _add(
        self, db: sqlite3.Connection, tier: int, at: int, grown: Mapping[int, RequestTotals]
    ) -> None:
        there = {
            r["route"]: r
            for r in db.execute(
                f"SELECT route, {_COLUMNS} FROM request_points WHERE tier = ? AND at = ?",
                (tier, at),
            )
        }
        made: dict[int, RequestTotals] = {}
        for route, more in grown.items():
            fits = route in there or route == ALL or len(there.keys() | made) < MAX_PER_BUCKET
            row = route if fits else OTHERS
            if row not in made:
                made[row] = row_totals(there[row]) if row in there else RequestTotals()
            made[row].add(more)
        db.executemany(_PUT, [(tier, at, row, *_values(total)) for row, total in made.items()])

    def _prune(self, at: float) -> None:
        # In batches: after a long stop they would hold the write lock for too long.
        self._store.write(
            "DELETE FROM request_points WHERE (tier, at, route) IN (SELECT tier, at, route"
            " FROM request_points WHERE tier = ? AND at < ? LIMIT ?)",
            [(tier, at - stored_s, PRUNE_BATCH) for tier, stored_s in TIERS],
        )


def _step(
    now: RequestTotals, before: RequestTotals | None, since: float
) -> tuple[RequestTotals | None, RequestTotals]:
    """What was added to a route, and the totals to remember."""
    if before is None:
        # Nobody stored this route's totals. Did it begin since the last record, or is it from a
        # time when an earlier release led, which stored none?
        return (now if now.start_ns / 1e9 >= since - JUST_S else None), now
    more = now.since(before)
    if more is None:
        # Less than before: somebody removed the workers' files and all began anew, or these totals
        # were read before another leader's, and the same requests are not to be counted again.
        anew = now.start_ns > before.start_ns
        return (now, now) if anew else (None, before)
    # Fine durations come from other files than counts, and may be a little older.
    is_older = durations.grown(now.durations, before.durations) is None
    return more, replace(now, durations=before.durations) if is_older else now


def _remember(
    db: sqlite3.Connection, route: Route, totals: RequestTotals, number: int | None
) -> int:
    db.execute(_ROUTE, (*route, totals.start_ns, *_values(totals)))
    if number is not None:
        return number
    found = db.execute("SELECT id FROM request_routes WHERE method = ? AND route = ?", route)
    return int(found.fetchone()[0])


def _values(totals: RequestTotals) -> tuple[object, ...]:
    packed = durations.packed(totals.durations)
    return (*totals.classes, totals.errors, totals.timed, totals.seconds, packed)


def row_totals(row: sqlite3.Row, start_ns: int = 0) -> RequestTotals:
    """What a row of either table says."""
    return RequestTotals(
        classes=[row["other"], row["c1"], row["c2"], row["c3"], row["c4"], row["c5"]],
        errors=row["errors"],
        timed=row["timed"],
        seconds=row["seconds"],
        durations=durations.unpacked(row["durations"]),
        start_ns=start_ns,
    )
