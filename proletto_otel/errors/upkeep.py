"""Keeping the tables of error groups within their limits, a thousand rows at a time.

The leader runs it; what a group may hold is decided in `errors.tables`.
"""

from __future__ import annotations

import sqlite3

from proletto_otel.errors import occurrence_rows, tables


def run(db: sqlite3.Connection, now: float) -> None:
    """One step: at most `DELETE_ROWS` rows of each kind."""
    _age(db, now)
    _forget_groups(db)
    make_room(db)


def _age(db: sqlite3.Connection, now: float) -> None:
    for table, column, oldest, most in (
        ("error_hours", "hour", (now - tables.HOURS_S) // 3600, tables.MAX_HOUR_ROWS),
        ("error_minutes", "minute", (now - tables.MINUTES_S) // 60, tables.MAX_MINUTE_ROWS),
    ):
        # over the cap the oldest go first, whatever their age
        over = db.execute(f"SELECT max(count(*) - ?, 0) FROM {table}", (most,)).fetchone()[0]
        db.execute(
            f"DELETE FROM {table} WHERE (number, {column}) IN (SELECT number, {column} FROM {table}"
            f" WHERE {column} < ? ORDER BY {column} LIMIT ?)",
            (int(oldest), tables.DELETE_ROWS),
        )
        db.execute(
            f"DELETE FROM {table} WHERE (number, {column}) IN (SELECT number, {column} FROM {table}"
            f" ORDER BY {column} LIMIT ?)",
            (min(over, tables.DELETE_ROWS),),
        )


def _forget_groups(db: sqlite3.Connection) -> None:
    """Delete what belongs to a group that is gone, and the users of the quietest over the cap."""
    gone = db.execute(
        "SELECT number FROM error_group_details d WHERE NOT EXISTS"
        " (SELECT 1 FROM error_groups g WHERE g.fingerprint = d.fingerprint) LIMIT 10"
    ).fetchall()
    for (number,) in gone:
        if sum(_some(db, table, number) for table in ("error_hours", "error_users")) == 0:
            left = occurrence_rows.thin(db, number, 0, 0)
            if not left:
                db.execute("DELETE FROM error_occurrences WHERE number = ?", (number,))
                db.execute("DELETE FROM error_minutes WHERE number = ?", (number,))
                db.execute("DELETE FROM error_group_details WHERE number = ?", (number,))
    if db.execute("SELECT count(*) FROM error_users").fetchone()[0] > tables.MAX_USER_ROWS:
        quiet = db.execute(
            "SELECT number FROM error_group_details d JOIN error_groups g USING (fingerprint)"
            " WHERE users > 0 AND EXISTS (SELECT 1 FROM error_users u WHERE u.number = d.number)"
            " ORDER BY last_seen LIMIT 1"
        ).fetchone()
        if quiet is not None:
            _some(db, "error_users", quiet[0])


def _some(db: sqlite3.Connection, table: str, number: int) -> int:
    other = "hour" if table == "error_hours" else "user"
    return db.execute(
        f"DELETE FROM {table} WHERE number = ? AND {other} IN"
        f" (SELECT {other} FROM {table} WHERE number = ? LIMIT {tables.DELETE_ROWS})",
        (number, number),
    ).rowcount


def stored_bytes(db: sqlite3.Connection) -> int:
    """Bytes of all stored occurrences."""
    return int(
        db.execute("SELECT coalesce(sum(stored_bytes), 0) FROM error_group_details").fetchone()[0]
    )


def make_room(db: sqlite3.Connection) -> None:
    """Over the cap: halve what the largest groups store, at most `DELETE_ROWS` rows."""
    over, left = stored_bytes(db) - tables.MAX_STORED_BYTES, tables.DELETE_ROWS
    if over <= 0:
        return
    largest = db.execute(
        "SELECT number, stored FROM error_group_details WHERE stored > 2"
        " ORDER BY stored_bytes DESC LIMIT 50"
    ).fetchall()
    for number, stored in largest:
        if left <= 0 or stored_bytes(db) <= tables.MAX_STORED_BYTES:
            return
        # a quarter of it the latest, a quarter of the sample
        left -= occurrence_rows.thin(db, number, max(stored // 4, 1), stored // 4)
