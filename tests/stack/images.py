"""Images `FROM scratch` that hold the built servers under the official names, paths and users.

The official images cannot be pulled where the tests run; with these the real docker-compose.yml
starts. Only for an engine of the test's own: elsewhere they would hide the real ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.stack.servers import COMPOSE, binary, compose_default, missing

BUSYBOX = Path("/bin/busybox")


@dataclass(frozen=True)
class Image:
    """What goes into one image."""

    service: str
    """The service of docker-compose.yml that it takes the image name of."""
    entrypoint: str
    user: str
    files: Mapping[str, str]
    """Path in the image -> built binary."""
    tools: Sequence[str] = ()
    """Shell tools in /bin, where the official image has them."""
    folders: Mapping[str, int] = field(default_factory=dict)
    """Empty folders and their owner."""


IMAGES = (
    Image("otel-collector", "/otelcol-contrib", "10001", {"otelcol-contrib": "otelcol-contrib"}),
    Image(
        "prometheus", "/bin/prometheus", "nobody",
        {"bin/prometheus": "prometheus", "bin/promtool": "promtool", "bin/wget": "standin"},
        tools=("sh", "tail", "chown", "cat"), folders={"prometheus": 65534},
    ),
    Image("loki", "/usr/bin/loki", "10001", {"usr/bin/loki": "loki"}, folders={"loki": 10001}),
    Image("tempo", "/tempo", "10001:10001", {"tempo": "standin"}, folders={"var/tempo": 10001}),
    Image(
        "grafana", "/usr/bin/grafana", "472",
        {"usr/bin/grafana": "standin", "usr/bin/wget": "standin"}, folders={"var/lib/grafana": 472},
    ),
)  # fmt: skip


def import_all(scratch: Path, env: Mapping[str, str]) -> None:
    """Import every image into the engine that *env* names."""
    if not BUSYBOX.exists():
        missing("no static busybox", "apt-get install busybox-static")
    for image in IMAGES:
        archive = scratch / f"{image.service}.tar"
        _write(image, archive)
        name = compose_default(COMPOSE["services"][image.service]["image"])
        changes = (
            f'ENTRYPOINT ["{image.entrypoint}"]',
            f"USER {image.user}",
            "ENV PATH=/usr/bin:/bin",
        )
        options = [word for change in changes for word in ("--change", change)]
        subprocess.run(["docker", "import", *options, str(archive), name], env=env, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        archive.unlink()


def _write(image: Image, archive: Path) -> None:
    root = archive.with_suffix("")
    for path, name in image.files.items():
        _put(Path(binary(name)), root / path)
    for tool in image.tools:
        _put(BUSYBOX, root / "bin" / tool)
    for folder, owner in {**image.folders, "etc": 0, "tmp": 0}.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        os.chown(root / folder, owner, owner)
    (root / "etc/passwd").write_text("root:x:0:0::/:\nnobody:x:65534:65534::/:\n")
    with tarfile.open(archive, "w") as packed:
        packed.add(root, ".")
    shutil.rmtree(root)


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
