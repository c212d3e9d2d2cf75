"""The overlay for more than one machine: the same stack, other storage."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from proletto_otel.stack import shipped
from tests.stack.servers import ROOT, binary, missing
from tests.stack.test_validate import run

BUCKET = {"S3_ENDPOINT": "minio:9000", "S3_ACCESS_KEY": "key", "S3_SECRET_KEY": "secret"}
PAIRS = {
    ("loki/loki.yaml", "loki/loki-s3.yaml"): {
        "common", "schema_config", "compactor", "server", "memberlist",
    },
    ("tempo/tempo.yaml", "tempo/tempo-s3.yaml"): {"storage"},
    ("prometheus/prometheus.yml", "prometheus/prometheus-remote.yml"): {
        "remote_write", "scrape_configs",
    },
    ("prometheus/prometheus-remote.yml", "prometheus/prometheus-kubernetes.yml"): {
        "scrape_configs",
    },
}  # fmt: skip
"""(one machine, more) -> the parts that differ."""


def load(path: str) -> dict[str, Any]:
    """A YAML file of the repository."""
    return dict(yaml.safe_load((ROOT / path).read_text()))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[1])
def test_only_storage_differs(pair: tuple[str, str]) -> None:
    """Limits, labels and retention are the same, so dashboards and rules hold."""
    one, more = load(pair[0]), load(pair[1])
    different = {key for key in {*one, *more} if one.get(key) != more.get(key)}

    assert PAIRS[pair] == different


def test_same_parts_are_scraped() -> None:
    """Only how replicas are found differs; the names of jobs, which rules use, are the same."""
    one, more, kubernetes = (
        {job["job_name"]: job for job in load(f"prometheus/prometheus{end}.yml")["scrape_configs"]}
        for end in ("", "-remote", "-kubernetes")
    )

    assert ["loki"] == [name for name in one if one[name] != more[name]]
    assert {*one, "otel-sampler"} == set(kubernetes)
    static = ("prometheus", "tempo", "grafana")
    assert [one[name] for name in static] == [kubernetes[name] for name in static]


def test_loki_accepts() -> None:
    """`loki -verify-config` takes the file with a bucket."""
    config = ("-config.file=loki/loki-s3.yaml", "-config.expand-env=true")

    assert "level=error" not in run(binary("loki"), *config, "-verify-config", **BUCKET)


@pytest.mark.parametrize("name", ["remote", "kubernetes"])
def test_prometheus_accepts(name: str) -> None:
    """`promtool check config` takes the files with remote_write."""
    path = f"prometheus/prometheus-{name}.yml"

    assert "SUCCESS" in run(binary("promtool"), "check", "config", path)


def merged(**variables: str) -> subprocess.CompletedProcess[str]:
    """What docker-compose makes of both files."""
    if shutil.which("docker-compose") is None:
        missing("docker-compose is not installed", "apt-get install docker-compose")
    files = ["-f", "docker-compose.yml", "-f", "docker-compose.scale.yml"]
    return subprocess.run(
        ["docker-compose", *files, "config"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "GRAFANA_ADMIN_PASSWORD": "x", **variables},
    )  # fmt: skip


def test_overlay_replaces_the_mounted_files() -> None:
    """One file at each path; hardening and limits stay."""
    services = yaml.safe_load(merged(**BUCKET).stdout)["services"]
    for name, target in (
        ("loki", "/etc/loki/loki.yaml"),
        ("tempo", "/etc/tempo/tempo.yaml"),
        ("prometheus", "/etc/prometheus/prometheus.yml"),
    ):
        text = [str(mount) for mount in services[name]["volumes"] if target in str(mount)]

        assert 1 == len(text)
        assert "-s3." in text[0] or "-remote." in text[0]
        assert services[name]["read_only"] is True


def test_bucket_is_required() -> None:
    """Without an object store docker-compose says what to set."""
    done = merged()

    assert 0 != done.returncode
    assert "S3_ENDPOINT" in done.stderr


def test_overlay_is_shipped() -> None:
    """`stack init` writes it, with the files it mounts."""
    assert {"docker-compose.scale.yml", "loki/loki-s3.yaml", "tempo/tempo-s3.yaml"} <= set(
        shipped.texts()
    )
