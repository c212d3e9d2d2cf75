"""The host's memory: one SQLite database that all workers share, never touched by a request.

Each part of the package has its own tables here (`define`). A store that cannot be used is replaced
by one in memory, for this process alone, until it can be used again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proletto_otel.core.conventions import STORE_ERRORS
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.core.metrics.registry import registry
from proletto_otel.core.ownership import give_to_owner, make_directories
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state import sqlite_file

if TYPE_CHECKING:
    import sqlite3

RETRY_S = 5.0
"""How soon a store that failed is tried again."""
PROBE = "PRAGMA user_version=1"
"""A write: memory is given up only for a file that takes one (a full disk opens well)."""
Row = Sequence[Any] | Mapping[str, Any]


class StoreUnavailable(Exception):
    """The store cannot be used now; the caller holds on to its data and tries again later."""


class Store(Component):
    """A connection per process, one transaction at a time.

    Args:
        directory: Where `store.sqlite` lies; None: in memory only.
    """

    name = "store"
    stops_last = True
    gate: threading.RLock

    def __init__(self, directory: Path | None) -> None:
        self._path = directory / "store.sqlite" if directory is not None else None
        self._ddl: list[str] = []
        self._errors = registry.counter(STORE_ERRORS)
        self.last_error = ""
        self.forked()

    def forked(self) -> None:
        """A child opens its own connection; the parent's is left alone, not closed."""
        self._lock = threading.RLock()
        self.gate = self._lock
        # SQLite forbids any use of a connection in a child process, closing it included. It is
        # stored where no garbage collection closes it.
        inherited = getattr(self, "_db", None)
        if inherited is not None:
            _abandoned.append(inherited)
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._in_memory = False
        self._retry_at = 0.0

    @property
    def shared(self) -> bool:
        """Whether other processes see what is written here."""
        return self._path is not None and not self._in_memory

    def __del__(self) -> None:
        """A store that nobody stopped leaves no open file."""
        self._close()

    def start(self) -> None:
        """Nothing to start: the database opens with its first use."""

    def stop(self, deadline: float) -> None:
        """Close the connection."""
        # With a timeout: a thread may hang in a transaction, and the end of the process must not.
        if self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            try:
                self._close()
            finally:
                self._lock.release()

    def define(self, *ddl: str) -> None:
        """Make sure that tables and indexes exist (`CREATE … IF NOT EXISTS`)."""
        with self._lock:
            new = [statement for statement in ddl if statement not in self._ddl]
            self._ddl.extend(new)
            if self._in_memory and self._db is not None:  # closing it would lose what it holds
                for statement in new:
                    self._db.execute(statement)
            elif new:  # closed, so that the next use creates the tables
                self._close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction that writes; committed at the end, rolled back on an exception.

        Raises:
            StoreUnavailable: the database is locked, full, corrupt or gone.
            sqlite3.Error: the caller's mistake, such as a row that a constraint refuses.
        """
        import sqlite3

        # One lock for the process: an SQLite connection has one transaction, whatever the threads.
        with self._lock:
            db = self._begin()
            try:
                yield db
                db.execute("COMMIT")
            except sqlite3.Error as error:
                sqlite_file.roll_back(db)
                if sqlite_file.is_mistake(error):
                    raise
                self._broken(error)
                raise StoreUnavailable(str(error)) from error
            except BaseException:  # also KeyboardInterrupt: an open transaction blocks the host
                sqlite_file.roll_back(db)
                raise

    def _begin(self) -> sqlite3.Connection:
        import sqlite3

        # A second try: the file may have been removed or damaged since it was opened.
        for attempt in (1, 2):
            try:
                db = self._open()
                # IMMEDIATE: the write lock is taken first. A transaction that reads first and
                # writes later fails at once with "locked" when another process wrote in between,
                # without any wait.
                db.execute("BEGIN IMMEDIATE")
                return db
            except (sqlite3.Error, OSError) as error:
                self._broken(error)
                if attempt == 2 or sqlite_file.is_locked(error):
                    raise StoreUnavailable(str(error)) from error
        raise StoreUnavailable("unreachable")

    def write(self, sql: str, rows: Iterable[Row] = ((),)) -> bool:
        """Run *sql* once per row in one transaction; False when the store is unavailable."""
        with suppressed("store.write"), contextlib.suppress(StoreUnavailable):
            with self.transaction() as db:
                db.executemany(sql, rows) if "?" in sql or ":" in sql else db.execute(sql)
            return True
        return False

    def query(self, sql: str, params: Row = ()) -> list[sqlite3.Row]:
        """The rows of a SELECT; none when the store is unavailable."""
        with suppressed("store.query"), contextlib.suppress(StoreUnavailable):
            return self.select(sql, params)
        return []

    def select(self, sql: str, params: Row = ()) -> list[sqlite3.Row]:
        """As `query`, for who says why there are no rows.

        Raises:
            StoreUnavailable: the database is locked, corrupt or gone.
        """
        import sqlite3

        with self._lock:
            try:
                return self._open().execute(sql, params).fetchall()
            except (sqlite3.Error, OSError) as error:
                if sqlite_file.is_mistake(error):
                    raise
                self._broken(error)
                raise StoreUnavailable(str(error)) from error

    @contextmanager
    def hurried(self, wait_s: float) -> Iterator[None]:
        """Within it this thread waits only *wait_s* for other threads and processes: for pages.

        Raises:
            StoreUnavailable: another thread of this process uses the store for longer.
        """
        if not self._lock.acquire(timeout=wait_s):
            raise StoreUnavailable("another thread uses the store")
        try:
            self._wait_at_most(wait_s)
            yield
        finally:
            self._wait_at_most(sqlite_file.BUSY_S)
            self._lock.release()

    def _wait_at_most(self, seconds: float) -> None:
        if self._db is not None:
            wait = f"PRAGMA busy_timeout={int(seconds * 1000)}"
            sqlite_file.quietly(partial(self._db.execute, wait))

    def size_bytes(self) -> int:
        """Space the database takes on disk, its journal included."""
        if self._path is None:
            return 0
        return sqlite_file.size_bytes(self._path)

    # --- opening, and what can go wrong ---------------------------------------------------------
    def _open(self) -> sqlite3.Connection:
        if self._db is not None and not self._outdated():
            return self._db
        if not self._in_memory:
            self._close()
        shared = self._open_shared()
        if shared is None:
            if self._db is None:
                self._db = self._connect(":memory:")
                self._in_memory = True
            return self._db
        self._close()  # what was in memory
        self._db, self._in_memory, self.last_error = shared, False, ""
        return shared

    def _open_shared(self) -> sqlite3.Connection | None:
        if self._path is None or time.monotonic() < self._retry_at:
            return None
        import sqlite3

        for _ in range(2):  # once more after a corrupt file was set aside
            try:
                return self._connect(str(self._path))
            except (sqlite3.Error, OSError) as error:
                if sqlite_file.is_locked(error):
                    raise  # in use, so not lost: memory would hide what is written there
                if not self._can_reopen(error):
                    break
        return None

    def _outdated(self) -> bool:
        """The file was removed, replaced or emptied, or memory stands in and may be left again."""
        if self._in_memory:
            return self._path is not None and time.monotonic() >= self._retry_at
        if self._path is None:
            return False
        try:
            found = os.stat(self._path)
        except OSError:
            return True
        # emptied: the tables are gone and have to be made again
        return (found.st_ino, found.st_dev) != self._identity or not found.st_size

    def _connect(self, path: str) -> sqlite3.Connection:
        if self._path is not None and path != ":memory:":
            make_directories(self._path.parent, 0o700)
            # Made before SQLite does it: that would follow the umask, and others could read it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            give_to_owner(self._path)
            self._identity = sqlite_file.identity(self._path)
        db = sqlite_file.connect(path)
        try:
            back = (PROBE,) if self._in_memory and path != ":memory:" else ()
            for statement in (*sqlite_file.PRAGMAS, *self._ddl, *back):
                sqlite_file.patiently(db, statement)
        except BaseException:
            db.close()
            raise
        return db

    def _close(self) -> None:
        if self._db is not None:
            sqlite_file.quietly(self._db.close)
            self._db = None

    def _broken(self, error: Exception) -> None:
        """What is open failed: count it, and open anew if that can help."""
        if not sqlite_file.is_locked(error):
            self._close()
        self._can_reopen(error)

    def _can_reopen(self, error: Exception) -> bool:
        """Count the failure; set a corrupt file aside, or leave the file alone for a while.

        Returns:
            Whether the file can be opened anew at once.
        """
        self.last_error = str(error)
        if sqlite_file.is_locked(error):
            self._errors.cell(("locked",)).add(1)
            return False
        corrupt = sqlite_file.is_corrupt(error)
        self._errors.cell(("corrupt" if corrupt else "unavailable",)).add(1)
        if corrupt and self._path is not None and sqlite_file.set_aside(self._path, self._identity):
            return True
        self._retry_at = time.monotonic() + RETRY_S
        log_rate_limited(
            "store", "the state store cannot be used (%s); trying again", self.last_error
        )
        return False


_abandoned: list[sqlite3.Connection] = []
"""Connections a child inherited: closing them would release the parent's locks on the file."""
