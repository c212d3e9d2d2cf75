"""OpenTelemetry's propagators are ours from the moment that anybody can use them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.otlp_sink import ROOT
from tests.waiting import PATIENCE_S

IMPORTED = """
import os
import sys
import flask
from proletto_otel import setup_telemetry
setup_telemetry(flask.Flask("shop"))
telemetry = setup_telemetry()
telemetry.requests.tracing.start()
assert "opentelemetry.propagate" not in sys.modules
changes = []
sys.addaudithook(lambda event, _: changes.append(event) if event.endswith("putenv") else None)
from opentelemetry import propagate
assert not changes, changes
print(*sorted(propagate.get_global_textmap().fields))
"""


def test_import_by_the_program_sets_them_and_leaves_the_environment_alone(tmp_path: Path) -> None:
    """Another thread may be copying the environment for a child just then."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], cwd=ROOT, env={"LOG_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip

    assert "" == done.stderr
    assert ["X-Request-ID", "traceparent", "tracestate"] == done.stdout.split()
