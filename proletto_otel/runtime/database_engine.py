"""An engine of our own to the application's database: its way to connect, our pool and time limits.

The application's pool, session and transactions are never touched. How it connects is kept: its
dialect, `creator`, `do_connect` and pool listeners and `connect_args`, so that a login by token or
a search path works here, too. Needs SQLAlchemy, imported on first use.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proletto_otel.core.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Dialect, Engine

RECYCLE_S = 1800
"""A connection is renewed before proxies cut it."""
EXPECTED = "a Flask-SQLAlchemy object, an SQLAlchemy engine or a database URL"

_SYNCHRONOUS = {
    "asyncpg": "psycopg",
    "psycopg_async": "psycopg",
    "aiosqlite": "pysqlite",
    "aiomysql": "pymysql",
    "asyncmy": "pymysql",
}
"""Drivers for asyncio, and what a thread uses instead."""

_SESSION_LIMITS = {
    "postgresql": ("SET statement_timeout = '{0}s'", "SET lock_timeout = '{0}s'"),
    "mysql": ("SET SESSION innodb_lock_wait_timeout = {0}, SESSION lock_wait_timeout = {0}",),
    "mariadb": ("SET SESSION innodb_lock_wait_timeout = {0}, SESSION lock_wait_timeout = {0}",),
    "sqlite": ("PRAGMA busy_timeout = {0}000",),
}
"""Limits for a connection that the application's `creator` made; by backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What the engine is for."""

    application_name: str
    """As the database's administrator sees it."""

    seconds: float = 2.0
    """Longest time to connect, and longest time of a statement."""

    keeps_connection: bool = True
    """Whether one connection stays open between uses."""

    creates_file: bool = True
    """Whether an SQLite file that is not there may be made."""


def check(db: Any, setting: str = "db") -> Any:
    """Refuse what can be no database; a text comes back as a parsed URL.

    Raises:
        ConfigError: naming what came and what fits; the URL itself is not shown.
    """
    try:
        import sqlalchemy
    except ImportError:
        raise ConfigError(
            f"{setting}: SQLAlchemy is not installed; run `pip install proletto_otel[db]`"
        ) from None
    if isinstance(db, str):
        try:
            return sqlalchemy.engine.make_url(db)
        except sqlalchemy.exc.ArgumentError:
            raise ConfigError.of(setting, "***", EXPECTED) from None
    # of the type, because the value of Flask-SQLAlchemy's property needs an application context
    if not isinstance(db, (sqlalchemy.engine.URL, sqlalchemy.engine.Engine)) and not hasattr(
        type(db), "engine"
    ):
        raise ConfigError.of(setting, type(db).__name__, EXPECTED)
    return db


def own_engine(
    db: Any, use: Use, *, app: Any = None, connect_args: Mapping[str, Any] | None = None
) -> Engine:
    """An engine beside the application's; it connects when it is first needed.

    Args:
        db: What `check` gave.
        use: What it is for.
        app: The Flask application of a Flask-SQLAlchemy object, when there is more than one.
        connect_args: Driver arguments that win over all others.

    Raises:
        RuntimeError: a Flask-SQLAlchemy object that no application initialised yet.
    """
    import sqlalchemy

    theirs = _their_engine(db, app)
    # a dialect object of our own: it is set up by the first connection, and while a thread of ours
    # did that to theirs, a request might use it half set up
    engine = sqlalchemy.create_engine(
        theirs.url,
        module=theirs.dialect.dbapi,
        creator=_creator(theirs, use, dict(connect_args or {})),
        hide_parameters=True,
        **_pool_options(use),
    )
    if _connect_arguments(theirs.pool._creator) is None:
        sqlalchemy.event.listen(engine, "connect", _session_limits(engine.dialect, use))
    for listener in theirs.pool.dispatch.connect:
        if not getattr(listener, "__module__", "").startswith("sqlalchemy."):  # they set up theirs
            sqlalchemy.event.listen(engine, "connect", listener)
    return engine


def _pool_options(use: Use) -> dict[str, Any]:
    import sqlalchemy

    # One connection and no overflow: a database counts the connections of all workers together, and
    # ours must not take the last one from the application.
    if not use.keeps_connection:
        return {"poolclass": sqlalchemy.pool.NullPool}
    return {
        "poolclass": sqlalchemy.pool.QueuePool,
        "pool_size": 1,
        "max_overflow": 0,
        "pool_timeout": use.seconds,
        "pool_recycle": RECYCLE_S,
    }


def _their_engine(db: Any, app: Any) -> Engine:
    """The application's engine, or one made of a URL; its pool is never used."""
    import sqlalchemy

    if isinstance(db, (sqlalchemy.engine.URL, sqlalchemy.engine.Engine)):
        found = db
    else:
        app = app or next(iter(getattr(db, "_app_engines", None) or ()), None)
        if app is None:
            found = db.engine
        else:
            with app.app_context():
                found = db.engine
    if isinstance(found, sqlalchemy.engine.URL):
        return sqlalchemy.create_engine(_synchronous(found))
    engine: sqlalchemy.engine.Engine = getattr(found, "sync_engine", found)
    if engine.dialect.is_async:  # its connections belong to an event loop
        return sqlalchemy.create_engine(_synchronous(engine.url))
    return engine


def _synchronous(url: URL) -> URL:
    driver = _SYNCHRONOUS.get(url.get_driver_name())
    return url if driver is None else url.set(drivername=f"{url.get_backend_name()}+{driver}")


def _connect_arguments(creator: Any) -> tuple[list[Any], dict[str, Any]] | None:
    """What SQLAlchemy hands to the driver; `None` when the application has a `creator` of its own.

    `create_engine` keeps them, `connect_args` included, only in the function it gives to its pool.
    """
    names = getattr(getattr(creator, "__code__", None), "co_freevars", ())
    if "cargs_tup" not in names or "cparams" not in names:
        return None
    cells = dict(zip(names, creator.__closure__, strict=True))
    return list(cells["cargs_tup"].cell_contents), dict(cells["cparams"].cell_contents)


def _creator(theirs: Engine, use: Use, connect_args: dict[str, Any]) -> Any:
    """The application's own `creator`; else what SQLAlchemy's does, within our limits as well."""
    dialect, found = theirs.dialect, _connect_arguments(theirs.pool._creator)
    if found is None:
        return theirs.pool._creator
    positional, named = found
    limits = time_limits(theirs.url, use)
    arguments = limits | named | connect_args
    # PostgreSQL reads `options` from left to right, so our limits come last and win.
    if "options" in limits and arguments["options"] is not limits["options"]:
        arguments["options"] = f"{arguments['options']} {limits['options']}"

    def connect(record: Any = None) -> Any:
        args, kwargs = list(positional), dict(arguments)
        for listener in dialect.dispatch.do_connect:
            connection = listener(dialect, record, args, kwargs)
            if connection is not None:
                return connection
        if not use.creates_file and dialect.name == "sqlite":
            # SQLite makes an empty database of a wrong path, and a check would call it healthy.
            path = str(args[0]) if args else ""
            no_file = path in ("", ":memory:") or path.startswith("file:")
            if not no_file and not os.path.exists(path):
                raise FileNotFoundError("there is no such database file")
        return dialect.connect(*args, **kwargs)

    return connect


def _session_limits(dialect: Dialect, use: Use) -> Callable[[Any, Any], None]:
    """Limit statements where we cannot say anything while connecting."""
    statements = _SESSION_LIMITS.get(dialect.name, ())

    def limit(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement.format(_whole_seconds(use)))
        cursor.close()
        connection.commit()  # PostgreSQL takes a setting back with its transaction

    return limit


def _whole_seconds(use: Use) -> int:
    return max(math.ceil(use.seconds), 1)


def time_limits(url: URL, use: Use) -> dict[str, Any]:
    """What each driver calls its limits; keepalives end the wait for a host that vanished."""
    driver, seconds = url.get_driver_name(), _whole_seconds(use)
    if driver in ("psycopg", "psycopg2"):
        return {
            "connect_timeout": max(seconds, 2),  # libpq treats 1 as 2
            "options": f"-c statement_timeout={seconds}s -c lock_timeout={seconds}s",
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "application_name": use.application_name,
        }
    if driver in ("pymysql", "mysqldb"):
        return dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), seconds)
    if driver == "mysqlconnector":
        return {"connection_timeout": seconds}
    if driver == "pysqlite":
        return {"timeout": use.seconds, "check_same_thread": False}
    return {}
