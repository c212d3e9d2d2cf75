"""Ready-made checks: databases, disk space, ports."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from proletto_otel.core.errors import ConfigError
from proletto_otel.health.checks import Check, Runner
from proletto_otel.health.ready_made.database import database
from proletto_otel.health.ready_made.host import disk_space, tcp_port
from proletto_otel.health.ready_made.redis import redis


def run(check: Any) -> str:
    """Status of one run."""
    return Runner(Check(name="it", function=check)).start()().status


def closing_engine(path: Path) -> sqlalchemy.Engine:
    """An engine that leaves no connection open."""
    return sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.NullPool)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An SQLite database."""
    path = tmp_path / "shop.db"
    closing_engine(path).connect().close()
    path.touch()
    return path


def test_database_by_url_and_by_engine(file: Path) -> None:
    """A URL or an engine."""
    assert "healthy" == run(database(f"sqlite:///{file}"))
    assert "healthy" == run(database(closing_engine(file)))


def test_check_does_not_create_a_database(tmp_path: Path) -> None:
    """A file that is missing is unhealthy, and stays missing."""
    assert "unhealthy" == run(database(f"sqlite:///{tmp_path}/none.db"))
    assert [] == list(tmp_path.iterdir())


def test_flask_sqlalchemy_object_initialised_later(file: Path) -> None:
    """The check may be registered before `db.init_app(app)`."""
    db, app = SQLAlchemy(), Flask(__name__)
    check = database(db)
    assert "unhealthy" == run(check)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{file}"
    db.init_app(app)

    assert "healthy" == run(database(db, app=app))
    assert "healthy" == run(check)


def test_applications_pool_is_not_used(file: Path) -> None:
    """The app holds its only connection: the check has one of its own."""
    engine = sqlalchemy.create_engine(
        f"sqlite:///{file}", poolclass=sqlalchemy.QueuePool, pool_size=1, max_overflow=0
    )
    with engine.connect():
        assert "healthy" == run(database(engine))
    engine.dispose()


def test_check_connects_as_the_application_does(file: Path) -> None:
    """An engine with a URL that leads nowhere: its `creator` and its listeners connect."""
    made = sqlalchemy.create_engine("sqlite:////nowhere.db", creator=lambda: sqlite3.connect(file))
    assert "healthy" == run(database(made))
    by_token = sqlalchemy.create_engine("sqlite:////nowhere.db")

    @sqlalchemy.event.listens_for(by_token, "do_connect")
    def login(_dialect: Any, _record: Any, args: list[Any], _kwargs: Any) -> None:
        args[0] = str(file)

    assert "healthy" == run(database(by_token))


def test_default_is_the_ping_of_the_dialect(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every database has its own; a query is asked when it is given."""
    pings: list[Any] = []
    dialect = type(sqlalchemy.create_engine("sqlite://").dialect)
    monkeypatch.setattr(dialect, "do_ping", lambda _, connection: pings.append(connection))
    assert "unhealthy" == run(database(f"sqlite:///{file}"))
    assert 1 == len(pings)
    assert "healthy" == run(database(f"sqlite:///{file}", query="SELECT 2"))
    assert "unhealthy" == run(database(f"sqlite:///{file}", query="SELECT nothing"))
    assert 1 == len(pings)


@pytest.mark.parametrize("target", [None, 7, object(), "not a url", "postgresql:"])
def test_other_targets_are_refused(target: Any) -> None:
    """At registration."""
    with pytest.raises(ConfigError, match="expected"):
        database(target)


class Usage(NamedTuple):
    """What shutil.disk_usage returns."""

    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("free", "status"), [(50, "healthy"), (10, "healthy"), (9, "degraded"), (2, "unhealthy")]
)
def test_disk_that_fills_up(free: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 10 % degraded, below 3 % unhealthy, of what users may fill."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(105, 100 - free, free))

    assert status == run(disk_space("/"))


def test_disk_that_is_not_there_is_unhealthy(tmp_path: Path) -> None:
    """A mount that is gone."""
    assert "unhealthy" == run(disk_space(tmp_path / "gone"))


def test_port_that_listens_is_healthy() -> None:
    """A TCP port, open and closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "healthy" == run(tcp_port("127.0.0.1", port))

    assert "unhealthy" == run(tcp_port("127.0.0.1", port))


@pytest.mark.parametrize(("host", "port"), [("", 80), ("x", 0), ("x", 70000), ("x", "80")])
def test_impossible_ports_are_refused(host: str, port: Any) -> None:
    """At registration."""
    with pytest.raises(ConfigError):
        tcp_port(host, port)


@pytest.mark.parametrize("target", [None, "http://x", 7])
def test_redis_needs_a_redis_url(target: Any) -> None:
    """redis://, rediss:// or unix://, or a client."""
    with pytest.raises(ConfigError):
        redis(target)
