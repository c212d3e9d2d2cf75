"""A script that ends at once: its errors are in the database and in Slack when it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.slack_server import SlackServer
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger
setup_telemetry()
if sys.argv[1] == "logs":
    logger.error("only in the database")
    logger.critical("nightly import failed")
elif sys.argv[1] == "raises":
    raise ValueError("nightly import failed")
elif sys.argv[1] == "exits":
    logger.critical("nightly import failed")
    sys.exit(3)
"""


@pytest.mark.parametrize(
    ("how", "code", "stored"), [("logs", 0, 2), ("raises", 1, 1), ("exits", 3, 1)]
)
def test_short_script_delivers_at_its_end(tmp_path: Path, how: str, code: int, stored: int) -> None:
    """However it ends: rows and the message arrive, within the budget of an exit."""
    with SlackServer() as slack:
        environ = {
            "PYTHONPATH": str(ROOT),
            "LOG_DIR": str(tmp_path / "logs"),
            "PROLETTO_DATABASE_URL": f"sqlite:///{tmp_path}/shop.db",
            "SLACK_WEBHOOK_URL": slack.webhook_url,
            "PROLETTO_SLACK_ALLOW_INSECURE": "1",
            "ENVIRONMENT": "production",
            "OTEL_SDK_DISABLED": "true",
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, how],
            env=os.environ | environ, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        told = [message.raw for message in slack.messages]
    engine = sa.create_engine(f"sqlite:///{tmp_path}/shop.db", poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT level, message, traceback FROM error_logs").all()

    assert code == done.returncode, done.stderr
    assert stored == len(rows)
    assert 1 == len(told), done.stderr
    assert "nightly import failed" in told[0]
    assert "nightly import failed" in str(rows)
