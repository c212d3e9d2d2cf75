"""What a program's start costs: only what every program needs is imported by set-up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.otlp_sink import ROOT

PROGRAM = """
import sys
import flask
before = set(sys.modules)
from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger
from proletto_otel.monitoring import monitor
app = flask.Flask("shop")
setup_telemetry(app)
print(*sorted(set(sys.modules) - before), file=sys.stderr)
app.test_client().get("/readyz")
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""
NOT_AT_SET_UP = {
    "asyncio", "grpc", "google.protobuf", "multiprocessing", "opentelemetry.sdk", "psutil", "redis",
    "requests", "slack_sdk", "smtplib", "sqlalchemy", "structlog", "yaml",
    "proletto_otel.monitoring.runtime", "proletto_otel.health.engine", "proletto_otel.stack",
}  # fmt: skip


def test_set_up_imports_only_what_every_program_needs(tmp_path: Path) -> None:
    """No client of a server, no SDK and no rule of an alert before it is needed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env={"LOG_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    at_set_up, at_first_request = (set(line.split()) for line in done.stderr.splitlines()[:2])

    assert set() == NOT_AT_SET_UP & at_set_up
    assert "proletto_otel.setup.telemetry" in at_set_up
    assert "proletto_otel.health.engine" in at_first_request
