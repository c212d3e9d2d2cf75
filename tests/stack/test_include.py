"""The stack inside a user's own compose file, read by the library of Compose v2."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from proletto_otel.stack import shipped
from tests.stack.servers import COMPOSE, ROOT, missing
from tests.waiting import BUILD_S

OWN = """
include: [observability/docker-compose.yml]
services:
  shop:
    image: shop
    networks: [edge]
    environment: {OTEL_EXPORTER_OTLP_ENDPOINT: "http://otel-collector:4318"}
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that reads compose files as Compose v2 does."""
    if shutil.which("go") is None:
        missing("go is not installed", "https://go.dev/dl")
    path = tmp_path_factory.mktemp("compose_go") / "read"
    subprocess.run(["go", "build", "-o", str(path), "."], cwd=ROOT / "tests/stack/compose_go",
                   check=True, timeout=BUILD_S)  # fmt: skip
    return path


def read(reader: Path, folder: Path, *files: str) -> dict[str, Any]:
    """What Compose v2 makes of files in *folder*, all profiles on."""
    env = {**os.environ, "GRAFANA_ADMIN_PASSWORD": "let-me-in"}
    done = subprocess.run([str(reader), *files], cwd=folder, env=env, capture_output=True,
                          text=True)  # fmt: skip
    assert 0 == done.returncode, done.stderr
    assert "level=warning" not in done.stderr
    return dict(yaml.safe_load(done.stdout))


def test_compose_v2_reads_the_file(reader: Path) -> None:
    """The shipped file holds nothing that only the old docker-compose knows."""
    assert set(COMPOSE["services"]) == set(read(reader, ROOT, "docker-compose.yml")["services"])


def test_own_file_includes_the_stack(reader: Path, tmp_path: Path) -> None:
    """All parts, the files found beside the included one, and the user's service next to them."""
    for path, text in shipped.texts().items():
        target = tmp_path / "observability" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (tmp_path / "docker-compose.yml").write_text(OWN)
    found = read(reader, tmp_path, "docker-compose.yml")
    sources = [
        mount["source"]
        for service in found["services"].values()
        for mount in service.get("volumes", ())
        if mount["type"] == "bind" and mount["source"] != "/"
    ]

    assert {"shop", *COMPOSE["services"]} == set(found["services"])
    assert [] == [source for source in sources if not Path(source).exists()]
    assert all(source.startswith(str(tmp_path / "observability")) for source in sources)
    assert {"edge"} == set(found["services"]["shop"]["networks"])
