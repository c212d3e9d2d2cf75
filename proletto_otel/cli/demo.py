"""`demo`: the example shop under gunicorn with steady traffic, to look at everything."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

_HERE = Path(__file__).resolve().parent


@click.command(name="demo")
@click.option("--seconds", type=float, metavar="N", help="End by itself after N seconds.")
@click.option("--port", type=int, default=8000, metavar="N", help="Port, or the next free one.")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"),
    metavar="DIR", help="Where its log files and its database go.",
)  # fmt: skip
def command(seconds: float | None, port: int, folder: Path) -> None:
    """Start the example shop with traffic and say where to look; Ctrl-C ends it."""
    if find_spec("gunicorn") is None:
        raise click.ClickException("the demo runs under gunicorn: pip install gunicorn")
    limit = [] if seconds is None else ["--seconds", str(seconds)]
    script = [sys.executable, str(shop() / "demo.py"), "--port", str(port)]
    with subprocess.Popen([*script, "--folder", str(folder), *limit]) as process:
        raise SystemExit(wait(process))


def shop() -> Path:
    """The folder of the shop: packed into the wheel, or in the examples of a clone."""
    packed = _HERE.parent / "examples" / "shop"
    return packed if packed.is_dir() else _HERE.parents[1] / "examples" / "shop"


def wait(process: subprocess.Popen[bytes]) -> int:
    """The exit status; Ctrl-C reaches the demo too, which ends its children first."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
