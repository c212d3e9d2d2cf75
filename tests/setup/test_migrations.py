"""The application's migrations, by the real Flask-Migrate, beside the table of errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

PROGRAM = """
import sys
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from flask_migrate import Migrate, init, migrate, upgrade
from proletto_otel import setup_telemetry
from proletto_otel.error_logging import include_object, logger

app = Flask("shop")
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///" + sys.argv[1] + "/shop.sqlite"
db = SQLAlchemy(app)
MODEL
Migrate(app, db, directory=sys.argv[1] + "/migrations", OPTIONS)

class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)

telemetry = setup_telemetry(app, db=db, log_dir=sys.argv[1] + "/logs", sdk_disabled=True)
with telemetry:
    logger.error("before the migration")
    assert telemetry.flush(300)
with app.app_context():
    init()
    migrate()
    upgrade()
    rows = db.session.execute(db.text("SELECT count(*) FROM error_logs")).scalar()
print("rows", rows)
"""
OWN_MODEL = """
class ErrorLog(db.Model):
    __tablename__ = "error_logs"
    id = db.Column(db.Integer, primary_key=True)
    note = db.Column(db.Text)
"""


def migrated(directory: Path, options: str, model: str = "") -> tuple[str, str]:
    """What the program said, and the migration that it wrote."""
    program = PROGRAM.replace("OPTIONS", options).replace("MODEL", model)
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert "rows 1" in done.stdout or options == "", done.stderr
    (script,) = (directory / "migrations" / "versions").glob("*.py")
    return done.stdout + done.stderr, script.read_text()


def test_a_migration_leaves_the_table_alone(tmp_path: Path) -> None:
    """`flask db migrate` sees the application's tables only, and `upgrade` drops no error."""
    said, script = migrated(tmp_path, "include_object=include_object")

    assert "rows 1" in said
    assert "create_table('order'" in script
    assert "error_logs" not in script


@pytest.mark.parametrize(
    ("options", "model"), [("", ""), ("include_object=include_object", OWN_MODEL)]
)
def test_what_it_is_for(tmp_path: Path, options: str, model: str) -> None:
    """Without it the table would go; a model of the application's own is migrated as ever."""
    _, script = migrated(tmp_path, options, model)

    assert ("drop_table('error_logs')" in script) == (not model)
    assert ("add_column(sa.Column('note'" in script) == bool(model)
