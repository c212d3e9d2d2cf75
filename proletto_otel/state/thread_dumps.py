"""Stacks of all threads of a worker, asked for by an operator and answered by that worker.

A request is a row in the host's store; `state.control` says that there is one, the worker with that
process ID writes its stacks into the row (`runtime.thread_stacks`).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.record import record
from proletto_otel.state.control import NEVER, HostControl
from proletto_otel.state.store import Store

if TYPE_CHECKING:
    from proletto_otel.runtime.thread_stacks import ThreadStack

DDL = (
    "CREATE TABLE IF NOT EXISTS thread_dumps (id INTEGER PRIMARY KEY, pid INTEGER NOT NULL,"
    " host TEXT NOT NULL, asked REAL NOT NULL, by TEXT NOT NULL, answered REAL, body BLOB)",
)
MAX_DUMPS = 10
"""Dumps stored, each at most 64 kB and a little."""
KEPT_S = 3600.0
"""How long an answer can be read."""
PATIENCE_S = 30.0
"""A worker answers only what was asked so lately: later nobody waits for it."""
MAX_TEXT = 200


@record(frozen=True, slots=True, kw_only=True)
class ThreadDump:
    """One request and its answer."""

    pid: int
    host: str
    asked: float
    """Unix seconds."""
    by: str
    answered: float | None
    """Unix seconds; None: not (yet)."""
    threads: tuple[ThreadStack, ...]

    @property
    def overdue(self) -> bool:
        """Whether it will not be answered any more."""
        return self.answered is None and time.time() - self.asked > PATIENCE_S


class ThreadDumps:
    """Asks, answers, shows.

    Args:
        store: The host's store.
        control: Tells the other workers.
        clean: Takes secrets out of texts.
        now: Unix seconds.
    """

    def __init__(
        self, store: Store, control: HostControl, clean: Callable[[str], str] = str,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._store = store
        self._control = control
        self._clean = clean
        self._now = now
        self._host = socket.gethostname()
        store.define(*DDL)
        control.listen(self._answer)

    def ask(self, pid: int, by: str, host: str = "") -> None:
        """Ask the worker *pid* for its stacks; it answers within about two seconds.

        Args:
            pid: Its process ID.
            by: Who asks.
            host: Its host's name; empty: this one.

        Raises:
            ConfigError: the host's store cannot be written.
        """
        now = self._now()
        stored = self._store.write(
            "INSERT INTO thread_dumps (pid, host, asked, by) VALUES (?, ?, ?, ?)",
            [(pid, host or self._host, now, str(by)[:MAX_TEXT])],
        )
        if not stored:
            raise ConfigError("it could not be stored: the host's store cannot be written")
        self._store.write(
            "DELETE FROM thread_dumps WHERE asked < ? OR id NOT IN"
            f" (SELECT id FROM thread_dumps ORDER BY id DESC LIMIT {MAX_DUMPS})",
            [(now - KEPT_S,)],
        )
        self._control.announce()

    def latest(self) -> list[ThreadDump]:
        """What was asked in the last hour, newest first."""
        rows = self._store.query(
            "SELECT * FROM thread_dumps WHERE asked >= ? ORDER BY id DESC", (self._now() - KEPT_S,)
        )
        return [_dump(dict(row)) for row in rows]

    def _answer(self) -> float:
        """Answer what this process was asked."""
        mine = self._store.select(
            "SELECT id FROM thread_dumps WHERE pid = ? AND host = ? AND answered IS NULL"
            " AND asked > ?",
            (os.getpid(), self._host, self._now() - PATIENCE_S),
        )
        if mine:
            from proletto_otel.runtime.thread_stacks import thread_stacks

            body = orjson.dumps([asdict(stack) for stack in thread_stacks(self._clean)])
            self._store.write(
                "UPDATE thread_dumps SET answered = ?, body = ? WHERE id = ?",
                [(self._now(), body, row["id"]) for row in mine],
            )
        return NEVER


def _dump(row: dict[str, Any]) -> ThreadDump:
    stacks = orjson.loads(row["body"]) if row["body"] else []
    from proletto_otel.runtime.thread_stacks import ThreadStack

    threads = tuple(ThreadStack(**{**stack, "frames": tuple(stack["frames"])}) for stack in stacks)
    return ThreadDump(
        pid=row["pid"], host=row["host"], asked=row["asked"], by=row["by"],
        answered=row["answered"], threads=threads,
    )  # fmt: skip
