"""A real MariaDB: the dialect of MySQL, with its own limits, locks and time-outs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.sinks.database.sink import DatabaseSink
from tests.faults.database_sinks import count, eight_workers, flushed, messages, running
from tests.logs.conftest import Room, balance
from tests.logs.conftest import room as _room
from tests.servers import MariaDB, needs_mariadb
from tests.waiting import until

pytestmark = needs_mariadb
log = get_logger("shop")
room = _room
"""The fixture of the log room, on files of its own."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """One server for the module."""
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as running:
        yield running


@pytest.fixture
def engine(server: MariaDB) -> Iterator[sa.Engine]:
    """The application's engine: one connection, as small pools are."""
    made = sa.create_engine(server.url, pool_size=1, max_overflow=0, pool_timeout=3)
    with made.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS error_logs")
    yield made
    made.dispose()


@pytest.fixture
def sink(engine: sa.Engine, room: Callable[..., Room]) -> Iterator[DatabaseSink]:
    """The sink beside the application's engine, in the pipeline."""
    room(log_console=False)
    with running(engine) as made:
        yield made


def test_rows_arrive(sink: DatabaseSink, engine: sa.Engine) -> None:
    """Any character, facts that can be queried, microseconds, and tracebacks beyond 64 KiB."""
    long = "💸" * 50_000
    try:
        raise ValueError(long)
    except ValueError:
        log.exception("payment failed 💸", order_id=7, text="nul \0 and \ud800")

    assert flushed(sink)
    where = "json_value(facts, '$.order_id') = 7 AND level = 'ERROR' AND message LIKE '%%💸%%'"
    assert 1 == count(engine, where), sink.status()
    with engine.connect() as connection:
        kept = connection.exec_driver_sql(
            "SELECT length(traceback), timestamp, utc_timestamp(6) FROM error_logs"
        ).one()
    assert kept[0] > 65_536
    assert abs((kept[2] - kept[1]).total_seconds()) < 60


def test_refused_connections(sink: DatabaseSink, engine: sa.Engine, server: MariaDB) -> None:
    """While the database is away rows wait; afterwards each is stored once."""
    log.error("before")
    assert flushed(sink)
    server.stop()
    for i in range(100):
        log.error("during", n=i)
    until(lambda: sink.status()["last_error"], what="the fault is shown")
    server.start()

    assert flushed(sink)
    engine.dispose()
    assert 100 == count(engine, "message = 'during'")
    assert (101, 101) == balance("database")


def test_hung_server(sink: DatabaseSink, engine: sa.Engine, server: MariaDB) -> None:
    """A server that accepts and never answers holds no caller; rows follow when it answers."""
    log.error("before")
    assert flushed(sink)
    server.hang()
    try:
        done = threading.Event()

        def request() -> None:
            for i in range(100):
                log.error("during", n=i)
            done.set()

        thread = threading.Thread(target=request)
        thread.start()
        finished = done.wait(5)
        thread.join()
    finally:
        server.resume()

    assert finished
    assert flushed(sink)
    assert 100 == count(engine, "message = 'during'")
    assert (101, 101) == balance("database")


def test_table_in_migration(sink: DatabaseSink, engine: sa.Engine) -> None:
    """While a migration holds the table, rows wait; afterwards they are stored once."""
    log.error("before")
    assert flushed(sink)
    with engine.connect() as connection:
        connection.exec_driver_sql("LOCK TABLES error_logs WRITE")
        log.error("during")
        until(lambda: sink.status()["last_error"], what="the lock is noticed")
        connection.exec_driver_sql("ALTER TABLE error_logs DROP COLUMN host")
        connection.exec_driver_sql("UNLOCK TABLES")

    assert flushed(sink)
    assert ["before", "during"] == messages(engine)
    assert (2, 2) == balance("database")


def test_refused_row_spares_its_neighbours(engine: sa.Engine, room: Callable[..., Room]) -> None:
    """A row the database refuses is counted; the others of its batch are stored."""
    room(log_console=False)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE error_logs (id bigint AUTO_INCREMENT PRIMARY KEY,"
            " message varchar(200) CHECK (message <> 'poison'))"
        )
    with running(engine) as sink:
        for text in ("one", "poison", "two"):
            log.error(text)
        assert flushed(sink)
        assert 1 == sink.status()["dropped"]["rejected"]

    assert ["one", "two"] == messages(engine)
    assert (3, 3) == balance("database")


def test_retention(engine: sa.Engine, sink: DatabaseSink) -> None:
    """Of 102,500 rows the newest 100,000 stay; no delete is larger than 1,000."""
    log.error("first")
    assert flushed(sink)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO error_logs (timestamp, message)"
            " SELECT utc_timestamp(6), concat('row ', seq) FROM seq_1_to_102500"
        )
    sink.stop(time.monotonic() + 5)
    deleted = []
    while not deleted or deleted[-1]:
        deleted.append(sink.retain())
    sink.stop(time.monotonic() + 5)

    assert max(deleted) <= 1000
    assert 100_000 == count(engine)
    assert "row 102500" == messages(engine)[-1]


@pytest.mark.parametrize("old", [False, True], ids=["missing", "old"])
def test_eight_workers_at_once(engine: sa.Engine, server: MariaDB, old: bool) -> None:
    """Workers that start at the same moment create or extend the table without harm."""
    if old:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE error_logs"
                " (id bigint AUTO_INCREMENT PRIMARY KEY, message text, line int)"
            )
    eight_workers(server.url)

    assert 160 == count(engine)
    assert 6 == len(sa.inspect(engine).get_indexes("error_logs")) + 1
