"""What all workers of a host know about their checks: one row a check, and its changes.

Without a store that works, a process uses what it found out itself.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.health.results import Outcome
from proletto_otel.health.states import CheckState, Rules, Transition, advance
from proletto_otel.state.store import Store, StoreUnavailable

MAX_TRANSITIONS = 5000
"""Changes stored for all checks together: a check that flaps every minute fills it in 40 hours."""
RETENTION_S = 90 * 86400.0
"""Changes older than a quarter of a year are deleted."""

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS health_states (
        name TEXT PRIMARY KEY, status TEXT NOT NULL, since REAL NOT NULL, checked_at REAL NOT NULL,
        duration_s REAL NOT NULL, failures INTEGER NOT NULL, message TEXT NOT NULL,
        critical INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS health_transitions (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, at REAL NOT NULL, previous TEXT NOT NULL,
        status TEXT NOT NULL, message TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS health_transitions_name ON health_transitions (name, at)",
)

_UPSERT = """INSERT OR REPLACE INTO health_states
    (name, status, since, checked_at, duration_s, failures, message, critical)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_CHANGED = """INSERT INTO health_transitions (name, at, previous, status, message)
    VALUES (?, ?, ?, ?, ?)"""
_PRUNE = """DELETE FROM health_transitions WHERE at < ? OR id <= (
    SELECT max(id) - ? FROM health_transitions)"""


class Criticality(Protocol):
    """Says whether a check is critical."""

    def __call__(self, name: str) -> bool: ...


class HealthStore:
    """Reads and writes the states; `record` is the only place where they change."""

    def __init__(self, store: Store, rules: Rules, now: Callable[[], float] = time.time) -> None:
        self.rules = rules
        self._store = store
        self._now = now
        self._own: dict[str, CheckState] = {}
        store.define(*SCHEMA)

    def load(self) -> dict[str, CheckState]:
        """Every state the host knows; this process's own ones while the store does not work."""
        rows = self._store.query("SELECT * FROM health_states")
        # A store that does not work answers with no rows, as an empty one does.
        return {row["name"]: _state(row) for row in rows} or dict(self._own)

    def record(
        self, outcomes: Iterable[Outcome], critical: Criticality, min_age_s: float = 0.0
    ) -> dict[str, CheckState]:
        """Let *outcomes* change the states; return the new ones.

        A state younger than *min_age_s* stays: another worker was faster, its failure counts once.
        """
        at, outcomes = self._now(), list(outcomes)
        try:
            with self._store.transaction() as connection:
                # Read within the transaction: another process may have counted the same failure.
                rows = connection.execute("SELECT * FROM health_states").fetchall()
                before = {row["name"]: _state(row) for row in rows}
                after, changes = self._advance(before, outcomes, critical, at, min_age_s)
                _write(connection, after, changes, at)
        except StoreUnavailable:
            after, _ = self._advance(self._own, outcomes, critical, at, min_age_s)
        # Also while the store works: should it fail, the next outcome continues from here.
        self._own.update({state.name: state for state in after})
        return {state.name: state for state in after}

    def transitions(self, name: str, since: float = 0.0, limit: int = 200) -> list[Transition]:
        """Changes of one check from *since* on (and the last one before), oldest first."""
        # The last change before the window too: it says which state the window begins in.
        rows = self._store.query(
            """SELECT * FROM health_transitions WHERE name = ? AND at >= coalesce(
                (SELECT max(at) FROM health_transitions WHERE name = ? AND at <= ?), 0)
                ORDER BY at DESC, id DESC LIMIT ?""",
            (name, name, since, limit),
        )
        return [
            Transition(
                name=row["name"], at=row["at"], previous=row["previous"], status=row["status"],
                message=row["message"],
            )
            for row in reversed(rows)
        ]  # fmt: skip

    def forget(self, names: Sequence[str]) -> None:
        """Delete the states of checks that are no longer registered."""
        for name in names:
            self._own.pop(name, None)
        with suppressed("health.forget"):
            self._store.write("DELETE FROM health_states WHERE name = ?", [(n,) for n in names])

    def _advance(
        self, before: dict[str, CheckState], outcomes: list[Outcome], critical: Criticality,
        at: float, min_age_s: float,
    ) -> tuple[list[CheckState], list[Transition]]:  # fmt: skip
        states: list[CheckState] = []
        changes: list[Transition] = []
        for outcome in outcomes:
            known = before.get(outcome.name)
            # Without it, three workers asked at once would count one failure three times.
            if known is not None and known.checked_at > at - min_age_s:
                states.append(known)
                continue
            state, changed = advance(known, outcome, at, self.rules, critical(outcome.name))
            states.append(state)
            changes += changed
        return states, changes


def _write(
    connection: sqlite3.Connection, states: list[CheckState], changes: list[Transition], at: float
) -> None:
    connection.executemany(
        _UPSERT,
        [(s.name, s.status, s.since, s.checked_at, s.duration_s, s.failures, s.message,
          int(s.critical)) for s in states],
    )  # fmt: skip
    if changes:
        rows = [(c.name, c.at, c.previous, c.status, c.message) for c in changes]
        connection.executemany(_CHANGED, rows)
        connection.execute(_PRUNE, (at - RETENTION_S, MAX_TRANSITIONS))


def _state(row: sqlite3.Row) -> CheckState:
    return CheckState(
        name=row["name"], status=row["status"], since=row["since"], checked_at=row["checked_at"],
        duration_s=row["duration_s"], failures=row["failures"], message=row["message"],
        critical=bool(row["critical"]),
    )  # fmt: skip
