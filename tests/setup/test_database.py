"""`db=` and `add_db_handler`: errors reach `error_logs`, the health of the database is checked."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask

from proletto_otel import ConfigError, setup_telemetry
from proletto_otel.error_logging import add_db_handler, logger
from proletto_otel.monitoring import monitor
from proletto_otel.testing import TelemetryCapture


def rows(path: Path) -> list[str]:
    """Messages in the table, polled until there is one."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with closing(sqlite3.connect(path)) as db:
                found = [row[0] for row in db.execute("SELECT message FROM error_logs")]
        except sqlite3.OperationalError:
            found = []
        if found:
            return found
        time.sleep(0.05)
    return []


@pytest.mark.parametrize("early", [True, False])
def test_errors_are_stored_whichever_call_comes_first(
    telemetry_capture: TelemetryCapture, tmp_path: Path, early: bool
) -> None:
    """Error and critical logs are stored in the database, before and after set-up alike."""
    path = tmp_path / "app.db"
    if early:
        add_db_handler(f"sqlite:///{path}")
    telemetry = setup_telemetry()
    telemetry.activate()
    if not early:
        add_db_handler(f"sqlite:///{path}")

    logger.info("not stored")
    logger.error("stored", order_id=7)
    telemetry.flush(5)

    assert ["stored"] == rows(path)


def test_errors_before_the_set_up_reach_every_destination(
    telemetry_capture: TelemetryCapture, tmp_path: Path
) -> None:
    """What an import logs as an error is stored, grouped, counted and sent like any other."""
    path = tmp_path / "app.db"
    logger.critical("license is missing", order_id=7)

    telemetry = setup_telemetry(db=f"sqlite:///{path}")
    setup_telemetry()
    telemetry.flush(5)

    assert ["license is missing"] == rows(path)
    assert [("license is missing", 1)] == [
        (group.message, group.count) for group in telemetry.errors.groups()
    ]
    assert 1 == telemetry_capture.metric("proletto.errors")
    assert ["license is missing"] == [record["body"] for record in telemetry_capture.logs]


def test_health_of_the_database_is_checked(
    telemetry_capture: TelemetryCapture, tmp_path: Path
) -> None:
    """`setup_telemetry(app, db=…)` registers the check `database`."""
    app = Flask("shop")
    sqlite3.connect(tmp_path / "app.db").execute("VACUUM").connection.close()
    setup_telemetry(app, db=f"sqlite:///{tmp_path / 'app.db'}")

    checks = {check.name: check.status for check in monitor.get_health().checks}

    assert checks == {"database": "healthy"}


def test_table_is_created_before_any_error(
    telemetry_capture: TelemetryCapture, tmp_path: Path
) -> None:
    """`add_db_handler` creates the table `error_logs`, not only the first error does."""
    path = tmp_path / "app.db"
    add_db_handler(f"sqlite:///{path}")
    setup_telemetry().activate()

    deadline = time.monotonic() + 10
    tables: list[str] = []
    while "error_logs" not in tables and time.monotonic() < deadline:
        with closing(sqlite3.connect(path)) as db:
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master")]
    assert "error_logs" in tables


def test_something_that_is_no_database_is_a_config_error(
    telemetry_capture: TelemetryCapture,
) -> None:
    """A wrong argument names what fits, before and after set-up."""
    with pytest.raises(ConfigError, match="db="):
        add_db_handler(7)
    setup_telemetry()
    with pytest.raises(ConfigError, match="db="):
        add_db_handler(7)
