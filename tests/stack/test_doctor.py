"""`doctor` against the real collector, Prometheus and Loki; only Grafana and Tempo are scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.scripted_stack import PROXY, ScriptedStack
from tests.stack.system import System
from tests.waiting import PATIENCE_S


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
                with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                    return json.loads(answer.read())
        if path.startswith(f"{PROXY}tempo"):
            trace = path.rsplit("/", 1)[1]
            return [span.trace_id for span in self.system.tempo.spans if span.trace_id == trace]
        return super().answer(path, query)


APP = """
from flask import Flask
from proletto_otel import setup_telemetry
app = Flask(__name__)
setup_telemetry(app)
"""


@pytest.fixture
def grafana(system: System) -> Iterator[Proxy]:
    """Grafana of the running system."""
    made = Proxy(system)
    yield made
    made.close()


def run(grafana: Proxy, folder: Path, *words: str, **variables: str) -> dict[str, Any]:
    """The verdicts of `doctor --json` by name."""
    (folder / "own.py").write_text(APP)
    env = {
        **os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": grafana.system.otlp, "LOG_DIR": str(folder),
        "PROLETTO_STRICT": "0", **variables,
    }  # fmt: skip
    command = [sys.executable, "-m", "proletto_otel", "doctor", "--grafana", grafana.url, "--json"]
    done = subprocess.run(
        [*command, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE_S
    )
    return {each["name"]: each for each in json.loads(done.stdout)}


@pytest.mark.parametrize("words", [(), ("--app", "own:app")], ids=["alone", "with --app"])
def test_marked_request_is_found_everywhere(
    grafana: Proxy, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Metric, exemplar, log line and trace of one request, in the stores that people use."""
    found = run(grafana, tmp_path, *words)

    assert {"well"} == {each["state"] for each in found.values()}, found


def test_marked_request_travels_over_grpc(grafana: Proxy, tmp_path: Path) -> None:
    """The collector is asked by the protocol that the exporter speaks."""
    found = run(
        grafana, tmp_path, OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_ENDPOINT=grafana.system.url("otlp_grpc"),
    )  # fmt: skip

    assert {"well"} == {each["state"] for each in found.values()}, found


def test_sample_of_an_earlier_run_proves_nothing(grafana: Proxy, tmp_path: Path) -> None:
    """Metrics that go astray are missed, although Prometheus has those of the last run."""
    before = run(grafana, tmp_path)
    astray = f"{grafana.url}/v1/metrics"
    found = run(grafana, tmp_path, "--wait", "2", OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=astray)

    assert "well" == before["metrics"]["state"]
    assert ["metrics"] == [name for name, each in found.items() if each["state"] == "wrong"], found
