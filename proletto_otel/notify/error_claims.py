"""Which worker sends what to Slack, and when: one row per error in the host's store.

The first record of an error is sent at once, later ones are held back and counted; at the end of
each window one summary has their number, and after a window without any the error is resolved. A
worker claims what it sends for a while; what a dead one claimed is claimed again. Sending lives in
`notify.error_notifier`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable

from proletto_otel.notify.error_notification import ErrorClaim, Sample
from proletto_otel.notify.notification import FIRST, RESOLVED, SUMMARY
from proletto_otel.state.store import Store

LEASE_S = 30.0
"""How long a claim holds without news of its owner: a post takes at most 3 s."""
PACE_S = 1.0
"""Slack allows a channel one message a second."""
MAX_DUE = 20
MAX_ROWS = 10_000
"""Errors remembered; beyond it the quietest are forgotten."""

DDL = (
    """CREATE TABLE IF NOT EXISTS slack_errors (
        fingerprint TEXT PRIMARY KEY,
        sample TEXT NOT NULL,
        first_at REAL NOT NULL,
        last_at REAL NOT NULL,
        window_ends REAL NOT NULL,
        held INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0,
        due TEXT NOT NULL DEFAULT '',
        due_count INTEGER NOT NULL DEFAULT 0,
        claimed_until REAL NOT NULL DEFAULT 0)""",
    "CREATE INDEX IF NOT EXISTS slack_errors_window ON slack_errors (window_ends)",
    "CREATE TABLE IF NOT EXISTS slack_pace (id INTEGER PRIMARY KEY, next_at REAL NOT NULL)",
)


class ErrorClaims:
    """Reads and claims the rows for one worker; all workers of the host share them.

    Args:
        store: The host's store.
        window_s: Seconds in which a repeated error is held back.
        now: Unix time.
    """

    def __init__(self, store: Store, window_s: float, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._window_s = window_s
        self._now = now
        store.define(*DDL)

    def count(self, sample: Sample, count: int) -> ErrorClaim | None:
        """*count* more records of an error; what is ours to send, if it is the first.

        Raises:
            StoreUnavailable: nothing was counted; come again.
        """
        now = self._now()
        with self._store.transaction() as db:
            # The quiet period ended while no process ran: treat it as a new error.
            db.execute(
                "DELETE FROM slack_errors WHERE fingerprint = ? AND due = '' AND held = 0"
                " AND window_ends < ?",
                (sample.fingerprint, now - self._window_s),
            )
            held = db.execute(
                "UPDATE slack_errors SET held = held + ?, total = total + ?, last_at = ?"
                " WHERE fingerprint = ?",
                (count, count, now, sample.fingerprint),
            )
            if held.rowcount:
                return None
            self._make_room(db)
            db.execute(
                # The first record is this worker's to send; the rest of *count* goes into the
                # summary.
                "INSERT INTO slack_errors VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
                (
                    sample.fingerprint, json.dumps(sample.dump()), now, now, now + self._window_s,
                    count - 1, count, FIRST, now + LEASE_S,
                ),
            )  # fmt: skip
        return self._made(FIRST, sample, 1, now)

    def due(self) -> list[ErrorClaim]:
        """What is ours to send now: ended windows, and claims of workers that are gone.

        Raises:
            StoreUnavailable: nothing was claimed; come again.
        """
        now = self._now()
        open_or_lost = "(due = '' AND window_ends <= :now) OR (due <> '' AND claimed_until <= :now)"
        select = f"SELECT * FROM slack_errors WHERE {open_or_lost} LIMIT {MAX_DUE}"
        if not self._store.query(select, {"now": now}):
            return []  # mostly nothing is due, and a SELECT takes no write lock
        with self._store.transaction() as db:
            rows = db.execute(select, {"now": now}).fetchall()
            # Read again under the write lock: of two workers that found the rows, one gets them.
            return [self._claim(db, row, now) for row in rows]

    def sent(self, claim: ErrorClaim) -> ErrorClaim | None:
        """*claim* was sent, or given up; returns what follows at once, if anything.

        Raises:
            StoreUnavailable: the claim stays until it runs out; the message may be sent twice.
        """
        key = (claim.sample.fingerprint,)
        with self._store.transaction() as db:
            if claim.event != RESOLVED:
                db.execute("UPDATE slack_errors SET due = '' WHERE fingerprint = ?", key)
                return None
            # Only while nothing was held back since the claim: else the error is not over.
            gone = db.execute("DELETE FROM slack_errors WHERE fingerprint = ? AND held = 0", key)
            if gone.rowcount:
                return None
            # it came again while its end was being sent: that is a first one
            now = self._now()
            db.execute(
                "UPDATE slack_errors SET due = ?, due_count = 1, held = held - 1, total = held,"
                " first_at = ?, window_ends = ?, claimed_until = ? WHERE fingerprint = ?",
                (FIRST, now, now + self._window_s, now + LEASE_S, *key),
            )
        return self._made(FIRST, claim.sample, 1, now)

    def renew(self, claims: Iterable[ErrorClaim]) -> None:
        """Hold the claims on *claims* longer: they wait for their turn, or for Slack."""
        # Slack may ask for a pause of minutes; a claim that ran out meanwhile would be sent twice.
        until = self._now() + LEASE_S
        rows = [(until, claim.sample.fingerprint) for claim in claims]
        if rows:
            self._store.write(
                "UPDATE slack_errors SET claimed_until = ? WHERE fingerprint = ?", rows
            )

    def turn(self) -> float:
        """Take the host's next turn to post; seconds until it comes.

        Raises:
            StoreUnavailable: no turn was taken.
        """
        now = self._now()
        with self._store.transaction() as db:
            row = db.execute("SELECT next_at FROM slack_pace WHERE id = 1").fetchone()
            # Each worker takes the next free second, so all together post once a second.
            at = max(now, row["next_at"] if row else now)
            if at > now + 3600:  # the clock was set back
                at = now
            db.execute("INSERT OR REPLACE INTO slack_pace VALUES (1, ?)", (at + PACE_S,))
        return float(at - now)

    def pause(self, seconds: float) -> None:
        """Nobody on this host posts for *seconds*."""
        self._store.write(
            "INSERT OR REPLACE INTO slack_pace VALUES (1, ?)", [(self._now() + seconds,)]
        )

    def _claim(self, db: sqlite3.Connection, row: sqlite3.Row, now: float) -> ErrorClaim:
        event, count, held = row["due"], row["due_count"], row["held"]
        window_ends = row["window_ends"]
        # A row that is due already was claimed by a worker that is gone: its message is sent as it
        # was decided then. Otherwise a window ended: with repeats a summary, without the end.
        if not event:
            event, count, held = (SUMMARY, held, 0) if held else (RESOLVED, row["total"], 0)
            window_ends = now + self._window_s
        db.execute(
            "UPDATE slack_errors SET due = ?, due_count = ?, held = ?, window_ends = ?,"
            " claimed_until = ? WHERE fingerprint = ?",
            (event, count, held, window_ends, now + LEASE_S, row["fingerprint"]),
        )
        sample = Sample.load(json.loads(row["sample"]))
        return self._made(event, sample, count, row["first_at"])

    def _made(self, event: str, sample: Sample, count: int, since: float) -> ErrorClaim:
        return ErrorClaim(
            event=event, sample=sample, count=count, since=since, window_s=self._window_s
        )

    @staticmethod
    def _make_room(db: sqlite3.Connection) -> None:
        known = db.execute("SELECT count(*) FROM slack_errors").fetchone()[0]
        # A hundred at once, so that a storm of new errors does not search with each of them. Never
        # one with a message that is due, nor one that has counts to report.
        if known >= MAX_ROWS:
            db.execute(
                "DELETE FROM slack_errors WHERE fingerprint IN (SELECT fingerprint"
                " FROM slack_errors WHERE due = '' AND held = 0 ORDER BY last_at LIMIT 100)"
            )
