"""The outbox: messages that are due, stored until a channel has sent them.

An entry survives the process that wrote it; another process may deliver it. A lease keeps two
living processes from sending the same entry at the same time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable

import orjson

from proletto_otel.core.record import record
from proletto_otel.notify.notification import Notification
from proletto_otel.state.store import Store

# AUTOINCREMENT: SQLite gives the ID of the last row again once that row is gone. A process that
# still waited with the old entry would send that one again, and remove the new one unsent.
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS alert_outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, at REAL NOT NULL,
        body BLOB NOT NULL, claimed_by INTEGER, claimed_at REAL)""",
)


@record(frozen=True, slots=True)
class OutboxEntry:
    """A notification on its way through one channel."""

    id: int | None
    """Row of the outbox; None when there is no store to keep it."""
    channel: str
    at: float
    """When it was written, unix seconds."""
    notification: Notification


class Outbox:
    """Reads and writes the entries of all channels."""

    def __init__(self, store: Store, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        store.define(*SCHEMA)

    def waiting(self) -> list[OutboxEntry]:
        """Entries of the outbox, oldest first."""
        rows = self._store.query("SELECT id, channel, at, body FROM alert_outbox ORDER BY id")
        found = []
        for row in rows:
            # an entry that another release wrote may not be readable; its own workers send it
            with contextlib.suppress(TypeError, ValueError):
                notification = Notification.load(orjson.loads(row["body"]))
                found.append(OutboxEntry(row["id"], row["channel"], row["at"], notification))
        return found

    def claim(self, entry_id: int, lease_s: float) -> bool:
        """Take an entry for this process; False when another one has it or it is gone.

        Raises:
            StoreUnavailable: when there is no store now.
        """
        now, me = self._now(), os.getpid()
        # Read and written under one write lock: of two processes that ask at once, the second finds
        # the claim of the first.
        with self._store.transaction() as connection:
            row = connection.execute(
                "SELECT claimed_by, claimed_at FROM alert_outbox WHERE id = ?", (entry_id,)
            ).fetchone()
            if row is None or _is_held(row, me, now - lease_s):
                return False
            connection.execute(
                "UPDATE alert_outbox SET claimed_by = ?, claimed_at = ? WHERE id = ?",
                (me, now, entry_id),
            )
            return True

    def remove(self, entry_id: int) -> None:
        """Take an entry out of the outbox.

        Raises:
            StoreUnavailable: when there is no store now.
        """
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM alert_outbox WHERE id = ?", (entry_id,))

    def put(
        self, connection: sqlite3.Connection, channel: str, notification: Notification
    ) -> OutboxEntry:
        """Write a notification for one channel, in the caller's transaction."""
        at, body = self._now(), orjson.dumps(notification)
        row = connection.execute(
            "INSERT INTO alert_outbox (channel, at, body) VALUES (?, ?, ?)", (channel, at, body)
        )
        return OutboxEntry(row.lastrowid, channel, at, notification)


def _is_held(row: sqlite3.Row, me: int, expired: float) -> bool:
    """Whether another living process is about to send the entry."""
    holder = row["claimed_by"]
    if holder in (None, me) or row["claimed_at"] <= expired:
        return False
    # The pid frees the claims of a killed process at once, the lease those of a pid used again.
    try:
        os.kill(holder, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives, but belongs to another user
        return True
    return True
