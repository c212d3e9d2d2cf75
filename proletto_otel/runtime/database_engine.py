"""An engine of our own to the application's database: one connection, short time limits.

The application's pool, session and transactions are never touched. Needs SQLAlchemy, imported on
first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proletto_otel.core.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

CONNECT_S = 2
STATEMENT_S = 2
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


def check(db: Any) -> Any:
    """Refuse what can be no database; a text comes back as a parsed URL.

    Raises:
        ConfigError: naming what came and what fits; the URL itself is not shown.
    """
    try:
        import sqlalchemy
    except ImportError:
        raise ConfigError(
            "database logging: SQLAlchemy is not installed; run `pip install proletto_otel[db]`"
        ) from None
    if isinstance(db, str):
        try:
            return sqlalchemy.make_url(db)
        except sqlalchemy.exc.ArgumentError:
            raise ConfigError.of("db", "***", EXPECTED) from None
    if not isinstance(db, (sqlalchemy.URL, sqlalchemy.Engine)) and not hasattr(type(db), "engine"):
        raise ConfigError.of("db", type(db).__name__, EXPECTED)
    return db


def locate(db: Any, app: Any) -> tuple[URL, dict[str, Any]]:
    """The URL behind *db*, and the driver arguments that the application configured.

    Raises:
        RuntimeError: a Flask-SQLAlchemy object that no application initialised yet.
    """
    import sqlalchemy

    if isinstance(db, sqlalchemy.URL):
        return db, {}
    if isinstance(db, sqlalchemy.Engine):
        return db.url, {}
    app = app or next(iter(getattr(db, "_app_engines", None) or ()), None)
    if app is None:
        return db.engine.url, {}
    with app.app_context():
        options = app.config.get("SQLALCHEMY_ENGINE_OPTIONS") or {}
        return db.engine.url, dict(options.get("connect_args") or {})


def own_engine(url: URL, connect_args: dict[str, Any]) -> Engine:
    """An engine with one connection, made when it is first needed."""
    import sqlalchemy

    driver = _SYNCHRONOUS.get(url.get_driver_name())
    if driver is not None:
        url = url.set(drivername=f"{url.get_backend_name()}+{driver}")
    arguments = time_limits(url) | connect_args
    if "options" in connect_args and "options" in time_limits(url):
        arguments["options"] = f"{connect_args['options']} {time_limits(url)['options']}"
    return sqlalchemy.create_engine(
        url,
        poolclass=sqlalchemy.QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=CONNECT_S,
        pool_recycle=RECYCLE_S,
        connect_args=arguments,
        hide_parameters=True,
    )


def time_limits(url: URL) -> dict[str, Any]:
    """What each driver calls its limits; keepalives end the wait for a host that vanished."""
    driver = url.get_driver_name()
    if driver in ("psycopg", "psycopg2"):
        return {
            "connect_timeout": CONNECT_S,
            "options": f"-c statement_timeout={STATEMENT_S}s -c lock_timeout={STATEMENT_S}s",
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "application_name": "proletto_error_logs",
        }
    if driver in ("pymysql", "mysqldb"):
        return dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), STATEMENT_S)
    if driver == "mysqlconnector":
        return {"connection_timeout": CONNECT_S}
    if driver == "pysqlite":
        return {"timeout": STATEMENT_S, "check_same_thread": False}
    return {}
