"""Each server's own opinion of the shipped configuration."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.stack.servers import ROOT, binary
from tests.waiting import PATIENCE_S

COLLECTOR_FILES = (
    ["config.yaml"],
    ["config.yaml", "all-traces.yaml"],
    ["config.yaml", "tail-sampling.yaml"],
    ["host-metrics.yaml"],
)


def run(*command: str, **variables: str) -> str:
    """Run in the repository's root; what it printed. Fails unless it exits with 0."""
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S,
        env={**os.environ, "HOST_ROOT": "/", **variables},
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("files", COLLECTOR_FILES)
def test_collector_accepts(files: list[str]) -> None:
    """`otelcol-contrib validate` takes the main file, the overlay and the host profile."""
    options = [f"--config=collector/{file}" for file in files]

    assert "deprecated" not in run(binary("otelcol-contrib"), "validate", *options)


def test_prometheus_accepts() -> None:
    """`promtool check config` of the pinned version takes the file."""
    assert "SUCCESS" in run(binary("promtool"), "check", "config", "prometheus/prometheus.yml")


def test_loki_accepts() -> None:
    """`loki -verify-config` takes the file."""
    config = ("-config.file=loki/loki.yaml", "-config.expand-env=true")

    assert "level=error" not in run(binary("loki"), *config, "-verify-config")


def test_retention_is_read_from_the_environment() -> None:
    """LOGS_DAYS of .env is the retention Loki uses."""
    options = ("-config.expand-env=true", "-verify-config", "-print-config-stderr")
    shown = run(binary("loki"), "-config.file=loki/loki.yaml", *options, LOGS_DAYS="3")

    assert "\n  retention_period: 3d\n" in shown
