"""The small application of `doctor`: it serves the marked request in a process of its own.

In the process of `doctor` the user's application may be loaded, and telemetry is set up once in a
process: the request would go where that application's records go, which is nowhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from typing import Any

TIMEOUT_S = 5.0
START_S = 60.0
"""Longest time for importing everything on a busy machine, and for the request."""

NOT_DELIVERED = 3


def run(service: str, request_id: str, trace_id: str, environ: Mapping[str, str], own: Any) -> bool:
    """Send the request in another process; whether its telemetry was delivered.

    Args:
        own: More settings, as `setup_telemetry` takes them.

    Raises:
        RuntimeError: with the last line of what it printed, if it failed.
    """
    order = {"service": service, "request": request_id, "trace": trace_id, "settings": own}
    done = subprocess.run(
        [sys.executable, "-m", "proletto_otel.cli.doctor_probe"],
        input=json.dumps(order), env=dict(environ), capture_output=True, text=True, timeout=START_S,
    )  # fmt: skip
    if done.returncode not in (0, NOT_DELIVERED):
        raise RuntimeError((done.stderr.strip().splitlines() or ["no output"])[-1])
    return done.returncode == 0


def main() -> int:
    """Serve one request, as standard input says."""
    from flask import Flask

    from proletto_otel import setup_telemetry

    order = json.load(sys.stdin)
    app = Flask(order["service"])
    app.add_url_rule("/doctor", "doctor", lambda: "ok")
    headers = {
        "X-Request-ID": order["request"],
        "traceparent": f"00-{order['trace']}-{uuid.uuid4().hex[:16]}-01",
    }
    # Its files are in nobody's way: only what reaches the stack counts.
    with tempfile.TemporaryDirectory() as folder:
        telemetry = setup_telemetry(
            app, config=order["settings"], service_name=order["service"], log_dir=folder,
            state_dir=folder, log_console=False,
        )  # fmt: skip
        try:
            with app.test_client() as client:
                client.get("/doctor", headers=headers)
            delivered = telemetry.flush(TIMEOUT_S)
        finally:
            telemetry.shutdown()
    return 0 if delivered else NOT_DELIVERED


if __name__ == "__main__":
    sys.exit(main())
