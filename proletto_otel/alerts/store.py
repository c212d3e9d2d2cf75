"""What a host remembers about its alerts, so a restart or a new leader repeats none.

States, silences, the events of the past and the outbox change in one transaction.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson

from proletto_otel.alerts.notices import Notice, PastNotice
from proletto_otel.alerts.request_window import WINDOW_S, Totals
from proletto_otel.alerts.silences import Silence
from proletto_otel.alerts.states import AlertState, rebooted
from proletto_otel.notify.outbox import Outbox, OutboxEntry
from proletto_otel.state.store import Store

MAX_EVENTS = 1000
"""Past alerts that the pages can show."""
FORGET_S = 86400.0
"""A state nobody evaluated for a day belongs to a threshold that is gone."""

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS alert_states (
        name TEXT PRIMARY KEY, boot TEXT NOT NULL, at REAL NOT NULL, body BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS alert_silences (
        name TEXT NOT NULL, kind TEXT NOT NULL, until REAL NOT NULL, by_whom TEXT NOT NULL,
        level TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (name, kind))""",
    """CREATE TABLE IF NOT EXISTS alert_events (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS alert_window (
        boot TEXT NOT NULL, mono REAL NOT NULL, body BLOB NOT NULL, PRIMARY KEY (boot, mono))""",
)

_STATE_FIELDS = {f.name for f in fields(AlertState)}


def boot_id() -> str:
    """Changes when the machine starts, and with it the origin of the monotonic clock."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        # No such file (macOS): the start of the machine as a unix time, cut to 100 seconds because
        # both clocks drift against each other.
        return f"{time.time() - time.monotonic():.0f}"[:-2]


class AlertStore:
    """Reads and writes what the evaluator knows."""

    def __init__(
        self, store: Store, *, boot: str | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._now = now
        self.boot = boot or boot_id()
        store.define(*SCHEMA)
        self.outbox = Outbox(store, now=now)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One change of everything.

        Raises:
            StoreUnavailable: when there is no store now.
        """
        with self._store.transaction() as connection:
            yield connection

    def states(self, connection: sqlite3.Connection) -> dict[str, AlertState]:
        """All states; after a reboot without their windows."""
        rows = connection.execute("SELECT name, boot, at, body FROM alert_states").fetchall()
        return {row["name"]: self._state(row) for row in rows}

    def peek(self) -> dict[str, AlertState]:
        """All states, read without a transaction (pages)."""
        rows = self._store.query("SELECT name, boot, at, body FROM alert_states")
        return {row["name"]: self._state(row) for row in rows}

    def save(self, connection: sqlite3.Connection, states: Iterable[AlertState]) -> None:
        """Write states; forget those nobody evaluates any more."""
        at = self._now()
        connection.executemany(
            "INSERT OR REPLACE INTO alert_states (name, boot, at, body) VALUES (?, ?, ?, ?)",
            [(s.name, self.boot, at, orjson.dumps(s)) for s in states],
        )
        # `at` is the time of writing, so every state that is still evaluated is younger than this.
        connection.execute("DELETE FROM alert_states WHERE at < ?", (at - FORGET_S,))

    def silences(self, connection: sqlite3.Connection | None = None) -> list[Silence]:
        """Silences and acknowledgements that still hold."""
        sql, params = "SELECT * FROM alert_silences WHERE until > ?", (self._now(),)
        rows = connection.execute(sql, params) if connection else self._store.query(sql, params)
        return [
            Silence(
                name=row["name"], kind=row["kind"], until=row["until"], by=row["by_whom"],
                level=row["level"], reason=row["reason"], at=row["at"],
            )
            for row in rows
        ]  # fmt: skip

    def keep_silence(self, silence: Silence) -> None:
        """Write a silence or an acknowledgement; it replaces the one of its kind.

        Raises:
            StoreUnavailable: when there is no store now.
        """
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM alert_silences WHERE until <= ?", (self._now(),))
            connection.execute(
                """INSERT OR REPLACE INTO alert_silences
                (name, kind, until, by_whom, level, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?)""",
                (
                    silence.name, silence.kind, silence.until, silence.by, silence.level,
                    silence.reason, silence.at,
                ),
            )  # fmt: skip

    def end_silence(self, name: str, kind: str) -> bool:
        """End a silence before its time; return whether there was one.

        Raises:
            StoreUnavailable: when there is no store now.
        """
        with self._store.transaction() as connection:
            gone = connection.execute(
                "DELETE FROM alert_silences WHERE name = ? AND kind = ?", (name, kind)
            )
            return int(gone.rowcount) > 0

    def post(
        self, connection: sqlite3.Connection, notice: Notice, channels: Iterable[str]
    ) -> list[OutboxEntry]:
        """Write a notice into the past and into the outbox of each channel."""
        channels = tuple(channels)
        connection.execute(
            "INSERT INTO alert_events (at, name, body) VALUES (?, ?, ?)",
            (notice.at, notice.name, orjson.dumps({**asdict(notice), "channels": channels})),
        )
        connection.execute(
            # by ID, not by count: a range scan of the primary key, whatever the table holds
            "DELETE FROM alert_events WHERE id <= (SELECT max(id) - ? FROM alert_events)",
            (MAX_EVENTS,),
        )
        notification = notice.as_notification()
        return [self.outbox.put(connection, channel, notification) for channel in channels]

    def events(self, limit: int = 100) -> list[PastNotice]:
        """The notices of the past, newest first."""
        rows = self._store.query("SELECT body FROM alert_events ORDER BY id DESC LIMIT ?", (limit,))
        found = []
        for row in rows:
            # What another release wrote may not be readable: the page leaves it out.
            with suppress(TypeError, ValueError):
                data = orjson.loads(row["body"])
                found.append(PastNotice(**{**data, "channels": tuple(data.get("channels", ()))}))
        return found

    def keep_reading(self, connection: sqlite3.Connection, mono: float, totals: Totals) -> None:
        """Remember a reading of the request totals for the next leader."""
        connection.execute(
            "INSERT OR REPLACE INTO alert_window (boot, mono, body) VALUES (?, ?, ?)",
            (self.boot, mono, orjson.dumps(totals)),
        )
        connection.execute(
            # Monotonic times of another boot mean nothing, and those after now are of a clock that
            # was reset. Twice the window: one reading before its start is needed.
            "DELETE FROM alert_window WHERE boot != ? OR mono < ? OR mono > ?",
            (self.boot, mono - 2 * WINDOW_S, mono),
        )

    def readings(self, connection: sqlite3.Connection, mono: float) -> list[tuple[float, Totals]]:
        """The readings an earlier leader left, oldest first."""
        rows = connection.execute(
            "SELECT mono, body FROM alert_window WHERE boot = ? AND mono BETWEEN ? AND ? "
            "ORDER BY mono",
            (self.boot, mono - 2 * WINDOW_S, mono),
        )
        return [(row["mono"], Totals.load(orjson.loads(row["body"]))) for row in rows]

    def _state(self, row: sqlite3.Row) -> AlertState:
        # Fields that this release does not know are left out: a newer worker may have written them
        # during a rolling update.
        known: Mapping[str, Any] = orjson.loads(row["body"])
        state = AlertState(**{k: v for k, v in known.items() if k in _STATE_FIELDS})
        return state if row["boot"] == self.boot else rebooted(state)
