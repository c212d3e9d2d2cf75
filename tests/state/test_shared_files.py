"""What must not happen to files of several processes: folds at once, two leaders, impatience."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from proletto_otel.core import internal_errors
from proletto_otel.state import files, sqlite_file
from proletto_otel.state import leader as leader_module
from proletto_otel.state import snapshots as snapshots_module
from proletto_otel.state.leader import Leader
from proletto_otel.state.store import Store
from tests.state.test_snapshots import Worker, sold

AS_SHIPPED_S = sqlite_file.BUSY_S


def dead_worker(directory: Path, sales: int = 5) -> Worker:
    """A worker that published and ended."""
    worker = Worker(directory)
    worker.snapshots.start()
    worker.sell(sales)
    worker.snapshots.stop(time.monotonic() + 1)
    return worker


def published(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "workers").glob("*.json"))


def test_one_process_folds_at_a_time(tmp_path: Path) -> None:
    """While another one holds the lock nothing is moved; the next fold does it."""
    dead_worker(tmp_path)
    mine = Worker(tmp_path)
    waiting = published(tmp_path)
    with files.locked(tmp_path / "workers" / "fold.lock") as held:
        assert held
        mine.snapshots.fold()
        assert waiting == published(tmp_path)
    mine.snapshots.fold()

    assert [] == published(tmp_path)
    assert 5 == sold(mine)


def test_totals_that_cannot_be_written_cost_no_number(tmp_path: Path) -> None:
    """The files of the dead stay until their numbers are in the totals."""
    dead_worker(tmp_path)
    blocked = tmp_path / "workers" / "totals"
    blocked.mkdir()
    (blocked / "in-the-way").touch()
    mine = Worker(tmp_path)
    waiting = published(tmp_path)
    mine.snapshots.fold()

    assert 1 == len(waiting)
    assert waiting == published(tmp_path)
    assert 5 == sold(mine)
    (blocked / "in-the-way").unlink()
    blocked.rmdir()
    mine.snapshots.fold()
    assert waiting[0] not in published(tmp_path)
    assert 5 == sold(mine)


def test_files_of_the_living_are_never_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However old they are; what nobody alive owns goes."""
    monkeypatch.setattr(snapshots_module, "ORPHAN_S", 0.0)
    living, mine = Worker(tmp_path), Worker(tmp_path)
    living.snapshots.start()
    living.sell(3)
    living.snapshots.publish()
    (tmp_path / "workers" / "1-abc.live").touch()
    for path in (tmp_path / "workers").iterdir():
        os.utime(path, (0, 0))
    mine.snapshots.fold()

    assert 1 == len(published(tmp_path))
    assert 3 == sold(Worker(tmp_path))
    assert not (tmp_path / "workers" / "1-abc.live").exists()


def test_the_lock_of_a_file_that_was_just_deleted_is_no_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted between the opening and the locking: another process may hold the new file."""
    path = tmp_path / "lock"
    flock = fcntl.flock

    def too_late(descriptor: int, operation: int) -> None:
        path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(leader_module.fcntl, "flock", too_late)
    mine = Leader(path)
    led = mine.try_lead()
    monkeypatch.undo()

    assert (False, False) == (led, mine.is_leader)
    assert Leader(path).try_lead()


def test_a_writer_waits_for_another_ones_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it is set to, many times over here; nothing is refused for a short lock."""
    monkeypatch.setattr(sqlite_file, "BUSY_S", AS_SHIPPED_S * 10)
    store = Store(tmp_path)
    store.define("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
    assert store.write("INSERT INTO notes VALUES ('first')")
    other = sqlite3.connect(
        tmp_path / "store.sqlite", isolation_level=None, check_same_thread=False
    )
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.2, lambda: other.execute("COMMIT")).start()

    assert store.write("INSERT INTO notes VALUES ('second')")
    store.stop(time.monotonic() + 1)
    other.close()


def test_companions_of_a_corrupt_store_go_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that is left from the old file would be applied to the new one."""
    monkeypatch.setattr(internal_errors, "strict", False)
    (tmp_path / "store.sqlite").write_bytes(b"garbage" * 1000)
    store = Store(tmp_path)
    replace = os.replace

    def with_companions(source: Path, target: Path) -> None:
        replace(source, target)
        for suffix in sqlite_file.COMPANIONS:
            Path(f"{tmp_path / 'store.sqlite'}{suffix}").write_bytes(b"old" * 1000)
        kept.append(target)

    kept: list[Path] = []
    removed: list[str] = []
    unlink = os.unlink
    monkeypatch.setattr(os, "replace", with_companions)
    monkeypatch.setattr(os, "unlink", lambda path: (removed.append(str(path)), unlink(path))[1])
    store.define("CREATE TABLE IF NOT EXISTS notes (text TEXT)")

    assert store.write("INSERT INTO notes VALUES ('new')")
    assert 1 == len(kept)
    assert {f"{tmp_path / 'store.sqlite'}{s}" for s in sqlite_file.COMPANIONS} <= set(removed)
    store.stop(time.monotonic() + 1)


def test_an_emptied_store_is_made_anew(tmp_path: Path) -> None:
    """Truncated to nothing while it is open: the tables come back, no error reaches a caller."""
    store = Store(tmp_path)
    store.define("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
    assert store.write("INSERT INTO notes VALUES ('old')")
    os.truncate(tmp_path / "store.sqlite", 0)

    assert store.write("INSERT INTO notes VALUES ('new')")
    assert ["new"] == [row["text"] for row in store.query("SELECT text FROM notes")]
    store.stop(time.monotonic() + 1)


def test_a_damaged_publication_is_written_again(tmp_path: Path) -> None:
    """Even if no number changed since."""
    mine, other = Worker(tmp_path), Worker(tmp_path)
    mine.snapshots.start()
    mine.sell(2)
    mine.snapshots.publish()
    (path,) = (tmp_path / "workers").glob("*.json")
    os.truncate(path, 0)
    mine.snapshots.publish()

    assert 2 == sold(other)
