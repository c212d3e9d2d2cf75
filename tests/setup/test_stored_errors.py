"""Errors of other hosts and errors whose lines are gone, on the log page of a real application."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.logs.search import stored_errors
from proletto_otel.logs.search.query import LogQuery
from proletto_otel.logs.search.results import ERRORS, FILE, LogLine
from proletto_otel.logs.sinks.database import search as table_search
from proletto_otel.monitoring import monitor
from proletto_otel.setup.handle import Telemetry
from tests.servers import MariaDB, PostgreSQL, free_port, needs_mariadb, needs_postgresql
from tests.web.dashboard import ADMIN

sqlalchemy = pytest.importorskip("sqlalchemy")
OTHER_HOST = """
import socket, sys
socket.gethostname = lambda: "web-2"
from flask import Flask
from proletto_otel import setup_telemetry
from proletto_otel.core.context import background
from proletto_otel.error_logging import get_logger
telemetry = setup_telemetry(Flask("shop"), environment="development", log_console=False,
    log_dir=sys.argv[1], db=sys.argv[2])
for n in range(3):
    with background(request_id=f"other-{n}"):
        get_logger("shop.bank").critical("the bank is away", component="bank", number=n)
        try:
            [][n]
        except IndexError:
            get_logger("shop").exception("no account")
telemetry.shutdown()
"""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was logged just now is settled, and a busy machine has its time."""
    monkeypatch.setattr(stored_errors, "SETTLED_S", -1.0)
    monkeypatch.setattr(stored_errors, "BUDGET_S", 30.0)
    monkeypatch.setattr(table_search, "WAIT_S", 30.0)


@dataclass(frozen=True, slots=True)
class Shop:
    """An application with its telemetry."""

    app: Flask
    telemetry: Telemetry

    def fail(self) -> str:
        """One request that fails, written everywhere; its ID."""
        found = self.app.test_client().get("/pay/0").headers["X-Request-ID"]
        self.telemetry.flush()
        return found

    def page(self, path: str) -> str:
        """The HTML of an admin page."""
        answer = self.app.test_client().get(f"{ADMIN}{path}")
        assert answer.status_code == 200
        return answer.text


def shop(folder: Path, url: str) -> Shop:
    """With files and this database."""
    app = Flask("shop")
    telemetry = setup_telemetry(
        app, environment="development", log_console=False, log_dir=str(folder), log_files=True,
        db=url,
    )  # fmt: skip

    @app.get("/pay/<int:months>")
    def pay(months: int) -> str:
        return str(4900 // months)

    return Shop(app, telemetry)


@pytest.fixture
def beside(tmp_path: Path, telemetry_capture: object) -> Shop:
    """A shop whose database another host uses, too."""
    return with_neighbour(tmp_path, f"sqlite:///{tmp_path / 'shop.db'}")


def with_neighbour(folder: Path, url: str) -> Shop:
    """The other host has written its errors."""
    subprocess.run([sys.executable, "-c", OTHER_HOST, str(folder / "web-2"), url], check=True)
    return shop(folder / "web-1", url)


def test_errors_of_another_host(beside: Shop) -> None:
    """Those that share the database are on the page, once, with the host's name; so is the JSON."""
    own = beside.fail()
    page = beside.page("/logs?level=ERROR")
    found = beside.app.test_client().get(f"{ADMIN}/api/pages/logs?level=ERROR").json["found"]

    assert 6 == page.count("from the error table, host web-2")
    assert 1 == page.count(f'/request/{own}"')
    by_source = [line["source"] for line in found["lines"]]
    assert (6, 1) == (by_source.count(ERRORS), by_source.count(FILE))
    assert {"web-2"} == {line["host"] for line in found["lines"] if line["source"] == ERRORS}

    def ids(**query: str) -> list[str]:
        lines = monitor.logs.search(LogQuery(**query)).lines
        return [line.request_id for line in lines if line.host]

    assert ["other-2", "other-1", "other-0"] == ids(level="CRITICAL")
    assert ["other-2", "other-1", "other-0"] == ids(logger="shop.bank")
    assert ["other-1", "other-1"] == ids(identifier="other-1")
    assert ["other-1"] == ids(request_id="other-1", text="INDEX OUT")
    assert 3 == len(ids(component="bank"))
    assert [] == ids(user="nobody")
    assert [] == ids(pattern="nothing .* of the kind")


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(PostgreSQL, marks=needs_postgresql),
        pytest.param(MariaDB, marks=needs_mariadb),
    ],
)
def test_real_databases(
    server: type[PostgreSQL | MariaDB], tmp_path: Path, telemetry_capture: object
) -> None:
    """Through their own types: small pages show each error once, the newest first."""
    with server(tmp_path / "db", free_port()) as database:
        shared = with_neighbour(tmp_path, database.url)
        own = shared.fail()
        lines: list[LogLine] = []
        cursor = None
        while not lines or cursor is not None:
            page = monitor.logs.search(LogQuery(level="ERROR"), cursor=cursor, limit=2)
            cursor, lines = page.cursor, [*lines, *page.lines]
        assert own == lines[0].request_id
        assert [f"other-{n}" for n in (2, 2, 1, 1, 0, 0)] == [x.request_id for x in lines[1:]]
        assert 7 == len({line.identity() for line in lines})
        assert "IndexError" == lines[1].type
        shared.telemetry.shutdown()


def test_both_tables_and_no_line(beside: Shop) -> None:
    """An error that host and database have is shown once, with its own page; others without."""
    own = beside.fail()
    path = monitor.logs.path
    assert path is not None
    path.write_bytes(b"")
    (line,) = monitor.logs.search(LogQuery(request_id=own)).lines
    page = beside.page(f"/logs?identifier={own}")

    assert (ERRORS, "") == (line.source, line.host)
    assert 1 == page.count("from the error table")
    assert f"/errors/{line.group}?occurrence={line.occurrence}" in page
    assert own in beside.page(f"/errors/{line.group}?occurrence={line.occurrence}")
    # the other host's group is not this one's: no link that leads to nothing
    other = beside.page("/logs?identifier=other-1")
    assert "/errors/" not in other.partition('id="lines"')[2].partition("</ol>")[0]
    assert own in beside.page(f"/request/{own}")


def test_database_that_hangs(beside: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page waits a moment and says so; the next ones do not wait at all."""
    beside.fail()
    monkeypatch.setattr(table_search, "WAIT_S", 0.05)
    monkeypatch.setattr(table_search.ErrorTable, "_read", lambda *_: time.sleep(5))
    first = beside.page("/logs?level=ERROR")
    second = beside.page("/logs?level=ERROR")

    assert "the error table of the database cannot be read: timeout" in first
    assert "ZeroDivisionError" in first
    assert "it is asked again in" in second


def test_database_without_the_table(tmp_path: Path, telemetry_capture: object) -> None:
    """A table that is missing, or a database that is not there, costs nothing but its rows."""
    alone = shop(tmp_path, f"sqlite:///{tmp_path / 'none.db'}")
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'none.db'}")
    alone.fail()
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE error_logs"))
    engine.dispose()

    assert "ZeroDivisionError" in alone.page("/logs?level=ERROR")
    assert "cannot be read" in alone.page("/logs")
