"""A real PostgreSQL that is away, hangs, loses the table, or is shared by many workers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from proletto_otel.core import config
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.sinks.database.sink import DatabaseSink
from tests.faults.database_sinks import count, eight_workers, flushed, messages, running
from tests.logs.conftest import Room, balance
from tests.logs.conftest import room as _room
from tests.servers import PostgreSQL, needs_postgresql
from tests.waiting import slowness, until

pytestmark = needs_postgresql
log = get_logger("shop")
room = _room
"""The fixture of the log room, on files of its own."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """One server for the module."""
    with PostgreSQL(tmp_path_factory.mktemp("pg")) as running:
        yield running


@pytest.fixture
def engine(server: PostgreSQL) -> Iterator[sa.Engine]:
    """The application's engine: one connection, as small pools are."""
    made = sa.create_engine(server.url, pool_size=1, max_overflow=0, pool_timeout=3)
    with made.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS error_logs, accounts")
    yield made
    made.dispose()


@pytest.fixture
def sink(engine: sa.Engine, room: Callable[..., Room]) -> Iterator[DatabaseSink]:
    """The sink beside the application's engine, in the pipeline."""
    room(log_console=False)
    with running(engine) as made:
        yield made


def test_rows_arrive(sink: DatabaseSink, engine: sa.Engine) -> None:
    """Errors are stored with facts that PostgreSQL can query."""
    log.error("payment failed", order_id=7, text="nul \0 and \ud800")

    assert flushed(sink)
    assert 1 == count(engine, "facts->>'order_id' = '7' AND level = 'ERROR'")


def test_refused_connections(sink: DatabaseSink, engine: sa.Engine, server: PostgreSQL) -> None:
    """While the database is away at most 1,000 rows wait, the rest is counted; it recovers."""
    log.error("before")
    assert flushed(sink)
    server.stop()
    for i in range(1500):
        log.error("during", n=i)
    until(lambda: sink.status()["last_error"], what="the fault is shown")
    waiting = sink.queue.pending
    server.start()

    assert flushed(sink)
    log.error("after")
    assert flushed(sink)
    engine.dispose()
    dropped = sink.status()["dropped"]["queue_full"]
    assert 1500 - dropped == count(engine, "message = 'during'")
    assert waiting <= 1000 + sink.queue.max_batch
    assert 1 == count(engine, "message = 'after'")
    assert (1502, 1502) == balance("database")


def test_hung_server(sink: DatabaseSink, engine: sa.Engine, server: PostgreSQL) -> None:
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


def test_hung_server_at_shutdown(
    engine: sa.Engine,
    server: PostgreSQL,
    room: Callable[..., Room],
) -> None:
    """An exit does not wait for a hung server beyond its budget; what is lost is counted."""
    room(log_console=False)
    made = DatabaseSink.of(engine, config.load({}, {}, {})[0])
    pipeline.add(made)
    made.start()
    log.error("before")
    assert flushed(made)
    server.hang()
    try:
        for i in range(50):
            log.error("during", n=i)
        began = time.monotonic()
        made.stop(began + 1)
        took_s = time.monotonic() - began
    finally:
        server.resume()

    assert took_s < 3 * slowness()
    assert 50 == made.status()["dropped"]["shutdown"]
    assert (51, 51) == balance("database")


def test_transaction_of_the_application(sink: DatabaseSink, engine: sa.Engine) -> None:
    """An error logged inside a transfer that is rolled back commits nothing of it."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE accounts (name text, balance int)")
        connection.exec_driver_sql("INSERT INTO accounts VALUES ('bob', 100)")
    with engine.connect() as connection:
        connection.exec_driver_sql("UPDATE accounts SET balance = 50")
        log.error("half way")  # the only connection of the application's pool is taken
        assert flushed(sink)
        connection.rollback()

    with engine.connect() as connection:
        balance_now = connection.exec_driver_sql("SELECT balance FROM accounts").scalar_one()
    assert 100 == balance_now
    assert 1 == count(engine, "message = 'half way'")


def test_table_in_migration(sink: DatabaseSink, engine: sa.Engine) -> None:
    """While a migration holds the table, rows wait; afterwards they are stored once."""
    log.error("before")
    assert flushed(sink)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE error_logs IN ACCESS EXCLUSIVE MODE")
        log.error("during")
        until(lambda: sink.status()["last_error"], what="the lock is noticed")
        connection.exec_driver_sql("ALTER TABLE error_logs DROP COLUMN host")

    assert flushed(sink)
    assert ["before", "during"] == messages(engine)
    assert (2, 2) == balance("database")


def test_missing_privileges(
    engine: sa.Engine, server: PostgreSQL, room: Callable[..., Room]
) -> None:
    """A user who may not extend an old table writes the columns there are."""
    room(log_console=False)
    with engine.begin() as connection:
        for statement in (
            "DROP OWNED BY writer" if _has_role(connection) else "CREATE ROLE writer LOGIN",
            "CREATE TABLE error_logs (id bigserial PRIMARY KEY, message text)",
            "GRANT INSERT, SELECT ON error_logs TO writer",
            "GRANT USAGE ON SEQUENCE error_logs_id_seq TO writer",
        ):
            connection.exec_driver_sql(statement)
    with running(server.url.replace("postgres@", "writer@")) as sink:
        log.error("stored anyway")
        assert flushed(sink)

    assert ["stored anyway"] == messages(engine)


def _has_role(connection: sa.Connection) -> bool:
    found = connection.exec_driver_sql("SELECT 1 FROM pg_roles WHERE rolname = 'writer'")
    return found.first() is not None


def test_retention_of_a_large_table(engine: sa.Engine, sink: DatabaseSink) -> None:
    """Of 120,000 rows the newest 100,000 stay; no delete is larger than 1,000."""
    log.error("first")
    assert flushed(sink)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO error_logs (timestamp, message)"
            " SELECT now(), 'row ' || n FROM generate_series(1, 120000) AS n"
        )
    sink.stop(time.monotonic() + 5)
    deleted = []
    while not deleted or deleted[-1]:
        deleted.append(sink.retain())
    sink.stop(time.monotonic() + 5)

    assert max(deleted) <= 1000
    assert 100_000 == count(engine)
    assert "row 120000" == messages(engine)[-1]


@pytest.mark.parametrize("old", [False, True], ids=["missing", "old"])
def test_eight_workers_at_once(engine: sa.Engine, server: PostgreSQL, old: bool) -> None:
    """Workers that start at the same moment create or extend the table without harm."""
    if old:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE error_logs (id bigserial PRIMARY KEY, message text, line int)"
            )
    eight_workers(server.url)

    assert 160 == count(engine)
    assert 6 == len(sa.inspect(engine).get_indexes("error_logs")) + 1


def test_fork_keeps_the_parents_connection(sink: DatabaseSink, engine: sa.Engine) -> None:
    """A forked child writes over a connection of its own and leaves the parent's intact."""
    log.error("parent before")
    assert flushed(sink)
    pid = os.fork()
    if pid == 0:
        sink.forked()
        sink.start()
        log.error("child")
        os._exit(0 if sink.flush(time.monotonic() + 300) else 1)
    _, status = os.waitpid(pid, 0)
    log.error("parent after")

    assert 0 == status
    assert flushed(sink)
    assert {"parent before", "child", "parent after"} == set(messages(engine))
    assert "" == sink.status()["last_error"]


@pytest.mark.parametrize("way", ["listener", "creator"])
def test_login_by_token(
    server: PostgreSQL, engine: sa.Engine, room: Callable[..., Room], way: str
) -> None:
    """The URL alone may not log in: rows arrive and the check is healthy the application's way."""
    import psycopg

    from proletto_otel.health.checks import Check, Runner
    from proletto_otel.health.ready_made.database import database

    url = sa.make_url(server.url).set(username="nobody")
    refused = Runner(Check(name="db", function=database(url))).start()()
    assert "unhealthy" == refused.status
    if way == "creator":
        plain = server.url.replace("+psycopg", "")
        by_token = sa.create_engine(url, creator=lambda: psycopg.connect(plain))
    else:
        by_token = sa.create_engine(url)

        @sa.event.listens_for(by_token, "do_connect")
        def login(_dialect: object, _record: object, _args: object, kwargs: dict[str, str]) -> None:
            kwargs["user"], kwargs["password"] = "postgres", "token of this minute"

    room(log_console=False)
    with running(by_token) as sink:
        log.error("by token")
        assert flushed(sink)
        assert sink._engine is not None
        with sink._engine.connect() as connection:
            limit = connection.exec_driver_sql("SHOW statement_timeout").scalar()

    assert "healthy" == Runner(Check(name="db", function=database(by_token))).start()().status
    assert ["by token"] == messages(engine)
    assert "2s" == limit
