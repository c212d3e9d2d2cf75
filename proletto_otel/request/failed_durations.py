"""Durations of the requests that failed, stored beside those of all: percentiles without them.

They have tables of their own, with rows only where something failed. A leader of an earlier release
knows nothing of them and goes on with all other tables; what failed while it led stays among the
durations of all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from proletto_otel.request import durations
from proletto_otel.state.store import Store

DDL = (
    "CREATE TABLE IF NOT EXISTS request_failures (tier INTEGER NOT NULL, at INTEGER NOT NULL,"
    " route INTEGER NOT NULL, durations BLOB NOT NULL, PRIMARY KEY (tier, at, route))"
    " WITHOUT ROWID",
    # As they were stored last, by the number of the route.
    "CREATE TABLE IF NOT EXISTS request_failure_totals (route INTEGER PRIMARY KEY,"
    " durations BLOB NOT NULL)",
)
_IN_TIME = (
    "SELECT f.at, f.route, f.durations FROM request_failures f{} WHERE f.tier = :tier"
    " AND f.at >= :first AND f.at < :end AND "
)
_OF_ROW = _IN_TIME.format("") + "f.route = :number"
_OF_ROUTES = (
    _IN_TIME.format(" JOIN request_routes r ON r.id = f.route")
    + "(:method IS NULL OR r.method = :method) AND (:route IS NULL OR r.route = :route)"
)


def totals(db: sqlite3.Connection) -> dict[int, dict[str, int]]:
    """What was stored last, by the number of the route."""
    rows = db.execute("SELECT route, durations FROM request_failure_totals")
    return {number: durations.unpacked(packed) for number, packed in rows}


def remember(db: sqlite3.Connection, number: int, counts: durations.Sparse) -> None:
    """Store the *counts* of a route as those that were stored last."""
    if counts:
        packed = durations.packed(counts)
        db.execute("INSERT OR REPLACE INTO request_failure_totals VALUES (?, ?)", (number, packed))
    else:
        db.execute("DELETE FROM request_failure_totals WHERE route = ?", (number,))


def add(db: sqlite3.Connection, tier: int, at: int, grown: Mapping[int, durations.Sparse]) -> None:
    """Add what came to each row of one bucket."""
    for number, more in grown.items():
        if more:
            place = (tier, at, number)
            there = db.execute(
                "SELECT durations FROM request_failures WHERE tier = ? AND at = ? AND route = ?",
                place,
            ).fetchone()
            total = durations.added((durations.unpacked(there[0]) if there else {}, more))
            db.execute(
                "INSERT OR REPLACE INTO request_failures VALUES (?, ?, ?, ?)",
                (*place, durations.packed(total)),
            )


def prune(store: Store, oldest: Mapping[int, float], most: int) -> None:
    """Delete the buckets of each tier that are older than *oldest*, at most so many."""
    store.write(
        "DELETE FROM request_failures WHERE (tier, at, route) IN (SELECT tier, at, route"
        " FROM request_failures WHERE tier = ? AND at < ? LIMIT ?)",
        [(tier, at, most) for tier, at in oldest.items()],
    )


def of_columns(store: Store, asked: Mapping[str, object], number: int) -> Iterator[sqlite3.Row]:
    """Buckets of the routes that are *asked* for; of the row *number* where none is named."""
    named = asked["method"] is not None or asked["route"] is not None
    yield from store.query(_OF_ROUTES if named else _OF_ROW, {**asked, "number": number})


def of_endpoints(store: Store, tier: int, first: int, end: float) -> Iterator[sqlite3.Row]:
    """Buckets of every endpoint."""
    sql = _IN_TIME.format("") + "f.route > 0"
    yield from store.query(sql, {"tier": tier, "first": first, "end": end})
