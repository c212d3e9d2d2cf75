"""Try the built wheel with the oldest and the newest versions of what it stands on.

    python tests/matrix/run.py [NAME ...]        # make test-matrix

Each row is a virtual environment of its own in the ignored folder `.cache/matrix`, with the wheel
and nothing of the test tools in it, and runs `smoke.py` there; what it exports arrives at an OTLP
server of this process. Interpreters that are not on this machine are left out and named.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.otlp_sink import OtlpSink  # noqa: E402  the folder of the script is not the root

SMOKE = Path(__file__).resolve().with_name("smoke.py")
CACHE = Path(os.environ.get("MATRIX_CACHE", ROOT / ".cache" / "matrix"))
LIMIT_S = 120
"""Longest smoke run; one takes about three seconds."""

FLASK = ("flask==2.2.5", "werkzeug==2.2.3")  # Flask 2.2 names no upper bound and breaks with 3
OPENTELEMETRY = ("opentelemetry-api==1.28.0", "opentelemetry-sdk==1.28.0")
SQLALCHEMY = ("sqlalchemy==1.4.54",)
STRUCTLOG = ("structlog==22.1.0",)
OTHERS = ("blinker==1.5", "click==8.1.0", "orjson==3.10.0", "psutil==6.0.0", "pyyaml==6.0.1")
OLDEST = (*FLASK, *OPENTELEMETRY, *SQLALCHEMY, *STRUCTLOG, *OTHERS)


@dataclass(frozen=True)
class Row:
    """One environment."""

    name: str
    python: str
    pins: tuple[str, ...] = ("sqlalchemy",)


ROWS = (
    *(Row(f"newest-{version}", version) for version in ("3.10", "3.11", "3.12", "3.13", "3.14")),
    Row("oldest", "3.10", OLDEST),
    Row("flask-2.2", "3.11", ("sqlalchemy", *FLASK)),
    Row("opentelemetry-1.28", "3.11", ("sqlalchemy", *OPENTELEMETRY)),
    Row("sqlalchemy-1.4", "3.11", SQLALCHEMY),
    Row("structlog-22.1", "3.11", ("sqlalchemy", *STRUCTLOG)),
)
SHOWN = ("flask", "werkzeug", "opentelemetry-sdk", "sqlalchemy", "structlog")


def interpreter(version: str) -> str | None:
    """A Python of *version*, from pyenv or the path."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python{version}"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


def pip(*arguments: str, python: Path | None = None) -> str:
    """Run this environment's pip, for *python* if given; returns its output."""
    target = ("--python", str(python)) if python is not None else ()
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *target, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def make(row: Row, base: str, wheel: Path) -> Path:
    """Make or update the environment of *row*; returns its Python."""
    folder = CACHE / row.name
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([base, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip("install", "--quiet", "--no-compile", str(wheel), *row.pins, python=python)
    pip("install", "--quiet", "--no-deps", "--force-reinstall", str(wheel), python=python)
    return python


def smoke(python: Path) -> str:
    """Run the smoke suite; returns what is wrong, empty if nothing is."""
    with TemporaryDirectory() as folder, OtlpSink() as sink:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PROLETTO_"))}
        environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
        run = subprocess.run(
            [str(python), str(SMOKE), folder],
            cwd=folder, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        if run.returncode:
            return run.stdout + run.stderr
        return arrived(sink, json.loads((Path(folder) / "ids.json").read_text())["request_id"])


def arrived(sink: OtlpSink, request_id: str) -> str:
    """What is missing at the OTLP server."""
    spans = {span["name"] for span in sink.spans}
    logged = {record["attributes"].get("request_id") for record in sink.logs}
    metrics = {metric["name"] for metric in sink.metrics}
    wanted = {
        "spans": {"GET /orders/<int:number>", "price", "GET /fail"} - spans,
        "request IDs in logs": {request_id} - logged,
        "metrics": {"http.server.request.duration", "shop.orders", "shop.order.size"} - metrics,
    }
    return "; ".join(f"no {what} {missing}" for what, missing in wanted.items() if missing)


def versions(python: Path) -> dict[str, str]:
    """What is installed."""
    code = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))"
    run = subprocess.run([str(python), "-c", code % (SHOWN,)], check=True, capture_output=True)
    found: dict[str, str] = json.loads(run.stdout)
    return found


def main(names: list[str]) -> int:
    """Run the rows, all or those named; 1 if one fails."""
    CACHE.mkdir(parents=True, exist_ok=True)
    failed = []
    with TemporaryDirectory() as folder:
        pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT))
        (wheel,) = Path(folder).glob("*.whl")
        print(f"{'row':22}{'Python':9}" + "".join(f"{name:19}" for name in SHOWN), flush=True)
        for row in ROWS:
            if names and row.name not in names:
                continue
            base = interpreter(row.python)
            if base is None:
                print(f"{row.name:22}{row.python:9}not on this machine", flush=True)
                continue
            try:
                python = make(row, base, wheel)
                wrong, found = smoke(python), versions(python)
            except subprocess.CalledProcessError as error:
                wrong, found = str(error.stderr), {}
            shown = "".join(f"{found.get(name, '-'):19}" for name in SHOWN)
            print(f"{row.name:22}{row.python:9}{shown}{'FAILS' if wrong else 'passes'}", flush=True)
            if wrong:
                failed.append(row.name)
                print(wrong, flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "all pass", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
