"""The real servers, started by the tests: built binaries, shipped configuration, free ports.

Which binaries there are is decided by `backends/build.sh`; the commands are those of
docker-compose.yml, so that a wrong flag there is seen here.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
T = TypeVar("T")


def versions() -> dict[str, str]:
    """The pins of `backends/versions.env`."""
    lines = (ROOT / "backends/versions.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def missing(reason: str, remedy: str) -> None:
    """Skip, telling what would help; where everything must be there, fail."""
    message = f"{reason}; `{remedy}` provides it"
    if os.environ.get("PROLETTO_REQUIRE_ALL") == "1":
        pytest.fail(message)
    pytest.skip(message, allow_module_level=True)


def dashboard_generators() -> None:
    """Skips where the package that the dashboards are built with is not installed."""
    if importlib.util.find_spec("grafana_foundation_sdk") is None:
        missing("needs grafana-foundation-sdk", "make install, with Python 3.11 or later")


def binary(name: str) -> str:
    """The path of a built server; skips when it was not built."""
    pins = versions()
    folder = {
        "otelcol-contrib": f"collector/{pins['COLLECTOR_VERSION']}",
        "prometheus": f"prometheus/{pins['PROMETHEUS_VERSION']}",
        "promtool": f"prometheus/{pins['PROMETHEUS_VERSION']}",
        "loki": f"loki/{pins['LOKI_VERSION']}",
        "standin": "standin/1",
    }[name]
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = os.environ.get("PROLETTO_BACKENDS") or f"{cache}/proletto-otel/backends"
    path = Path(home) / folder / name
    if not path.exists():
        missing(f"{name} is not built", "make backends")
    return str(path)


def get(url: str, timeout_s: float = 5) -> bytes | None:
    """The body of a 200 answer; None for any other outcome."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError):
        return None


def wait_for(what: str, look: Callable[[], T]) -> T:
    """The first true value of *look*, as `until` with a name for what is waited for."""
    return until(look, what, every_s=0.1)


class Server:
    """A child process with a log file; ended by its own pid."""

    def __init__(
        self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=log.parent,
                env={**os.environ, **(env or {})},
            )

    def wait_ready(self, url: str) -> None:
        """Until *url* answers 200, or with the end of the log fail."""

        def look() -> bool:
            assert self.process.poll() is None, f"ended early: {self.tail()}"
            return get(url) is not None

        wait_for(f"{url} ({self.tail()})", look)

    def tail(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM, then SIGKILL; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(5)


def compose_default(text: str) -> str:
    """A text of docker-compose.yml as it reads with an empty .env."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def compose_command(service: str, moves: Mapping[str, str]) -> list[str]:
    """The command of a service in docker-compose.yml, defaults filled in, paths replaced."""
    words = []
    for word in COMPOSE["services"][service]["command"]:
        filled = compose_default(word)
        option, separator, value = filled.partition("=")
        words.append(f"{option}={moves.get(value, value)}" if separator else filled)
    return words
