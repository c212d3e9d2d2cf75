"""Ready-made check: does the database answer, on a connection of our own.

The application's session and pool are never touched: a check must not wait for a pool that hangs,
nor commit anything. How it connects is described in `runtime.database_engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from proletto_otel.runtime import database_engine
from proletto_otel.runtime.database_engine import Use


def database(
    target: Any, *, app: Any = None, timeout: float = 2.0, query: str = "",
    connect_args: Mapping[str, Any] | None = None,
) -> Callable[[], None]:  # fmt: skip
    """Check that a database answers within *timeout* seconds.

    Args:
        target: a Flask-SQLAlchemy object, an SQLAlchemy engine or a URL; the check connects as the
            application does, with its `creator`, listeners and `connect_args`.
        app: the Flask app of a Flask-SQLAlchemy object, when there is more than one.
        timeout: seconds for connecting, and for the statement.
        query: what is asked; by default the dialect's own ping.
        connect_args: more arguments for the driver, such as its TLS settings.

    Raises:
        ConfigError: for a target that is none of these, or when SQLAlchemy is not installed.
    """
    target = database_engine.check(target, "target")
    use = Use(
        application_name="proletto_health",
        seconds=timeout,
        keeps_connection=False,
        creates_file=False,
    )
    import sqlalchemy

    engines: list[sqlalchemy.Engine] = []

    def check() -> None:
        # made at the first run: at set-up the application may not have its engine yet
        if not engines:
            engines.append(
                database_engine.own_engine(target, use, app=app, connect_args=connect_args)
            )
        engine = engines[0]
        with engine.connect() as connection:
            if query:
                connection.execute(sqlalchemy.text(query))
            else:
                raw: Any = connection.connection.dbapi_connection
                if not engine.dialect.do_ping(raw):
                    raise ConnectionError("the database does not answer")

    return check
