"""`doctor` against the real collector, Prometheus and Loki; only Grafana and Tempo are scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.cli.scripted_stack import PROXY, ScriptedStack
from tests.stack.system import System


class Proxy(ScriptedStack):
    """Grafana's data source proxy in front of the real stores."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def answer(self, path: str, query: str) -> Any:
        """Pass a store's question on."""
        for store in ("prometheus", "loki"):
            if path.startswith(f"{PROXY}{store}"):
                url = f"{self.system.url(store)}{path.removeprefix(PROXY + store)}?{query}"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return json.loads(answer.read())
        if path.startswith(f"{PROXY}tempo"):
            trace = path.rsplit("/", 1)[1]
            return [span.trace_id for span in self.system.tempo.spans if span.trace_id == trace]
        return super().answer(path, query)


def test_marked_request_is_found_everywhere(system: System, tmp_path: Path) -> None:
    """Metric, exemplar, log line and trace of one request, in the stores that people use."""
    grafana = Proxy(system)
    env = {
        **os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": system.otlp, "LOG_DIR": str(tmp_path),
        "PROLETTO_STRICT": "0",
    }  # fmt: skip
    command = [sys.executable, "-m", "proletto_otel", "doctor", "--grafana", grafana.url, "--json"]
    try:
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100
        )
    finally:
        grafana.close()
    found = {each["name"]: each for each in json.loads(done.stdout[done.stdout.index("[\n") :])}

    assert {"well"} == {each["state"] for each in found.values()}, found
    assert 0 == done.returncode
