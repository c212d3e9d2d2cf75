"""A worker of the first release, as far as the host's store sees it: its tables, its writes.

python -m tests.errors.first_release STORE COUNT
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time

from tests.waiting import PATIENCE_S

DDL = (
    """CREATE TABLE IF NOT EXISTS error_groups (
        fingerprint TEXT PRIMARY KEY, type TEXT NOT NULL, message TEXT NOT NULL,
        location TEXT NOT NULL, level TEXT NOT NULL, logger TEXT NOT NULL, component TEXT NOT NULL,
        first_seen REAL NOT NULL, last_seen REAL NOT NULL, count INTEGER NOT NULL,
        status TEXT NOT NULL DEFAULT 'open', changed_by TEXT NOT NULL DEFAULT '',
        changed_at REAL, request_id TEXT NOT NULL DEFAULT '', trace_id TEXT NOT NULL DEFAULT '',
        sample TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS error_groups_last ON error_groups (last_seen)",
    """CREATE TABLE IF NOT EXISTS error_group_changes (
        fingerprint TEXT NOT NULL, at REAL NOT NULL, by TEXT NOT NULL, status TEXT NOT NULL)""",
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


def connect(path: str) -> sqlite3.Connection:
    """Open the store as the first release does."""
    db = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
    for statement in DDL:
        db.execute(statement)
    return db


def add(db: sqlite3.Connection, fingerprint: str, count: int, message: str = "old") -> None:
    """Write *count* occurrences of one error."""
    now = time.time()
    sample = {
        "timestamp": "2026-01-31T08:00:00.000", "level": "ERROR", "message": message,
        "exception": {"type": "OldError", "message": message, "traceback": ["OldError: old"]},
        "breadcrumbs": [],
    }  # fmt: skip
    row = {
        "fingerprint": fingerprint, "type": "OldError", "message": message, "location": "a.py:f",
        "level": "ERROR", "logger": "old", "component": "", "first_seen": now, "last_seen": now,
        "count": count, "request_id": "r-old", "trace_id": "", "sample": json.dumps(sample),
    }  # fmt: skip
    db.execute("BEGIN IMMEDIATE")
    db.execute(UPSERT, row)
    db.execute("COMMIT")


if __name__ == "__main__":
    old = connect(sys.argv[1])
    for number in range(int(sys.argv[2])):
        add(old, "00000000000000aa", 1)
        add(old, f"{number % 5:016x}", 2)
