"""Make one virtual environment per configuration in `.cache/bench`, from PyPI, pinned.

    python bench/environments.py [NAME ...]

A second call updates them; about 250 MB for all.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("BENCH_CACHE", ROOT / ".cache" / "bench"))

APPLICATION = ("flask==3.1.3", "werkzeug==3.1.9", "python-json-logger==4.2.0")
PACKAGES: dict[str, tuple[str, ...]] = {
    "bare": APPLICATION,
    "opentelemetry": (
        *APPLICATION,
        # contrib 0.66b1 wants exactly the semantic conventions of sdk 1.45.1
        "opentelemetry-sdk==1.45.1",
        "opentelemetry-exporter-otlp-proto-http==1.45.1",
        "opentelemetry-instrumentation-flask==0.66b1",
        "opentelemetry-instrumentation-logging==0.66b1",
    ),
    "sentry": (*APPLICATION, "sentry-sdk[flask]==2.75.0"),
    "proletto": (*APPLICATION, "opentelemetry-sdk==1.45.1", "-e", str(ROOT)),
}
ENVIRONMENT_OF = {name: name for name in PACKAGES} | {"proletto_stdlib": "proletto"}
"""Which environment a configuration runs in."""


def python_of(configuration: str) -> Path:
    """The interpreter that a configuration runs with."""
    return CACHE / ENVIRONMENT_OF[configuration] / "bin" / "python"


def make(name: str) -> None:
    """Make or update one environment."""
    print(f"environment {name} …", file=sys.stderr, flush=True)
    folder = CACHE / name
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", *PACKAGES[name]], check=True)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or PACKAGES:
        make(wanted)
