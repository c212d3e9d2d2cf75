"""When workers began and ended, and when a version of the service came: marks in charts.

Each worker publishes a line about itself; the leader stores what it sees. A restart of all workers
is in the store as their ends and beginnings.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state.store import Store, StoreUnavailable

if TYPE_CHECKING:
    import sqlite3

    from proletto_otel.state.readings import Annotation, WorkerLife

DDL = (
    "CREATE TABLE IF NOT EXISTS worker_lives (worker TEXT PRIMARY KEY, pid INTEGER NOT NULL,"
    " host TEXT NOT NULL, version TEXT NOT NULL, started REAL NOT NULL, seen REAL NOT NULL,"
    " ended REAL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS worker_lives_started ON worker_lives (started)",
    "CREATE TABLE IF NOT EXISTS deploys (at REAL PRIMARY KEY, version TEXT NOT NULL)",
)
MAX_LIVES = 1000
"""The latest workers; service managers that replace one a minute fill it in 16 hours."""
MAX_DEPLOYS = 200
SEEN_S = 10.0
"""How often a worker writes to the store that it lives."""
MAX_VERSION = 100
DEPLOY, STARTED, ENDED = "deploy", "worker_started", "worker_ended"


if TYPE_CHECKING:
    from typing import TypedDict

    class WorkerSection(TypedDict):
        """What one worker publishes about itself."""

        pid: int
        host: str
        version: str
        started: float


class OwnLife(Component):
    """What this process says of itself."""

    name = "worker_life"

    def __init__(self, version: str, now: Callable[[], float] = time.time) -> None:
        self._version = version[:MAX_VERSION]
        self._now = now
        self.forked()

    def forked(self) -> None:
        """A child begins now."""
        self._started = self._now()

    def section(self) -> WorkerSection:
        """The line in this process's snapshot."""
        return {
            "pid": os.getpid(), "host": socket.gethostname(), "version": self._version,
            "started": self._started,
        }  # fmt: skip


class WorkerLives:
    """Stores and reads the workers' lives.

    Args:
        store: The host's store.
        now: Unix seconds.
    """

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        store.define(*DDL)

    def record(self, living: Iterable[WorkerSection]) -> None:
        """Store who lives now; called by the leader."""
        now = self._now()
        alive = {f"{w['host']}/{w['pid']}/{w['started']}": w for w in living}
        try:
            with self._store.transaction() as db:
                known = {
                    row["worker"]: row
                    for row in db.execute("SELECT * FROM worker_lives WHERE ended IS NULL")
                }
                for worker in sorted(
                    alive.keys() - known.keys(), key=lambda w: alive[w]["started"]
                ):
                    _begin(db, worker, alive[worker], now)
                for worker, row in known.items():
                    _follow(db, worker, row["seen"], now, lives=worker in alive)
        except StoreUnavailable:
            return

    def living(self) -> tuple[WorkerLife, ...]:
        """The workers that live, the oldest first."""
        return self._lives("ended IS NULL ORDER BY started", ())

    def annotations(
        self, start: float, end: float, limit: int = 500, kind: str | None = None
    ) -> tuple[Annotation, ...]:
        """What happened from *start* to *end* (unix seconds), the latest *limit*, oldest first."""
        from proletto_otel.state.readings import Annotation

        deploys = self._store.query(
            "SELECT at, version FROM deploys WHERE at >= ? AND at < ?", (start, end)
        )
        found = [Annotation(time=d["at"], kind=DEPLOY, version=d["version"]) for d in deploys]
        # Charts ask for deploys alone; the lives of a thousand workers take longer to read.
        lived, times = "started < ? AND coalesce(ended, ?) >= ?", (end, end, start)
        if kind == ENDED:  # every page asks for those of the last minutes: hardly any
            lived, times = "ended < ? AND coalesce(ended, ?) >= ?", (end, end, start)
        for life in () if kind == DEPLOY else self._lives(lived, times):
            for at, what in ((life.started, STARTED), (life.ended, ENDED)):
                if at is not None and start <= at < end:
                    found.append(
                        Annotation(
                            time=at, kind=what, version=life.version, pid=life.pid, host=life.host
                        )
                    )
        wanted = [a for a in found if kind in (None, a.kind)]
        return tuple(sorted(wanted, key=lambda a: a.time)[-limit:])

    def last_deploy(self) -> Annotation | None:
        """When a version came last; None where no version is set."""
        from proletto_otel.state.readings import Annotation

        rows = self._store.query("SELECT at, version FROM deploys ORDER BY at DESC LIMIT 1")
        found = [Annotation(time=r["at"], kind=DEPLOY, version=r["version"]) for r in rows]
        return found[0] if found else None

    def _lives(self, where: str, params: tuple[object, ...]) -> tuple[WorkerLife, ...]:
        from proletto_otel.state.readings import WorkerLife

        rows = self._store.query(f"SELECT * FROM worker_lives WHERE {where}", params)
        return tuple(
            WorkerLife(
                pid=r["pid"], host=r["host"], version=r["version"], started=r["started"],
                ended=r["ended"],
            )
            for r in rows
        )  # fmt: skip


def _begin(db: sqlite3.Connection, worker: str, life: WorkerSection, now: float) -> None:
    version = life["version"]
    if version:
        last = db.execute("SELECT version FROM deploys ORDER BY at DESC LIMIT 1").fetchone()
        # During a rolling update workers of the version before are still replaced: that is no
        # deploy of it. Where none of them lives any more it is one, back to that version.
        others = db.execute(
            "SELECT 1 FROM worker_lives WHERE version = ? AND (ended IS NULL OR ended > ?)",
            (version, now - SEEN_S),
        ).fetchone()
        if last is None or (last["version"] != version and others is None):
            db.execute("INSERT OR REPLACE INTO deploys VALUES (?, ?)", (life["started"], version))
            db.execute(
                "DELETE FROM deploys WHERE at NOT IN"
                f" (SELECT at FROM deploys ORDER BY at DESC LIMIT {MAX_DEPLOYS})"
            )
    db.execute(
        "INSERT OR REPLACE INTO worker_lives VALUES (?, ?, ?, ?, ?, ?, NULL)",
        (worker, life["pid"], life["host"], version, life["started"], now),
    )
    db.execute(
        "DELETE FROM worker_lives WHERE started < (SELECT started FROM worker_lives"
        f" ORDER BY started DESC LIMIT 1 OFFSET {MAX_LIVES})"
    )


def _follow(db: sqlite3.Connection, worker: str, seen: float, now: float, *, lives: bool) -> None:
    if not lives:
        # After a time without a leader nobody knows when it was: when somebody last saw it.
        ended = now if now - seen <= 2 * SEEN_S else seen
        db.execute("UPDATE worker_lives SET ended = ? WHERE worker = ?", (ended, worker))
    elif now - seen >= SEEN_S:
        db.execute("UPDATE worker_lives SET seen = ? WHERE worker = ?", (now, worker))
