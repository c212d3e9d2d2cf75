"""Ready-made check: does the database answer, on a connection of our own.

The application's session and pool are never touched: a check must not wait for a pool that hangs,
nor commit anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from proletto_otel.core.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import URL

_EXPECTED = "a Flask-SQLAlchemy object, an SQLAlchemy engine or a database URL"


def database(
    target: Any, *, app: Any = None, timeout: float = 2.0, query: str = "SELECT 1",
    connect_args: Mapping[str, Any] | None = None,
) -> Callable[[], None]:  # fmt: skip
    """Check that a database answers *query* within *timeout* seconds.

    Args:
        target: a Flask-SQLAlchemy object, an SQLAlchemy engine (its URL is used) or a URL.
        app: the Flask app of a Flask-SQLAlchemy object, when there is more than one.
        timeout: seconds for connecting, and for the statement.
        query: what is asked.
        connect_args: more arguments for the driver, such as its TLS settings.

    Raises:
        ConfigError: for a target that is none of these, or when SQLAlchemy is not installed.
    """
    try:
        import sqlalchemy
    except ImportError:
        raise ConfigError("database check: SQLAlchemy is not installed; expected it") from None
    known = isinstance(target, (str, sqlalchemy.URL, sqlalchemy.Engine))
    if not known and not hasattr(type(target), "engine"):  # its value needs an app context
        raise ConfigError.of("target", type(target).__name__, _EXPECTED)
    if isinstance(target, str):
        target = _parse(target)
    engines: list[Engine] = []

    def check() -> None:
        if not engines:
            url, own_args = _locate(target, app)
            engines.append(_own_engine(url, timeout, {**own_args, **(connect_args or {})}))
        with engines[0].connect() as connection:
            connection.execute(sqlalchemy.text(query))

    return check


def _parse(target: str) -> URL:
    import sqlalchemy

    try:
        return sqlalchemy.make_url(target)
    except sqlalchemy.exc.ArgumentError:
        raise ConfigError.of("target", "***", _EXPECTED) from None


def _locate(target: Any, app: Any) -> tuple[URL, dict[str, Any]]:
    """The URL behind *target*, and the driver arguments the application configured."""
    import sqlalchemy

    if isinstance(target, sqlalchemy.URL):
        return target, {}
    if isinstance(target, sqlalchemy.Engine):
        return target.url, {}
    app = app or next(iter(getattr(target, "_app_engines", ())), None)
    if app is None:
        return target.engine.url, {}
    with app.app_context():
        options = app.config.get("SQLALCHEMY_ENGINE_OPTIONS") or {}
        return target.engine.url, dict(options.get("connect_args") or {})


def _own_engine(url: URL, timeout: float, connect_args: dict[str, Any]) -> Engine:
    import sqlalchemy

    if url.get_backend_name() == "sqlite":
        return sqlalchemy.create_engine(
            url, poolclass=sqlalchemy.NullPool, creator=_open_sqlite(url, timeout)
        )
    return sqlalchemy.create_engine(
        url,
        poolclass=sqlalchemy.NullPool,
        connect_args={**_driver_timeouts(url, timeout), **connect_args},
    )


def _driver_timeouts(url: URL, timeout: float) -> dict[str, Any]:
    """What each driver calls its time limits; keepalives end a wait for a host that vanished."""
    seconds = max(math.ceil(timeout), 1)
    if url.get_backend_name() == "postgresql" and url.get_driver_name() in ("psycopg", "psycopg2"):
        return {
            "connect_timeout": max(seconds, 2),  # libpq treats 1 as 2
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "application_name": "proletto_health",
        }
    if url.get_driver_name() in ("pymysql", "mysqldb"):
        return {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
    return {}


def _open_sqlite(url: URL, timeout: float) -> Callable[[], Any]:
    """Open an SQLite file only if it is there: a check must not create an empty database."""
    import sqlite3
    from urllib.parse import quote

    path = url.database or ":memory:"
    if path == ":memory:" or path.startswith("file:"):
        return lambda: sqlite3.connect(path, timeout=timeout, uri=path.startswith("file:"))
    return lambda: sqlite3.connect(f"file:{quote(path)}?mode=rw", timeout=timeout, uri=True)
