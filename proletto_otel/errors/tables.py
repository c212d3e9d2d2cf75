"""The tables of error groups in the host's store, and how much they may hold.

`error_groups` and `error_group_changes` are as they were in the first release, which may still run
beside this one during a deploy; everything newer is in tables of its own. Two triggers keep the
counts by hour and by minute: they belong to the database, so an older worker's errors are in them.
"""

from __future__ import annotations

MAX_HOUR_ROWS = 300_000
"""Counts by group and hour: about 25 bytes each with their index, so 8 MB."""
HOURS_S = 90 * 86_400
MAX_MINUTE_ROWS = 60_000
MINUTES_S = 6 * 3600
MAX_USERS = 1000
"""Different users counted per group; beyond it, "1,000+"."""
MAX_USER_ROWS = 200_000
"""About 20 bytes each: 4 MB; of the quietest groups they go first."""
MAX_STORED_BYTES = 64 * 1024 * 1024
"""Compressed occurrences of all groups together, a quarter of the store."""
LAST = 50
"""Latest occurrences of a group that are stored; its first one always is."""
SAMPLED = 50
"""Occurrences of a group between the first and the last fifty that stay, chosen at random."""
DELETE_ROWS = 1000
"""Rows deleted in one transaction: a longer one would hold up the other workers' writes."""

# NOT EXISTS and not OR IGNORE: within an upsert its own conflict clause holds for triggers, too
_COUNTED = """
    INSERT INTO error_group_details (fingerprint) SELECT new.fingerprint WHERE NOT EXISTS
        (SELECT 1 FROM error_group_details WHERE fingerprint = new.fingerprint);
    INSERT INTO error_hours SELECT number, CAST(new.last_seen / 3600 AS INTEGER), {count}
        FROM error_group_details WHERE fingerprint = new.fingerprint
        ON CONFLICT (number, hour) DO UPDATE SET count = error_hours.count + excluded.count;
    INSERT INTO error_minutes SELECT CAST(new.last_seen / 60 AS INTEGER), number, {count}
        FROM error_group_details WHERE fingerprint = new.fingerprint
        ON CONFLICT (minute, number) DO UPDATE SET count = error_minutes.count + excluded.count;
    END"""
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
    # `number` stands for the fingerprint in the tables below: one to three bytes a row
    """CREATE TABLE IF NOT EXISTS error_group_details (
        number INTEGER PRIMARY KEY,
        fingerprint TEXT NOT NULL UNIQUE,
        first_version TEXT NOT NULL DEFAULT '',
        last_version TEXT NOT NULL DEFAULT '',
        users INTEGER NOT NULL DEFAULT 0,
        stored INTEGER NOT NULL DEFAULT 0,
        stored_bytes INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE IF NOT EXISTS error_hours (
        number INTEGER NOT NULL, hour INTEGER NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (number, hour)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS error_hours_by_time ON error_hours (hour)",
    """CREATE TABLE IF NOT EXISTS error_minutes (
        minute INTEGER NOT NULL, number INTEGER NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (minute, number)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS error_users (
        number INTEGER NOT NULL, user INTEGER NOT NULL,
        PRIMARY KEY (number, user)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS error_occurrences (
        id INTEGER PRIMARY KEY,
        number INTEGER NOT NULL,
        at INTEGER NOT NULL,
        request BLOB,
        trace BLOB,
        body BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS error_occurrences_of ON error_occurrences (number)",
    # for searches of the log: 15 bytes a row, 70 ms once for 100,000 rows of an earlier release
    "CREATE INDEX IF NOT EXISTS error_occurrences_at ON error_occurrences (at)",
    """CREATE INDEX IF NOT EXISTS error_occurrences_request ON error_occurrences (request)
        WHERE request IS NOT NULL""",
    # only where it differs from the request ID, which mostly is the trace ID
    """CREATE INDEX IF NOT EXISTS error_occurrences_trace ON error_occurrences (trace)
        WHERE trace IS NOT NULL""",
    "CREATE TRIGGER IF NOT EXISTS error_counted_first AFTER INSERT ON error_groups BEGIN"
    + _COUNTED.format(count="new.count"),
    "CREATE TRIGGER IF NOT EXISTS error_counted_again AFTER UPDATE OF count ON error_groups"
    " WHEN new.count > old.count BEGIN" + _COUNTED.format(count="new.count - old.count"),
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
