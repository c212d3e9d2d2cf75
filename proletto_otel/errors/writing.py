"""Counted errors become rows: groups, users, occurrences. One transaction of the caller's.

Counts by hour and minute are written by the triggers of `errors.tables`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from proletto_otel.core.conventions import MESSAGE
from proletto_otel.core.internal_errors import count_failure
from proletto_otel.errors import occurrence_rows, tables, upkeep
from proletto_otel.errors.counting import ErrorCounter
from proletto_otel.errors.group_rows import NO_SAMPLE, OPEN, RECURRENCE, remember, row
from proletto_otel.logs.record.record import Record


def add_group(
    db: sqlite3.Connection, counter: ErrorCounter, count: int, latest: Record, version: str
) -> None:
    """Add *count* occurrences to the group, of which *latest* is the last."""
    # After the first write the start of the group is in the store. Should that be replaced by
    # an empty one, the group starts there with its latest record.
    first = counter.first if not counter.taken else latest
    key = latest.fingerprint
    before = db.execute(
        "SELECT sample, last_seen, request_id, trace_id FROM error_groups WHERE fingerprint = ?",
        (key,),
    ).fetchone()
    db.execute(tables.UPSERT, row(latest, count, first.time_ns / 1e9))
    # the triggers made the row of the details
    (number,) = db.execute(
        "SELECT number FROM error_group_details WHERE fingerprint = ?", (key,)
    ).fetchone()
    if version:
        set_first = "first_version = :version, " if before is None else ""
        db.execute(
            f"UPDATE error_group_details SET {set_first}last_version = :version"
            " WHERE number = :number",
            {"version": version, "number": number},
        )
    _add_users(db, number, counter)
    if before is not None and before[0] != NO_SAMPLE:  # stored by an older release
        old = (int(before[1] * 1000), before[2], before[3], before[0].encode())
        occurrence_rows.store(db, number, [old])


def add_occurrences(db: sqlite3.Connection, records: Iterable[Record], version: str) -> None:
    """Store the details of *records*; their groups are there already."""
    if upkeep.stored_bytes(db) > tables.MAX_STORED_BYTES:
        upkeep.make_room(db)
    by_group: dict[str, list[Record]] = {}
    for record in records:
        by_group.setdefault(record.fingerprint, []).append(record)
    for fingerprint, some in by_group.items():
        found = db.execute(
            "SELECT number FROM error_group_details WHERE fingerprint = ?", (fingerprint,)
        ).fetchone()
        if found is not None:
            occurrence_rows.store(db, found[0], [_occurrence(record, version) for record in some])


def reopen_recurred(db: sqlite3.Connection, fingerprint: str, now: float) -> None:
    """Open the group if it was resolved before its latest occurrence."""
    # By the time of the record, not of this write: a record from before the decision does not
    # reopen the group.
    recurred = db.execute(
        f"UPDATE error_groups SET status = 'open', changed_by = '{RECURRENCE}', changed_at = ?"
        " WHERE fingerprint = ? AND status = 'resolved' AND last_seen > changed_at",
        (now, fingerprint),
    )
    if recurred.rowcount:
        remember(db, fingerprint, now, RECURRENCE, OPEN)


def _occurrence(record: Record, version: str) -> tuple[int, str, str, bytes]:
    try:
        body = occurrence_rows.body_of(record, version)
    except Exception as error:  # a body that cannot be made must not stop the counts of all others
        count_failure("errors.body", error)
        body = json.dumps({MESSAGE: record.message[:2000], "truncated": True}).encode()
    return record.time_ns // 1_000_000, record.request_id, record.trace_id, body


def _add_users(db: sqlite3.Connection, number: int, counter: ErrorCounter) -> None:
    users = tuple(counter.users)
    if not users:
        return
    known = db.execute(
        "SELECT users FROM error_group_details WHERE number = ?", (number,)
    ).fetchone()[0]
    added = 0
    for user in users[: max(tables.MAX_USERS - known, 0)]:
        added += db.execute(
            "INSERT OR IGNORE INTO error_users VALUES (?, ?)",
            (number, occurrence_rows.number_of(user)),
        ).rowcount
    if added:
        db.execute(
            "UPDATE error_group_details SET users = users + ? WHERE number = ?", (added, number)
        )
