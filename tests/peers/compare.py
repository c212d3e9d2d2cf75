"""Run the public test suites of Flask and its extensions with and without telemetry.

    python tests/peers/compare.py [NAME ...]        # make test-peers

Each suite comes with its source archive from PyPI and runs twice in one virtual environment, the
second time with every Flask application wrapped as it is made. A test that passes without
telemetry and does not with it, in two runs, is printed; the exit status is 1. Where that is right,
`Peer.meant` has the test and the reason. Archives, environment and the output of the runs stay in
the ignored folder `.cache/peers`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = Path(__file__).resolve().parent / "plugins"
CACHE = Path(os.environ.get("PEERS_CACHE", ROOT / ".cache" / "peers"))
PYTHON = CACHE / "env" / "bin" / "python"
LIMIT_S = 900
"""Longest run of one suite."""


@dataclass(frozen=True)
class Peer:
    """One project whose test suite is run."""

    name: str
    version: str
    least: int
    """Tests that pass without telemetry; fewer means that the suite did not run."""
    plugins: tuple[str, ...] = ()
    """Plugins of ours that its tests need."""
    left_out: tuple[str, ...] = ()
    """Files that need data which the archive does not hold."""
    meant: Mapping[str, str] = field(default_factory=dict)
    """Tests that do not pass with telemetry, and why that is right."""


FLASK_MEANT = {
    "tests.test_basic::test_app_freed_on_zero_refcount": (
        "the middleware keeps its application alive, as `ProxyFix(create_app().wsgi_app)` needs; "
        "the garbage collector frees both: tests/web/test_beside_the_application.py"
    ),
}
PEERS = (
    Peer("flask", "3.1.3", 450, meant=FLASK_MEANT),
    Peer("flask-restx", "1.3.2", 500, ("restx_fixtures",), ("tests/test_postman.py",)),
    Peer("apiflask", "3.1.2", 300),
    Peer("flask-restful", "0.3.10", 200, ("restful_legacy",)),
    Peer("flask-sqlalchemy", "3.1.1", 200),
    Peer("flask-wtf", "1.3.0", 50),
)
TOOLS = (
    *(
        "werkzeug==3.1.9",
        "sqlalchemy==2.0.58",
        "pytest==8.4.2",
        "pytest-mock==3.17.0",
        "pytest-benchmark==5.3.1",
    ),
    *("asgiref==3.13.0", "greenlet==3.5.6", "python-dotenv==1.2.4", "mock==5.2.0"),
    *("pynose==1.5.5", "Faker==40.63.0", "tzlocal==5.4.5", "openapi-spec-validator==0.7.2"),
    *("flask-httpauth==4.8.1", "email-validator==2.4.0", "pydantic==2.14.4", "pyyaml==6.0.3"),
    *("Flask-Babel==4.0.0", "flask-reuploaded==1.6.0", "setuptools==65.5.0"),
)
"""What the suites need beside the projects themselves."""

Outcomes = dict[str, str]
"""passed, failed, error or skipped, by test."""


def main() -> int:
    """Compare the wanted suites, all of them by default."""
    wanted = [peer for peer in PEERS if peer.name in (sys.argv[1:] or [p.name for p in PEERS])]
    make_environment()
    broken = 0
    for peer in wanted:
        lost = compared(peer)
        if lost:  # some tests of these suites fail now and then, also without telemetry
            lost &= compared(peer)
        for test in sorted(lost):
            print(f"  broken by telemetry, twice: {test}; see {CACHE / peer.name}-with.txt")
        broken += len(lost)
    return bool(broken)


def compared(peer: Peer) -> set[str]:
    """Run a suite without and with telemetry; the tests that telemetry broke."""
    suite = unpacked(peer)
    before = outcomes(peer, suite, with_telemetry=False)
    return report(peer, before, outcomes(peer, suite, with_telemetry=True))


def make_environment() -> None:
    """The projects, their tools and this library in one environment; a second call is quick."""
    if not PYTHON.exists():
        venv.create(CACHE / "env", with_pip=True)
    projects = [f"{peer.name}=={peer.version}" for peer in PEERS]
    pip("install", *projects, *TOOLS, "-e", f"{ROOT}[db]")


def pip(*arguments: str) -> None:
    """Run pip in the environment of the suites."""
    command = [PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def unpacked(peer: Peer) -> Path:
    """The unpacked source archive of a project."""
    folder = CACHE / f"{peer.name}-{peer.version}"
    if not folder.exists():
        with TemporaryDirectory() as download:
            what = ("--no-deps", "--no-binary", ":all:", f"{peer.name}=={peer.version}")
            pip("download", "--dest", download, *what)
            (archive,) = Path(download).iterdir()
            with tarfile.open(archive) as tar:
                tar.extractall(folder)
        # Else pytest climbs on to our own configuration where a project has none.
        (folder / "pytest.ini").write_text("[pytest]\n")
    (top,) = filter(Path.is_dir, folder.iterdir())
    return top


def outcomes(peer: Peer, suite: Path, *, with_telemetry: bool) -> Outcomes:
    """Run a suite; what became of each test."""
    plugins = [*peer.plugins, *(["telemetry_everywhere"] if with_telemetry else [])]
    with TemporaryDirectory() as folder:
        result = Path(folder, "result.xml")
        subprocess.run(
            [PYTHON, "-m", "pytest", "tests", "-q", "--tb=short", "-p", "no:cacheprovider",
             f"--junitxml={result}", "-oaddopts=", *(f"-p{plugin}" for plugin in plugins),
             *(f"--ignore={path}" for path in peer.left_out)],
            cwd=suite, env=environment(Path(folder)), timeout=LIMIT_S, check=False,
            stdout=(CACHE / f"{peer.name}-{'with' if with_telemetry else 'without'}.txt").open("w"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        return read(result) if result.exists() else {}


def environment(folder: Path) -> dict[str, str]:
    """What a suite runs under: no settings of ours but where files may go."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "PROLETTO_", "LOG_", "FLASK_", "PYTEST_", "PYTHON"))
    }
    return kept | {"PYTHONPATH": str(PLUGINS), "LOG_DIR": str(folder / "logs")}


def read(result: Path) -> Outcomes:
    """The outcomes in a JUnit file."""
    found = {}
    for case in ElementTree.parse(result).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}::{case.get('name')}"] = (kinds or ["passed"])[0]
    return found


def report(peer: Peer, before: Outcomes, after: Outcomes) -> set[str]:
    """Print what telemetry changed; which tests it broke."""
    passed = [test for test, outcome in before.items() if outcome == "passed"]
    different = [test for test in passed if after.get(test) != "passed"]
    print(f"{peer.name} {peer.version}: {len(passed)} of {len(before)} pass without telemetry,",
          f"{len(passed) - len(different)} of these with it", flush=True)  # fmt: skip
    for test in different:
        print(f"  {after.get(test, 'missing')}: {test}", f"(meant: {peer.meant[test]})"
              if test in peer.meant else "")  # fmt: skip
    lost = {test for test in different if test not in peer.meant}
    if len(passed) < peer.least:
        lost.add(f"the suite did not run as it should: at least {peer.least} tests have to pass")
    return lost


if __name__ == "__main__":
    sys.exit(main())
