"""Error groups as programs and pages read them, and the rows they are stored as.

Counting and deciding live in `errors.groups`, the queries in `errors.group_list`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timezone
from typing import Any

from proletto_otel.core.conventions import COMPONENT
from proletto_otel.core.record import record
from proletto_otel.errors.tables import MAX_USERS
from proletto_otel.logs.record.record import Record

MAX_GROUPS = 5000
"""Groups stored; beyond it those that were quiet longest are deleted."""
MAX_CHANGES = 100
OPEN, RESOLVED, IGNORED = "open", "resolved", "ignored"
STATUSES = (OPEN, RESOLVED, IGNORED)
REGRESSED = "regressed"
"""Open again because it recurred after it was resolved."""
STATES = (*STATUSES, REGRESSED)
RECURRENCE = "recurrence"
"""Who opened a resolved group that recurred."""
NO_SAMPLE = "{}"
"""Samples of a group are among its occurrences; the column is of the first release."""
_NOT_IN_SUMMARY = ("sample", "changes", "trend", "bar_s", "last_version", "stored")


@record(frozen=True, slots=True, kw_only=True)
class Change:
    """What somebody decided about a group."""

    at: float
    """Unix time."""
    by: str
    """Who; `recurrence` when a resolved error came again."""
    status: str

    @property
    def state(self) -> str:
        """As `ErrorGroup.state`."""
        return state_of(self.status, self.by)


@record(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """All occurrences of one error on this host."""

    fingerprint: str
    type: str
    """Qualified type of the exception; empty for an event without one."""
    message: str
    """Of the latest occurrence."""
    location: str
    """`file:function` of the innermost frame of the application; `threshold <name>` of an alert."""
    level: str
    logger: str
    component: str
    first_seen: float
    """Unix time."""
    last_seen: float
    count: int
    """Occurrences since `first_seen`; exact."""
    status: str
    """`open`, `resolved` or `ignored`."""
    changed_by: str
    """Who changed the status last."""
    changed_at: float | None
    request_id: str
    """Of the latest occurrence."""
    trace_id: str
    users: int = 0
    """Different users known to be affected; `MAX_USERS` says at least so many."""
    first_version: str = ""
    """Of the application when it was first seen; empty where it is not known."""
    last_version: str = ""
    stored: int = 0
    """Occurrences that can be read; the others are only counted."""
    trend: tuple[int, ...] = ()
    """Occurrences in 24 equal spans up to now, oldest first."""
    bar_s: float = 3600.0
    """Seconds of one bar of the trend."""
    sample: Mapping[str, Any] | None = None
    """The latest record with traceback and breadcrumbs; only from `get`."""
    changes: tuple[Change, ...] = ()
    """Newest first; only from `get`."""

    @property
    def state(self) -> str:
        """`open`, `regressed` (open again by itself), `resolved` or `ignored`."""
        return state_of(self.status, self.changed_by)

    @property
    def users_text(self) -> str:
        """The number of users as people read it: `37`, `1,000+`."""
        return f"{self.users:,}+" if self.users >= MAX_USERS else f"{self.users:,}"

    def summary(self) -> dict[str, Any]:
        """Plain data in one level, times as ISO 8601: for tables and JSON."""
        # all of them are plain: `asdict` copies deep, 102 µs a group in place of 14
        data: dict[str, Any] = {name: getattr(self, name) for name in _IN_SUMMARY}
        data["state"] = self.state
        for name in ("first_seen", "last_seen", "changed_at"):
            if data[name] is not None:
                # To the millisecond: occurrences of one second have an order.
                at = datetime.fromtimestamp(data[name], timezone.utc)
                data[name] = at.isoformat(timespec="milliseconds")
        return data


_IN_SUMMARY = tuple(f.name for f in fields(ErrorGroup) if f.name not in _NOT_IN_SUMMARY)


def state_of(status: str, by: str) -> str:
    """The state of a status that *by* set."""
    return REGRESSED if status == OPEN and by == RECURRENCE else status


def row(record: Record, count: int, first_seen: float) -> dict[str, Any]:
    """The row of *count* occurrences of which *record* is the latest."""
    error = record.exception
    return {
        "fingerprint": record.fingerprint,
        "type": error.type if error else "",
        "message": (error.message if error else record.message)[:2000],
        "location": (error.where if error else "") or _call_site(record),
        "level": record.level_name,
        "logger": record.logger,
        "component": str(record.fields.get(COMPONENT) or "")[:200],
        "first_seen": min(first_seen, record.time_ns / 1e9),
        "last_seen": record.time_ns / 1e9,
        "count": count,
        "request_id": record.request_id,
        "trace_id": record.trace_id,
        "sample": NO_SAMPLE,
    }


def _call_site(record: Record) -> str:
    """Where the record was made; for an alert, which no code of the application makes, of what."""
    if record.module or record.function:
        return f"{record.module}:{record.function}"
    threshold = record.fields.get("alert_name")
    return f"threshold {threshold}"[:200] if threshold else ""


def remember(db: sqlite3.Connection, fingerprint: str, at: float, by: str, status: str) -> None:
    """Store a change of status; the latest hundred of a group stay."""
    db.execute("INSERT INTO error_group_changes VALUES (?, ?, ?, ?)", (fingerprint, at, by, status))
    db.execute(
        "DELETE FROM error_group_changes WHERE fingerprint = :it AND rowid NOT IN"
        " (SELECT rowid FROM error_group_changes WHERE fingerprint = :it"
        f" ORDER BY at DESC LIMIT {MAX_CHANGES})",
        {"it": fingerprint},
    )


def make_room(db: sqlite3.Connection) -> None:
    """Delete the quietest groups beyond the limit; `errors.upkeep` deletes what belongs to them."""
    known = db.execute("SELECT count(*) FROM error_groups").fetchone()[0]
    if known > MAX_GROUPS:
        db.execute(
            "DELETE FROM error_groups WHERE fingerprint IN (SELECT fingerprint FROM error_groups"
            " ORDER BY last_seen LIMIT ?)",
            (known - MAX_GROUPS,),
        )
        db.execute(
            "DELETE FROM error_group_changes"
            " WHERE fingerprint NOT IN (SELECT fingerprint FROM error_groups)"
        )
