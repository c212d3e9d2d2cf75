"""The table `error_logs`: what is in it, how it comes to be, what never happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from proletto_otel.core import config
from proletto_otel.core.context import RequestContext, enter, leave
from proletto_otel.core.conventions import MESSAGE
from proletto_otel.core.errors import ConfigError
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.sinks.database.sink import DatabaseSink
from tests.corpus import secrets
from tests.logs.conftest import Room, balance
from tests.waiting import until

log = get_logger("shop")


def settings(**chosen: Any) -> config.Config:
    """The configuration with these settings."""
    return config.load(chosen, {}, {})[0]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database file of the test."""
    return f"sqlite:///{tmp_path}/shop.db"


Begin = Callable[..., DatabaseSink]


@pytest.fixture
def begin(room: Callable[..., Room], url: str) -> Iterator[Begin]:
    """Add a database sink to the pipeline and start it."""
    room()
    started: list[DatabaseSink] = []

    def add(db: Any = None, app: Any = None, **chosen: Any) -> DatabaseSink:
        sink = DatabaseSink.of(db if db is not None else url, settings(**chosen), app)
        pipeline.add(sink)
        sink.start()
        started.append(sink)
        return sink

    yield add
    for sink in started:
        sink.stop(time.monotonic() + 5)
        sink.stop(time.monotonic() + 5)  # a test may have used it since


def rows(url: str) -> list[dict[str, Any]]:
    """All rows of the table, the oldest first."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        table = sa.Table("error_logs", sa.MetaData(), autoload_with=connection)
        found = connection.execute(sa.select(table).order_by(table.c.id)).mappings().all()
    return [dict(row) for row in found]


def flushed(sink: DatabaseSink) -> bool:
    """Whether everything is written within five seconds."""
    return sink.flush(time.monotonic() + 300)


def test_every_field_has_a_column(begin: Begin, url: str) -> None:
    """A row holds what the JSON record holds, and which request it belongs to."""
    sink = begin(service_name="shop", environment="production")
    context = RequestContext("req-1", "a" * 32, "b" * 16)
    context.user_id = "u7"
    token = enter(context)
    log.info("cart loaded", items=3)
    try:
        1 / 0  # noqa: B018  the error is the point
    except ZeroDivisionError:
        log.exception("payment failed", component="pay", order_id=7)
    leave(token)

    assert flushed(sink)
    (row,) = rows(url)
    assert ("ERROR", "shop", "payment failed") == (row["level"], row["logger"], row["message"])
    assert ("req-1", "a" * 32, "b" * 16) == (row["request_id"], row["trace_id"], row["span_id"])
    assert ("pay", "u7", "shop") == (row["component"], row["user_id"], row["service"])
    assert ("ZeroDivisionError", "division by zero") == (
        row["exception_type"],
        row["exception_message"],
    )
    assert row["traceback"].startswith("Traceback")
    assert "1 / 0" in row["traceback"]
    assert 7 == row["facts"]["order_id"]
    assert ["cart loaded"] == [crumb[MESSAGE] for crumb in row["breadcrumbs"]]
    assert 16 == len(row["fingerprint"])
    assert ("test_database", "test_every_field_has_a_column") == (
        row["module"],
        row["function"],
    )
    assert row["line"]
    assert row["process_id"]
    assert row["thread_id"]
    assert row["host"]
    assert abs(time.time() - row["timestamp"].replace(tzinfo=_utc()).timestamp()) < 60


def _utc() -> Any:
    import datetime

    return datetime.timezone.utc


def test_errors_only(begin: Begin, url: str) -> None:
    """ERROR and CRITICAL records are stored, others are not."""
    sink = begin()
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(log, level)(level)

    assert flushed(sink)
    assert ["error", "critical"] == [row["message"] for row in rows(url)]


def test_every_record_is_counted(begin: Begin) -> None:
    """Emitted is delivered plus dropped."""
    sink = begin()
    for i in range(250):
        log.error("e", n=i)

    assert flushed(sink)
    assert (250, 250) == balance("database")
    assert 250 == sink.status()["sent"]


@pytest.mark.parametrize("kind", ["url", "engine", "flask"])
def test_kinds_of_databases(begin: Begin, url: str, kind: str) -> None:
    """A URL, an SQLAlchemy engine and a Flask-SQLAlchemy object are taken."""
    if kind == "flask":
        from flask import Flask
        from flask_sqlalchemy import SQLAlchemy

        app = Flask("shop")
        app.config["SQLALCHEMY_DATABASE_URI"] = url
        db = SQLAlchemy()
        sink = begin(db, app)
        log.error("before init_app")
        db.init_app(app)  # later than the handler: allowed
    else:
        sink = begin(url if kind == "url" else sa.create_engine(url))
    log.error("stored")

    assert flushed(sink)
    assert "stored" == rows(url)[-1]["message"]


@pytest.mark.parametrize("db", [object(), 7, "no url", None])
def test_no_database(db: Any) -> None:
    """What can be no database is refused with what fits."""
    with pytest.raises(ConfigError, match="a Flask-SQLAlchemy object"):
        DatabaseSink.of(db, settings())


def test_bad_url_is_not_shown() -> None:
    """A URL may hold a password: no message repeats it."""
    with pytest.raises(ConfigError) as caught:
        DatabaseSink.of("postgres//bob:hunter2@db", settings())

    assert "hunter2" not in str(caught.value)


def test_asyncio_urls() -> None:
    """A URL for asyncio is used with the driver a thread can use."""
    from proletto_otel.runtime.database_engine import Use, own_engine

    engine = own_engine(sa.make_url("postgresql+asyncpg://bob@db/shop"), Use(application_name="x"))

    assert "psycopg" == engine.dialect.driver


def test_old_table_is_extended(begin: Begin, url: str) -> None:
    """A table of an older release gets the columns and indexes it lacks; its rows stay."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE error_logs (id INTEGER PRIMARY KEY, level VARCHAR(16), message TEXT,"
            " extra TEXT)"
        )
        connection.exec_driver_sql("INSERT INTO error_logs (message) VALUES ('old')")
    sink = begin()
    log.error("new")

    assert flushed(sink)
    assert ["old", "new"] == [row["message"] for row in rows(url)]
    names = {index["name"] for index in sa.inspect(engine).get_indexes("error_logs")}
    assert 5 == len(names)
    engine.dispose()


def test_dropped_table_comes_back(begin: Begin, url: str) -> None:
    """A table that is dropped while we run is made again; nothing is lost."""
    sink = begin()
    log.error("first")
    assert flushed(sink)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE error_logs")
    engine.dispose()
    log.error("second")

    assert flushed(sink)
    assert ["second"] == [row["message"] for row in rows(url)]
    assert (2, 2) == balance("database")


def test_refused_row_spares_its_neighbours(begin: Begin, url: str) -> None:
    """A row the database refuses is counted; the others of its batch are stored."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE error_logs (id INTEGER PRIMARY KEY, message TEXT"
            " CHECK (message <> 'poison'))"
        )
    engine.dispose()
    sink = begin()
    for text in ("one", "poison", "two"):
        log.error(text)

    assert flushed(sink)
    assert ["one", "two"] == [row["message"] for row in rows(url)]
    assert 1 == sink.status()["dropped"]["rejected"]
    assert (3, 3) == balance("database")
    assert sink.status()["last_error"]


def test_lost_answer_repeats_no_row(
    begin: Begin, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the connection breaks after the commit, the batch comes again without a double row."""
    insert = DatabaseSink._insert
    broken: list[int] = []

    def break_once(self: DatabaseSink, engine: sa.Engine, batch: list[dict[str, Any]]) -> None:
        insert(self, engine, batch)
        if not broken:
            broken.append(1)
            raise sa.exc.OperationalError("INSERT", {}, OSError("connection reset"))

    monkeypatch.setattr(DatabaseSink, "_insert", break_once)
    sink = begin()
    for i in range(10):
        log.error("e", n=i)

    assert flushed(sink)
    assert [1] == broken
    assert list(range(10)) == [row["facts"]["n"] for row in rows(url)]
    assert (10, 10) == balance("database")


def test_full_queue_drops_the_oldest(begin: Begin) -> None:
    """While the database is away a thousand rows wait; what is beyond is counted."""
    sink = begin("postgresql+psycopg://nobody@127.0.0.1:1/none")
    for i in range(1500):
        log.error("e", n=i)
    until(lambda: sink.status()["last_error"], what="the refusal is shown")

    assert sink.queue.pending <= 1000 + sink.queue.max_batch
    sink.stop(time.monotonic())
    totals = sink.status()["dropped"]
    assert 1500 == totals["queue_full"] + totals["shutdown"]
    assert (1500, 1500) == balance("database")


def test_retention_by_age(begin: Begin, url: str) -> None:
    """Rows older than the setting are deleted."""
    sink = begin(database_retention_days=1)
    log.error("old")
    log.error("young")
    assert flushed(sink)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE error_logs SET timestamp = '2020-01-01 00:00:00.000000' WHERE message = 'old'"
        )
    engine.dispose()
    sink.stop(time.monotonic() + 5)

    assert 1 == sink.retain()
    assert 0 == sink.retain()
    assert ["young"] == [row["message"] for row in rows(url)]


def test_retention_by_number(begin: Begin, url: str) -> None:
    """Of more rows than allowed the newest stay; a batch deletes at most 1,000."""
    sink = begin(database_max_rows=100)
    sink.queue.max_queue = 5000
    for i in range(1300):
        log.error("e", n=i)
    assert flushed(sink)
    sink.stop(time.monotonic() + 5)

    deleted = [sink.retain() for _ in range(4)]
    assert 1200 == sum(deleted)
    assert max(deleted) <= 1000
    assert list(range(1200, 1300)) == [row["facts"]["n"] for row in rows(url)]


def test_retention_runs_by_itself(begin: Begin, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs to ask for the clean-up."""
    monkeypatch.setattr(DatabaseSink, "retain_every_s", 0.2)
    sink = begin(database_max_rows=100)
    for i in range(700):
        log.error("e", n=i)
    assert flushed(sink)

    until(lambda: len(rows(url)) == 100, what="the table shrinks to 100 rows")


def test_no_canary_in_any_row(begin: Begin, url: str) -> None:
    """Secrets in message, facts, traceback and breadcrumbs are not stored."""
    sink = begin()
    sink.queue.max_queue = 5000
    canaries = secrets.canaries()
    for canary in canaries:
        token = enter(RequestContext("r"))
        log.info(canary.text, password=canary.secret)
        try:
            raise ValueError(canary.text)
        except ValueError:
            log.exception("failed " + canary.text, body={"raw": canary.text})
        leave(token)

    assert sink.flush(time.monotonic() + 300)
    found = rows(url)
    assert len(canaries) == len(found)
    text = repr([{k: v for k, v in row.items() if k != "uid"} for row in found])
    assert [] == [c for c in canaries if c.secret in text]
