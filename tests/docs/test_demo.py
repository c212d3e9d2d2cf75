"""`make demo`: the shop under gunicorn with traffic, and a clean end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil

from tests.docs.blocks import ROOT
from tests.servers import free_port
from tests.waiting import PATIENCE_S

NOBODY = "http://127.0.0.1:9"
"""An OTLP endpoint on which nothing listens: the demo needs no server."""
SHOP = re.compile(r"Dashboard +(http://127\.0\.0\.1:\d+)/admin/monitoring")
FOLLOW = re.compile(r"^  grep -h (demo-\w+) ", re.MULTILINE)


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as a terminal starts it, in a process group of its own."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OTEL_EXPORTER_OTLP_ENDPOINT=NOBODY)
    process = subprocess.Popen(
        [sys.executable, ROOT / "examples/shop/demo.py", "--folder", folder,
         "--port", str(free_port()), *options],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # it ends its children
            process.communicate(timeout=PATIENCE_S)


def test_demo_shows_where_to_look_and_what_failed(tmp_path: Path) -> None:
    """It prints a request ID that finds the failed request in every file, and ends by itself."""
    with demo(tmp_path, "--seconds", "3") as process:
        output, _ = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, output
    (request_id,) = FOLLOW.findall(output)
    for name in ("proletto.log", "proletto_error.log", "proletto_structured.json"):
        assert request_id in (tmp_path / "logs" / name).read_text(), name
    assert all(gone(pid) for pid in workers(tmp_path))


def test_control_c_ends_everything(tmp_path: Path) -> None:
    """Ctrl-C: exit status 0, nobody left behind."""
    with demo(tmp_path) as process:
        url = address(process)
        with urlopen(f"{url}/health", timeout=PATIENCE_S) as answer:
            assert answer.status == 200
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, output
    assert all(gone(pid) for pid in workers(tmp_path))


def address(process: subprocess.Popen[str]) -> str:
    """The shop's URL, once the demo has printed all it has to say."""
    assert process.stdout is not None
    text, deadline = "", time.monotonic() + PATIENCE_S
    while "Ctrl-C ends it" not in text:
        assert time.monotonic() < deadline
        line = process.stdout.readline()
        assert line, text
        text += line
    (url,) = SHOP.findall(text)
    return str(url)


def workers(folder: Path) -> set[int]:
    """The processes that wrote log lines."""
    lines = (folder / "logs/proletto_structured.json").read_text().splitlines()
    return {json.loads(line)["process_id"] for line in lines}


def gone(pid: int) -> bool:
    """Whether no process of this ID runs; one that ended may wait for `init` to ask how."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
