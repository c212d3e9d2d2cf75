"""Requests to examine: of each route and hour the five slowest and the five that failed last.

The leader stores them as the workers publish them; each has the ID that finds its log lines.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING

from proletto_otel.request import durations
from proletto_otel.state.store import Store, StoreUnavailable

if TYPE_CHECKING:
    from proletto_otel.request.readings import RequestExample
    from proletto_otel.request.route_stats import RouteSection

DDL = (
    "CREATE TABLE IF NOT EXISTS request_examples (kind INTEGER NOT NULL, hour INTEGER NOT NULL,"
    " method TEXT NOT NULL, route TEXT NOT NULL, request_id TEXT NOT NULL, at REAL NOT NULL,"
    " status INTEGER NOT NULL, seconds REAL NOT NULL, error TEXT NOT NULL,"
    " message TEXT NOT NULL, PRIMARY KEY (kind, hour, method, route, request_id)) WITHOUT ROWID",
)
SLOW, FAILED = 0, 1
PER_HOUR = 5
"""Of one route and kind."""
HOUR_S = 3600
KEPT_S = 30 * 86_400
MAX_ROWS = 50_000
"""About 8 MB; the oldest hours go first."""
PRUNE_BATCH = 1000
MAX_TEXT = 200

_INSERT = f"INSERT OR IGNORE INTO request_examples VALUES ({', '.join('?' * 10)})"
_TRIM = (
    "DELETE FROM request_examples WHERE kind = :kind AND hour = :hour AND method = :method"
    " AND route = :route AND request_id NOT IN (SELECT request_id FROM request_examples"
    " WHERE kind = :kind AND hour = :hour AND method = :method AND route = :route"
    " ORDER BY {order} DESC LIMIT :most)"
)
_ORDER = {SLOW: "seconds", FAILED: "at"}
_READ = (
    "SELECT * FROM request_examples WHERE kind = :kind AND hour >= :first AND hour < :end"
    " AND at >= :start AND at < :end AND (:method IS NULL OR method = :method)"
    " AND (:route IS NULL OR route = :route) AND seconds > :over AND seconds <= :up_to"
    " ORDER BY {order} DESC LIMIT :limit"
)
Row = tuple[int, int, str, str, str, float, int, float, str, str]


class RequestExamples:
    """Stores and reads them.

    Args:
        store: The host's store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stored: set[Row] = set()
        store.define(*DDL)

    def record(self, sections: Iterable[RouteSection]) -> None:
        """Store what came since the last time; called by the leader."""
        rows = {row for section in sections for row in _rows(section)}
        new = rows - self._stored
        if not new:
            return
        # those that one already has are left out: nearly all of them, every two seconds
        touched = {(row[0], row[1], row[2], row[3]) for row in new}
        try:
            with self._store.transaction() as db:
                db.executemany(_INSERT, list(new))
                for kind, hour, method, route in touched:
                    db.execute(
                        _TRIM.format(order=_ORDER[kind]),
                        {"kind": kind, "hour": hour, "method": method, "route": route,
                         "most": PER_HOUR},
                    )  # fmt: skip
        except StoreUnavailable:
            return
        self._stored = rows

    def prune(self, now: float) -> None:
        """Delete the oldest hours, as many rows at once as do not hold others up."""
        self._store.write(
            "DELETE FROM request_examples WHERE (kind, hour, method, route, request_id) IN"
            " (SELECT kind, hour, method, route, request_id FROM request_examples WHERE kind = ?"
            " AND (hour < ? OR (SELECT count(*) FROM request_examples) > ?)"
            " ORDER BY hour LIMIT ?)",
            [(kind, now - KEPT_S, MAX_ROWS, PRUNE_BATCH) for kind in (SLOW, FAILED)],
        )

    def read(
        self, kind: int, start: float, end: float, route: str | None = None,
        method: str | None = None, limit: int = 20, least: float = 0.0, most: float | None = None,
    ) -> tuple[RequestExample, ...]:  # fmt: skip
        """Those from *start* to *end* (unix seconds): the slowest, or the latest, first.

        Args:
            kind: `SLOW` or `FAILED`.
            start: Unix seconds.
            end: Unix seconds.
            route: Only this template's.
            method: Only this method's.
            limit: At most 500.
            least: Only those that a heat map shows as of so many seconds, or more.
            most: Only those that it shows as of less seconds.
        """
        over, up_to = durations.bounds_s(least, math.inf if most is None else most)
        rows = self._store.query(
            _READ.format(order=_ORDER[kind]),
            {"kind": kind, "first": start // HOUR_S * HOUR_S, "start": start, "end": end,
             "method": method, "route": route, "limit": min(max(limit, 1), 500),
             "over": over, "up_to": up_to},
        )  # fmt: skip
        return tuple(_example(row) for row in rows)

    def find(self, request_id: str) -> RequestExample | None:
        """The request of this ID; one that failed with its error."""
        # No index: all 50,000 rows are read in 8 ms of CPU (CPython 3.11), and it is seldom asked.
        rows = self._store.query(
            "SELECT * FROM request_examples WHERE request_id = ? ORDER BY kind DESC LIMIT 1",
            (request_id[:MAX_TEXT],),
        )
        return _example(rows[0]) if rows else None


def _rows(section: RouteSection) -> Iterable[Row]:
    method, route = section["method"], section["route"] or ""
    for slow in section.get("lately", ()):
        at = slow["time_ns"] / 1e9
        yield (
            SLOW, int(at // HOUR_S * HOUR_S), method, route, slow["request_id"][:MAX_TEXT], at,
            slow["status"], slow["duration_s"], "", "",
        )  # fmt: skip
    for failure in section.get("failures", ()):
        at = failure["time_ns"] / 1e9
        yield (
            FAILED, int(at // HOUR_S * HOUR_S), method, route, failure["request_id"][:MAX_TEXT],
            at, failure["status"], failure["duration_s"], failure["error"][:MAX_TEXT],
            failure["message"],
        )  # fmt: skip


def _example(row: sqlite3.Row) -> RequestExample:
    from proletto_otel.request.readings import RequestExample

    return RequestExample(
        time=row["at"],
        request_id=row["request_id"],
        method=row["method"],
        route=row["route"] or None,
        status=row["status"],
        seconds=row["seconds"],
        error=row["error"],
        message=row["message"],
    )
