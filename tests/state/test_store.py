"""The host's store: shared, bounded, and never in anybody's way."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proletto_otel.core import internal_errors
from proletto_otel.state import sqlite_file
from proletto_otel.state import store as module
from proletto_otel.state.store import Store, StoreUnavailable
from tests.waiting import PATIENCE_S, until

DDL = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE)"
ADD = "INSERT INTO notes (text) VALUES (?)"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are seconds in production are moments here."""
    monkeypatch.setattr(sqlite_file, "BUSY_S", 0.2)
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    internal_errors.forget_logged()


@pytest.fixture
def opened() -> list[Store]:
    return []


@pytest.fixture
def make(tmp_path: Path, opened: list[Store]):
    def make(directory: Path | None = tmp_path) -> Store:
        store = Store(directory)
        store.define(DDL)
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.stop(time.monotonic() + 1)


def texts(store: Store) -> list[str]:
    return [row["text"] for row in store.query("SELECT text FROM notes ORDER BY id")]


def test_what_one_process_writes_the_others_read(make: Callable[..., Store]) -> None:
    """Two connections to one directory share one database."""
    a, b = make(), make()

    assert a.write(ADD, [("one",), ("two",)])
    assert ["one", "two"] == texts(b)


def test_a_transaction_is_all_or_nothing(make: Callable[..., Store]) -> None:
    """An exception inside rolls back, and leaves unchanged."""
    store = make()

    def fail() -> None:
        with store.transaction() as db:
            db.execute(ADD, ("lost",))
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert [] == texts(store)
    assert store.write(ADD, [("kept",)])


def _claims(directory: str, n: int, results) -> None:
    store = Store(Path(directory))
    store.define("CREATE TABLE IF NOT EXISTS claims (id INTEGER PRIMARY KEY, who INTEGER)")
    won = 0
    for i in range(n):
        with store.transaction() as db:
            sql = "INSERT OR IGNORE INTO claims VALUES (?, ?)"
            won += db.execute(sql, (i, os.getpid())).rowcount
    results.put(won)
    store.stop(time.monotonic() + 1)


def test_one_of_many_processes_wins_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four processes claim the same fifty things: each is won exactly once."""
    monkeypatch.setattr(sqlite_file, "BUSY_S", 10)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    workers = [context.Process(target=_claims, args=(str(tmp_path), 50, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    won = [results.get() for _ in workers]
    for worker in workers:
        worker.join()

    assert 50 == sum(won)


def test_a_lock_held_elsewhere_is_unavailable_not_waited_for(
    make: Callable[..., Store], tmp_path: Path
) -> None:
    """A stuck writer costs a bounded wait; afterwards the store is the shared one as before."""
    store = make()
    store.write(ADD, [("one",)])
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable), store.transaction():
        pass
    assert not store.write(ADD, [("refused",)])
    assert ["one"] == texts(store)
    other.execute("ROLLBACK")
    other.close()

    assert store.write(ADD, [("two",)])
    assert ["one", "two"] == texts(make())


def test_a_lock_met_while_opening_hides_nothing_in_memory(
    make: Callable[..., Store], tmp_path: Path
) -> None:
    """Workers that open the new file at once wait for each other: none goes on by itself."""
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    store = make()
    assert not store.write(ADD, [("refused",)])
    assert [] == texts(store)
    assert store.shared
    other.execute("ROLLBACK")
    other.close()

    assert store.write(ADD, [("one",)])
    assert ["one"] == texts(make())


@pytest.mark.parametrize(
    "garbage", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 9000]
)
def test_a_corrupt_file_is_set_aside(
    make: Callable[..., Store], tmp_path: Path, garbage: bytes
) -> None:
    """The file stays for a person to look at, and a new one made, at the first use."""
    (tmp_path / "store.sqlite").write_bytes(garbage)
    store = make()

    assert store.write(ADD, [("new",)])
    assert ["new"] == texts(make())
    (aside,) = tmp_path.glob("store.sqlite.corrupt-*")
    assert garbage[:20] == aside.read_bytes()[:20]


def test_corruption_while_running_is_set_aside_once(
    make: Callable[..., Store], tmp_path: Path
) -> None:
    """Two workers meet the same broken file: one new database, and both go on in it."""
    a, b = make(), make()
    a.write(ADD, [(str(i) * 500,) for i in range(200)])
    assert len(texts(b)) == 200
    a.query("PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / "store.sqlite").open("r+b") as file:
        file.seek(0)
        file.write(b"\xff" * os.path.getsize(tmp_path / "store.sqlite"))

    for store in (a, b):  # each meets the damage, or the other's new file
        until(lambda store=store: len(store.query("SELECT count(*) FROM notes")) == 1)
        until(lambda store=store: store.shared)
    assert a.write(ADD, [("a",)])
    assert b.write(ADD, [("b",)])

    assert ["a", "b"] == texts(a) == texts(b)
    assert 1 == len(list(tmp_path.glob("store.sqlite.corrupt-*")))


@pytest.mark.parametrize("wrong", [ADD, "INSERT INTO nowhere VALUES (?)", "INSERT bad (?)"])
def test_a_mistake_of_the_caller_is_no_broken_store(
    make: Callable[..., Store], lenient: None, wrong: str
) -> None:
    """A row that the table refuses, a statement that is wrong: not done; the database stays."""
    store = make()
    store.write(ADD, [("one",)])

    assert not store.write(wrong, [("one",)])
    assert [] == store.query("SELECT nothing FROM nowhere")
    assert store.shared
    assert store.write(ADD, [("two",)])
    assert ["one", "two"] == texts(make())


def test_a_removed_directory_comes_back(make: Callable[..., Store], tmp_path: Path) -> None:
    """Somebody deletes the state directory: the next use makes it anew."""
    store = make(tmp_path / "state")
    store.write(ADD, [("gone",)])
    shutil.rmtree(tmp_path / "state")

    assert store.write(ADD, [("new",)])
    assert ["new"] == texts(make(tmp_path / "state"))


def test_where_nothing_can_be_written_memory_serves(
    make: Callable[..., Store], tmp_path: Path
) -> None:
    """The process works for itself, and comes back to the disk when it can."""
    blocked = tmp_path / "state"
    blocked.write_text("a file where the directory should be")
    store = make(blocked)
    assert store.write(ADD, [("alone",)])
    assert ["alone"] == texts(store)
    assert not store.shared

    blocked.unlink()
    until(lambda: store.write(ADD, [(str(time.monotonic()),)]) and store.shared)


def test_memory_lasts_as_long_as_the_file_is_away(
    make: Callable[..., Store], tmp_path: Path
) -> None:
    """Looking whether the file is back forgets nothing of what was written meanwhile."""
    blocked = tmp_path / "state"
    blocked.write_text("a file where the directory should be")
    store = make(blocked)
    assert store.write(ADD, [("alone",)])

    for _ in range(4):
        time.sleep(module.RETRY_S * 1.1)
        assert ["alone"] == texts(store)


def test_memory_lasts_while_the_file_takes_no_write(
    make: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file on a full disk opens as ever: what memory holds is not given up for it."""
    store, broken = make(), module.PROBE
    assert store.write(ADD, [("shared",)])
    monkeypatch.setattr(module, "PROBE", "INSERT INTO a_full_disk VALUES (1)")
    with pytest.raises(StoreUnavailable), store.transaction():
        raise sqlite3.OperationalError("database or disk is full")
    assert store.write(ADD, [("alone",)])
    time.sleep(module.RETRY_S * 1.1)
    assert ["alone"] == texts(store)

    monkeypatch.setattr(module, "PROBE", broken)
    until(lambda: ["shared"] == texts(store))


def test_without_a_directory_memory_serves(make: Callable[..., Store]) -> None:
    """A process without any state directory has a store of its own."""
    store = make(None)

    assert store.write(ADD, [("alone",)])
    assert ["alone"] == texts(store)


def test_a_table_defined_later_costs_memory_nothing(make: Callable[..., Store]) -> None:
    """A part that is imported later has its tables, and what memory held before is still there."""
    store = make(None)
    store.define("CREATE TABLE IF NOT EXISTS sooner (n INTEGER)")
    assert store.write("INSERT INTO sooner VALUES (1)")

    store.define("CREATE TABLE IF NOT EXISTS later (n INTEGER)")

    assert store.write("INSERT INTO later VALUES (2)")
    assert [[1]] == [list(row) for row in store.query("SELECT n FROM sooner")]


def test_a_full_store_is_replaced_by_memory(
    make: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size cap is reached, or the disk is full: callers go on, the error is counted."""
    pragmas = tuple(
        "PRAGMA max_page_count=10" if "max_page_count" in p else p for p in sqlite_file.PRAGMAS
    )
    monkeypatch.setattr(sqlite_file, "PRAGMAS", pragmas)
    store = make()

    written = [store.write(ADD, [(f"{i}" + "x" * 3000,)]) for i in range(40)]

    assert not all(written)
    assert any(written[20:])
    assert "full" in store.last_error or not store.shared


def test_a_child_opens_its_own_connection(make: Callable[..., Store]) -> None:
    """After a fork both write; neither disturbs the other's transactions."""
    store = make()
    store.write(ADD, [("before",)])
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        store.forked()
        done = store.write(ADD, [("child",)])
        os._exit(0 if done else 1)
    _, status = os.waitpid(child, 0)

    assert 0 == status
    assert store.write(ADD, [("parent",)])
    assert ["before", "child", "parent"] == texts(store)


def test_threads_take_turns(make: Callable[..., Store]) -> None:
    """Several threads of one process write without losing a row."""
    store = make()
    threads = [
        threading.Thread(target=lambda n=n: [store.write(ADD, [(f"{n}-{i}",)]) for i in range(20)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 80 == len(texts(store))


def test_a_stopped_store_still_serves_other_threads(make: Callable[..., Store]) -> None:
    """A request that is late at the end of the process is not held up: it opens the store again."""
    store = make()
    store.stop(time.monotonic() + 1)
    late = threading.Thread(target=store.write, args=(ADD, [("late",)]), daemon=True)
    late.start()
    late.join(PATIENCE_S)

    assert not late.is_alive()
    assert ["late"] == [row["text"] for row in store.query("SELECT text FROM notes")]


def test_the_store_is_private(make: Callable[..., Store], tmp_path: Path) -> None:
    """Nobody else on the host may read it."""
    make().write(ADD, [("one",)])

    assert {0} == {p.stat().st_mode & 0o077 for p in tmp_path.glob("store.sqlite*")}
