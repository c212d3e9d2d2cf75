"""Packages of npm (Grafana's grammars and types, axe): installed into the cache, not the tree."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.stack.servers import ROOT, missing
from tests.waiting import BUILD_S, PATIENCE_S

SOURCES = ROOT / "tests/stack/grafana_packages"


@cache
def packages(sources: Path = SOURCES) -> Path:
    """The folder with `node_modules` of a `package.json`, made on first use."""
    if shutil.which("npm") is None:
        missing("npm is not installed", "apt-get install nodejs npm")
    wanted = (sources / "package.json").read_bytes()
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "proletto-otel/npm" / hashlib.sha256(wanted).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            (folder / "package.json").write_bytes(wanted)
            _install(folder)
            (folder / "complete").touch()
    return folder


def _install(folder: Path) -> None:
    # None of them needs a script to be installed, and none may run one.
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    command = ["npm", "install", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_S)
    if done.returncode:
        missing(f"npm install: {done.stderr[-500:]}", "a way to the npm registry")


def node(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run node, with the installed packages to be found."""
    env = {**os.environ, "NODE_PATH": str(packages() / "node_modules")}
    return subprocess.run(["node", *words], env=env, input=given, capture_output=True, text=True,
                          timeout=PATIENCE_S)  # fmt: skip


def unparsed(queries: Sequence[tuple[str, str]]) -> list[list[str]]:
    """For each (store, query): the places that Grafana's grammar does not understand."""
    asked = [{"language": store, "query": query} for store, query in queries]
    done = node(str(SOURCES / "parse.cjs"), given=json.dumps(asked))
    assert 0 == done.returncode, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found
