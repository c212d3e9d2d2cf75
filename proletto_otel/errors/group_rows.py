"""Error groups in the host's store: their tables, their rows, what is stored of a record.

Counting and deciding live in `errors.groups`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from proletto_otel.core.conventions import COMPONENT
from proletto_otel.logs.record.breadcrumbs import crumb
from proletto_otel.logs.record.record import Record

MAX_GROUPS = 5000
"""Groups stored; beyond it those that were quiet longest are deleted."""
MAX_CHANGES = 100
MAX_SAMPLE = 65_536
OPEN, RESOLVED, IGNORED = "open", "resolved", "ignored"
STATUSES = (OPEN, RESOLVED, IGNORED)

DDL = (
    """CREATE TABLE IF NOT EXISTS error_groups (
        fingerprint TEXT PRIMARY KEY,
        type TEXT NOT NULL,
        message TEXT NOT NULL,
        location TEXT NOT NULL,
        level TEXT NOT NULL,
        logger TEXT NOT NULL,
        component TEXT NOT NULL,
        first_seen REAL NOT NULL,
        last_seen REAL NOT NULL,
        count INTEGER NOT NULL,
        status TEXT NOT NULL DEFAULT 'open',
        changed_by TEXT NOT NULL DEFAULT '',
        changed_at REAL,
        request_id TEXT NOT NULL DEFAULT '',
        trace_id TEXT NOT NULL DEFAULT '',
        sample TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS error_groups_last ON error_groups (last_seen)",
    """CREATE TABLE IF NOT EXISTS error_group_changes (
        fingerprint TEXT NOT NULL,
        at REAL NOT NULL,
        by TEXT NOT NULL,
        status TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS error_group_changes_of ON error_group_changes (fingerprint, at)",
)
UPSERT = """
    INSERT INTO error_groups (fingerprint, type, message, location, level, logger, component,
        first_seen, last_seen, count, request_id, trace_id, sample)
    VALUES (:fingerprint, :type, :message, :location, :level, :logger, :component,
        :first_seen, :last_seen, :count, :request_id, :trace_id, :sample)
    ON CONFLICT (fingerprint) DO UPDATE SET
        message = excluded.message, level = excluded.level, logger = excluded.logger,
        component = excluded.component, count = count + excluded.count,
        first_seen = min(first_seen, excluded.first_seen),
        last_seen = max(last_seen, excluded.last_seen),
        request_id = excluded.request_id, trace_id = excluded.trace_id,
        sample = excluded.sample"""
COLUMNS = (
    "fingerprint, type, message, location, level, logger, component, first_seen, last_seen,"
    " count, status, changed_by, changed_at, request_id, trace_id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What somebody decided about a group."""

    at: float
    """Unix time."""
    by: str
    """Who; `recurrence` when a resolved error came again."""
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """All occurrences of one error on this host."""

    fingerprint: str
    type: str
    """Qualified type of the exception; empty for an event without one."""
    message: str
    """Of the latest occurrence."""
    location: str
    """`file:function` of the innermost frame of the application."""
    level: str
    logger: str
    component: str
    first_seen: float
    """Unix time."""
    last_seen: float
    count: int
    status: str
    """`open`, `resolved` or `ignored`."""
    changed_by: str
    """Who changed the status last."""
    changed_at: float | None
    request_id: str
    """Of the latest occurrence."""
    trace_id: str
    sample: Mapping[str, Any] | None = None
    """The latest record with traceback and breadcrumbs; only from `get`."""
    changes: tuple[Change, ...] = ()
    """Newest first; only from `get`."""

    def summary(self) -> dict[str, Any]:
        """Plain data in one level, times as ISO 8601: for tables and JSON."""
        data = asdict(self)
        data.pop("sample")
        data.pop("changes")
        for name in ("first_seen", "last_seen", "changed_at"):
            if data[name] is not None:
                # To the millisecond: occurrences of one second have an order.
                at = datetime.fromtimestamp(data[name], timezone.utc)
                data[name] = at.isoformat(timespec="milliseconds")
        return data


def sample_of(record: Record) -> dict[str, Any]:
    """The record as its JSON line has it, and what else is known of the error."""
    data: dict[str, Any] = json.loads(record.json)
    data["breadcrumbs"] = [crumb(entry) for entry in record.breadcrumbs]
    if record.exception is not None and record.exception.locals:
        data["locals"] = record.exception.locals
    return data


def row(record: Record, count: int, first_seen: float) -> dict[str, Any]:
    """The row of *count* occurrences of which *record* is the latest."""
    error = record.exception
    call_site = f"{record.module}:{record.function}"
    # One limit for the whole sample: tracebacks and locals can be megabytes.
    sample = json.dumps(sample_of(record))
    if len(sample) > MAX_SAMPLE:
        sample = json.dumps({"message": record.message[:2000], "truncated": True})
    return {
        "fingerprint": record.fingerprint,
        "type": error.type if error else "",
        "message": (error.message if error else record.message)[:2000],
        "location": (error.where if error else "") or call_site,
        "level": record.level_name,
        "logger": record.logger,
        "component": str(record.fields.get(COMPONENT) or "")[:200],
        "first_seen": min(first_seen, record.time_ns / 1e9),
        "last_seen": record.time_ns / 1e9,
        "count": count,
        "request_id": record.request_id,
        "trace_id": record.trace_id,
        "sample": sample,
    }


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
    """Delete the quietest groups beyond the limit."""
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
