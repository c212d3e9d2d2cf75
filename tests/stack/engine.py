"""A Docker engine of the tests' own: own data, own socket, ended by its own pid."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack.servers import Server, missing, wait_for

REMEDY = "apt-get install docker.io docker-compose iptables busybox-static"


@contextmanager
def engine(folder: Path) -> Iterator[dict[str, str]]:
    """Start dockerd with its data in *folder*; the environment in which docker talks to it."""
    for program in ("dockerd", "docker", "docker-compose", "iptables"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed", REMEDY)
    if os.geteuid() != 0:
        missing("only root can start dockerd", "sudo make test-stack")
    server = Server(_command(folder), folder / "dockerd.log")
    env = {**os.environ, "DOCKER_HOST": f"unix://{folder}/docker.sock"}
    try:
        _wait(server, env)
        yield env
    finally:
        server.stop(30)


def _command(folder: Path) -> list[str]:
    # No docker0 bridge: another engine on this machine may own it, and compose makes its own.
    return [
        "dockerd", "--bridge", "none", "--host", f"unix://{folder}/docker.sock",
        "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"),
        "--pidfile", str(folder / "docker.pid"),
    ]  # fmt: skip


def _wait(server: Server, env: dict[str, str]) -> None:
    def answers() -> bool:
        if server.process.poll() is not None:
            missing(f"dockerd does not run here: {server.tail()[-300:]}", "a privileged machine")
        return subprocess.run(["docker", "info"], env=env, capture_output=True).returncode == 0

    wait_for("dockerd", answers)
