"""An engine of our own: it connects as the application does, with a pool and limits of its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from proletto_otel.runtime.database_engine import Use, own_engine, time_limits

USE = Use(application_name="test", seconds=1.5)


def ask(engine: sa.Engine, statement: str = "SELECT 1") -> Any:
    """The first value of the answer."""
    with engine.connect() as connection:
        value = connection.exec_driver_sql(statement).scalar()
    engine.dispose()
    return value


def test_creator_of_the_application_connects(tmp_path: Path) -> None:
    """A URL that leads nowhere and a `creator`: rows go where the creator leads, within limits."""
    calls: list[str] = []

    def creator() -> sqlite3.Connection:
        calls.append("called")
        return sqlite3.connect(tmp_path / "real.db", check_same_thread=False)

    theirs = sa.create_engine("sqlite:////nowhere/at/all.db", creator=creator)
    ours = own_engine(theirs, USE)
    assert ask(ours, "PRAGMA database_list") is not None
    assert ["called"] == calls
    assert 2000 == ask(ours, "PRAGMA busy_timeout")
    assert (tmp_path / "real.db").exists()


def test_listener_that_changes_the_arguments_is_asked_each_time(tmp_path: Path) -> None:
    """A login by token: each new connection gets the token of its time, and the app's stay its."""
    theirs = sa.create_engine("sqlite:////nowhere/at/all.db", connect_args={"timeout": 7})
    tokens: list[dict[str, Any]] = []

    @sa.event.listens_for(theirs, "do_connect")
    def login(_dialect: Any, _record: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
        tokens.append({**kwargs, "database": args[0]})
        kwargs["timeout"] = 1
        args[0] = str(tmp_path / f"token{len(tokens)}.db")

    ours = own_engine(theirs, USE)
    assert 1 == ask(ours)
    assert 1 == ask(ours)

    assert ["token1.db", "token2.db"] == sorted(p.name for p in tmp_path.iterdir())
    assert [7, 7] == [seen["timeout"] for seen in tokens]
    assert ["/nowhere/at/all.db"] * 2 == [seen["database"] for seen in tokens]


def test_listener_that_connects_by_itself_is_enough(tmp_path: Path) -> None:
    """What `do_connect` returns is the connection, also when it was registered afterwards."""
    theirs = sa.create_engine("sqlite:////nowhere/at/all.db")
    ours = own_engine(theirs, USE)
    sa.event.listen(
        theirs,
        "do_connect",
        lambda *_: sqlite3.connect(tmp_path / "real.db", check_same_thread=False),
    )

    assert 1 == ask(ours)


def test_listeners_of_new_connections_hold(tmp_path: Path) -> None:
    """A search path, a key or a pragma that the application sets on connecting is set here, too."""
    theirs = sa.create_engine(f"sqlite:///{tmp_path}/a.db")
    sa.event.listen(theirs, "connect", lambda c, _: c.execute("PRAGMA cache_size = 77"))

    assert 77 == ask(own_engine(theirs, USE), "PRAGMA cache_size")


def test_applications_own_arguments_win_over_our_limits(tmp_path: Path) -> None:
    """Ours are for what it left out; those given here win over both."""
    theirs = sa.create_engine(f"sqlite:///{tmp_path}/a.db", connect_args={"timeout": 9})
    assert 9000 == ask(own_engine(theirs, USE), "PRAGMA busy_timeout")
    given = own_engine(theirs, USE, connect_args={"timeout": 4})
    assert 4000 == ask(given, "PRAGMA busy_timeout")
    bare = sa.create_engine(f"sqlite:///{tmp_path}/a.db")
    assert 1500 == ask(own_engine(bare, USE), "PRAGMA busy_timeout")
    assert 5000 == ask(bare, "PRAGMA busy_timeout")


def test_pool_and_dialect_of_the_application_are_not_touched(tmp_path: Path) -> None:
    """Neither a connection of its pool nor the set-up of its dialect."""
    theirs = sa.create_engine(f"sqlite:///{tmp_path}/a.db", poolclass=sa.QueuePool)
    ours = own_engine(theirs, USE)
    with ours.connect():
        assert 0 == theirs.pool.checkedout()  # type: ignore[attr-defined]  # a QueuePool
    ours.dispose()

    assert theirs.dialect is not ours.dialect
    assert "server_version_info" not in vars(theirs.dialect)


def test_flask_sqlalchemy_options_hold(tmp_path: Path) -> None:
    """`SQLALCHEMY_ENGINE_OPTIONS`, creator and all."""
    app, db = Flask(__name__), SQLAlchemy()
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:////nowhere/at/all.db"
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        "creator": lambda: sqlite3.connect(tmp_path / "real.db", check_same_thread=False)
    }
    db.init_app(app)

    assert 1 == ask(own_engine(db, USE))
    assert (tmp_path / "real.db").exists()


def test_no_statement_shows_its_parameters() -> None:
    """Errors name no value."""
    assert own_engine(sa.make_url("sqlite://"), USE).hide_parameters


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+psycopg://db/shop", {"connect_timeout": 2, "application_name": "test"}),
        ("mysql+pymysql://db/shop", {"connect_timeout": 2, "read_timeout": 2}),
        ("mysql+mysqlconnector://db/shop", {"connection_timeout": 2}),
        ("sqlite:///a.db", {"timeout": 1.5}),
        ("oracle+oracledb://db/shop", {}),
    ],
)
def test_each_driver_gets_its_own_words(url: str, expected: dict[str, Any]) -> None:
    """Limits under the names that the driver knows; none for a driver that we do not know."""
    limits = time_limits(sa.make_url(url), USE)

    assert expected.items() <= limits.items()
    assert bool(expected) == bool(limits)


def test_options_of_postgresql_are_joined() -> None:
    """The application's `options` stay, ours follow."""
    theirs = sa.create_engine("postgresql+psycopg://db/shop", connect_args={"options": "-c a=b"})
    seen: list[str] = []

    @sa.event.listens_for(theirs, "do_connect")
    def look(_dialect: Any, _record: Any, _args: Any, kwargs: dict[str, Any]) -> Any:
        seen.append(kwargs["options"])
        raise OSError("enough")

    with pytest.raises(OSError, match="enough"):
        own_engine(theirs, USE).connect()
    assert ["-c a=b -c statement_timeout=2s -c lock_timeout=2s"] == seen
