"""An SQLite file that several processes write: how it is opened, and what its errors mean.

The driver is imported when a file is opened, by a thread that no request waits for. When that is,
and what follows an error, is decided in `state.store`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from proletto_otel.core.internal_errors import log_rate_limited

if TYPE_CHECKING:
    import sqlite3

BUSY_S = 2.0
"""How long a writer waits for another process's transaction."""
CACHE_KIB = 512
"""Pages that a connection keeps in memory; 2,000 by default, which a file of some days fills. What
is not kept comes from the kernel's cache: rows of 1.2 MB take 3.2 ms in place of 3.0."""
MAX_PAGES = 65_536
"""Size cap: 256 MiB at SQLite's page size of 4 KiB."""
PRAGMAS = (
    # not WAL: its index is a mapped file, and whoever truncates that kills every worker (SIGBUS)
    "PRAGMA journal_mode=TRUNCATE",
    "PRAGMA mmap_size=0",
    # A process that dies loses nothing. After a power cut the file may be corrupt, and is set
    # aside then; a flush for each transaction costs 12 ms instead of 0.8 and would let workers
    # wait for each other.
    "PRAGMA synchronous=OFF",
    f"PRAGMA max_page_count={MAX_PAGES}",
    f"PRAGMA cache_size=-{CACHE_KIB}",
    "PRAGMA auto_vacuum=INCREMENTAL",
)
COMPANIONS = ("-journal", "-wal", "-shm")
"""Files that SQLite writes beside a database (the last two: of earlier releases). One that is left
from an old file would be applied to a new one."""


def connect(path: str) -> sqlite3.Connection:
    """A connection that waits for others, and whose transactions begin in `state.store`."""
    import sqlite3

    # isolation_level=None: transactions start there, not in the driver. Threads may share the
    # connection because one at a time is let in.
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    return db


def quietly(call: Callable[[], object]) -> None:
    """Call *call*; what SQLite says against it is of no interest."""
    # No look for SQLite's own class: at the interpreter's end nothing can be imported any more.
    with contextlib.suppress(Exception):
        call()


def roll_back(db: sqlite3.Connection) -> None:
    """End the transaction, if there is one, without its changes."""
    quietly(lambda: db.execute("ROLLBACK"))


def patiently(db: sqlite3.Connection, statement: str) -> None:
    """Run *statement*, waiting up to `BUSY_S` for a lock: SQLite does not for a journal mode."""
    import sqlite3

    # Polled every 10 ms, as the busy timeout does not apply to a change of the journal mode.
    end = time.monotonic() + BUSY_S
    while True:
        try:
            db.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() >= end:
                raise
        time.sleep(0.01)


def is_locked(error: Exception) -> bool:
    """Whether another process uses the file now."""
    import sqlite3

    text = str(error)
    return isinstance(error, sqlite3.Error) and ("locked" in text or "busy" in text)


def is_mistake(error: Exception) -> bool:
    """Whether the statement is wrong, not the database."""
    import sqlite3

    text = str(error)
    if isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError)):
        return "closed" not in text
    # SQLite has no code of its own for these: a wrong statement and a failing disk are both an
    # OperationalError, so the text decides.
    wrong = text.startswith(("no such", "near ", "table ", "incomplete input"))
    mistakes = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.NotSupportedError)
    return isinstance(error, mistakes) or (isinstance(error, sqlite3.OperationalError) and wrong)


def is_corrupt(error: Exception) -> bool:
    """Whether the file is damaged: opening it again would not help."""
    import sqlite3

    words = ("malformed", "not a database", "corrupt")
    return isinstance(error, sqlite3.DatabaseError) and any(word in str(error) for word in words)


def identity(path: Path) -> tuple[int, int]:
    """Inode and device: another file under the same name differs."""
    found = os.stat(path)
    return found.st_ino, found.st_dev


def size_bytes(path: Path) -> int:
    """Space the database takes on disk, its journal included."""
    total = 0
    for suffix in ("", *COMPANIONS):
        with contextlib.suppress(OSError):
            total += os.stat(f"{path}{suffix}").st_size
    return total


def set_aside(path: Path, known: tuple[int, int] | None) -> bool:
    """Rename a corrupt database, unless another file than the *known* one is there by now.

    Returns:
        Whether the name is free for a new one, or leads to one.
    """
    aside = path.with_name(f"{path.name}.corrupt-{int(time.time())}")
    try:
        if identity(path) != known:
            return True  # another worker was faster: the new file is not the broken one
        os.replace(path, aside)
    except OSError:
        return False
    for suffix in COMPANIONS:
        with contextlib.suppress(OSError):
            os.unlink(f"{path}{suffix}")
    log_rate_limited("store.corrupt", "the state store was corrupt: set aside as %s", aside.name)
    return True
