"""Whole days of requests: rows of `request_points` that are made of those of three hours.

The table of endpoints of 30 days adds up one row a day and endpoint in place of eight: with 100
endpoints 3,800 histograms instead of 24,300 (`python -m bench.history`).
Only what is over is added up, so a day never changes; a store that an earlier release wrote gets
its days one at a time, and until then its rows of three hours are read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from proletto_otel.request import durations
from proletto_otel.request.request_history import ALL, DAY_S, MAX_PER_BUCKET, OTHERS, TIERS
from proletto_otel.request.request_totals import RequestSum
from proletto_otel.state.store import Store, StoreUnavailable

EIGHTH_S, KEPT_S = TIERS[-1]
"""What a day is made of, and how long both are stored."""
PRUNE_BATCH = 1000
_PUT = f"INSERT OR REPLACE INTO request_points VALUES ({', '.join('?' * 13)})"


def add_up_a_day(store: Store) -> bool:
    """Store the oldest day that is over and is not added up yet; whether there was one.

    Called by the leader, which records first: a time without a leader is put into its days then.
    """
    try:
        with store.transaction() as db:
            day = _oldest_missing(db)
            if day is None:
                return False
            rows = db.execute(
                "SELECT * FROM request_points WHERE tier = ? AND at >= ? AND at < ?",
                (EIGHTH_S, day, day + DAY_S),
            )
            sums: dict[int, RequestSum] = {}
            for row in rows:
                sums.setdefault(row["route"], RequestSum()).take(row)
            db.executemany(_PUT, _rows(day, sums))
        return True
    except StoreUnavailable:
        return False


def _oldest_missing(db: sqlite3.Connection) -> int | None:
    """When the day begins that is to be added up next; None: all that are over are."""
    recorded = db.execute("SELECT at FROM request_clock").fetchone()
    newest = db.execute("SELECT max(at) FROM request_points WHERE tier = ?", (DAY_S,)).fetchone()[0]
    (begin,) = db.execute(
        "SELECT min(at) FROM request_points WHERE tier = ? AND at >= ?",
        (EIGHTH_S, 0 if newest is None else newest + DAY_S),
    ).fetchone()
    if recorded is None or begin is None:
        return None
    day = int(begin // DAY_S * DAY_S)
    return day if day + DAY_S <= recorded["at"] else None


def _rows(day: int, sums: Mapping[int, RequestSum]) -> Iterator[Sequence[object]]:
    """Of more endpoints than a bucket has rows for, the quietest share one, as in every tier."""
    own = sorted((n for n in sums if n > 0), key=lambda n: -sum(sums[n].classes))
    others = RequestSum()
    for number in (OTHERS, *own[MAX_PER_BUCKET:]):
        if number in sums:
            others.add(sums[number])
    made = {number: sums[number] for number in (ALL, *own[:MAX_PER_BUCKET]) if number in sums}
    if sum(others.classes):
        made[OTHERS] = others
    for number, total in made.items():
        fine = durations.packed(durations.sparse(total.fine))
        yield (DAY_S, day, number, *total.classes, total.errors, total.timed, total.seconds, fine)


def prune(store: Store, at: float) -> None:
    """Delete days that are too old at *at*."""
    store.write(
        "DELETE FROM request_points WHERE (tier, at, route) IN (SELECT tier, at, route"
        " FROM request_points WHERE tier = ? AND at < ? LIMIT ?)",
        [(DAY_S, at - KEPT_S, PRUNE_BATCH)],
    )


Piece = tuple[int, int, float]
"""A tier, and from when to when its buckets are read."""


def pieces(store: Store, tier: int, first: int, end: float) -> list[Piece]:
    """The fewest buckets that make up the time from *first* to *end*, those of *tier* at its ends.

    A bucket in which endpoints share a row says less of each than the finer ones: a time with such
    a bucket is read from *tier* alone.
    """
    coarser = [t for t, _ in TIERS if t > tier] + [DAY_S]
    complete = dict.fromkeys(coarser, end)
    row = store.query("SELECT max(at) FROM request_points WHERE tier = ?", (DAY_S,))
    complete[DAY_S] = row[0][0] + DAY_S if row and row[0][0] is not None else 0
    return _pieces(first, end, [*reversed(coarser), tier], complete, store)


def _pieces(
    first: int, end: float, tiers: Sequence[int], complete: Mapping[int, float], store: Store
) -> list[Piece]:
    """*tiers* from the coarsest on."""
    tier, *finer = tiers
    if first >= end:
        return []
    if not finer:
        return [(tier, first, end)]
    begin = -(-first // tier) * tier
    over = int(min(end, complete[tier]) // tier * tier)
    if begin >= over or _is_shared(store, tier, begin, over):
        return _pieces(first, end, finer, complete, store)
    return [
        *_pieces(first, begin, finer, complete, store),
        (tier, begin, over),
        *_pieces(over, end, finer, complete, store),
    ]


def _is_shared(store: Store, tier: int, first: int, end: int) -> bool:
    """Whether there is a row of what had none of its own."""
    # a look-up of the primary key for each bucket: a scan would read all rows of the time
    return bool(store.query(
        "WITH RECURSIVE times(at) AS (SELECT :first UNION ALL SELECT at + :tier FROM times"
        " WHERE at + :tier < :end) SELECT 1 FROM times JOIN request_points p"
        " ON p.tier = :tier AND p.at = times.at AND p.route = :route LIMIT 1",
        {"tier": tier, "first": first, "end": end, "route": OTHERS},
    ))  # fmt: skip
