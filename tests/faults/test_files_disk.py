"""Log files on a full disk, in a directory that cannot be used, taken away while written."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.core.metrics.registry import registry
from proletto_otel.logs.format import text as text_format
from proletto_otel.logs.record.call_site import CallSite
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.files.file_sink import SizedFileSink
from tests.waiting import PATIENCE_S, until

SINK = "file"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root: sudo python -m pytest tests/faults")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def made(directory: Path) -> SizedFileSink:
    registry.reset()
    return SizedFileSink(
        SINK, directory / "app.log", text_format.Renderer().text_line,
        lock_dir=directory / ".state", max_bytes=100_000_000, backups=3,
    )  # fmt: skip


def write(sink: SizedFileSink, first: int, count: int) -> None:
    for n in range(first, first + count):
        sink.write(Record(time.time_ns(), CallSite("test", 20), f"record {n:06d} " + "x" * 333, {}))


def numbers(path: Path) -> list[int]:
    """The numbers of all lines, each of which must be whole."""
    lines = path.read_text().splitlines()
    assert all(line.endswith(" " + "x" * 333) for line in lines)
    return [int(line.split("record ")[1].split()[0]) for line in lines]


@pytest.mark.filterwarnings("ignore")
def test_full_disk_loses_counted_records_only(small_disk: Path) -> None:
    """A full disk costs counted records, no exception, no torn line; freed, writing resumes."""
    sink = made(small_disk)
    (small_disk / "ballast").write_bytes(b"x" * 1_000_000)
    write(sink, 0, 10_000)

    totals = ledger.totals()[SINK]
    assert 10_000 == totals["emitted"] == totals["delivered"] + totals["dropped"]["disk_full"]
    assert 0 < totals["dropped"]["disk_full"] < 10_000
    assert list(range(totals["delivered"])) == numbers(small_disk / "app.log")
    assert "No space left" in sink.status()["last_error"]

    (small_disk / "ballast").unlink()
    write(sink, 10_000, 100)
    assert list(range(10_000, 10_100)) == numbers(small_disk / "app.log")[-100:]
    assert sink.status()["healthy"]
    sink.close()


PROGRAM = """
import os, sys, time
from proletto_otel.core import config
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.setup import logs as logs_setup
from proletto_otel.logs.api.loggers import logger
directory = sys.argv[1]
made, _ = config.load({"log_dir": directory + "/logs", "log_console": sys.argv[2]}, {}, {})
logs_setup.install(made)
if not os.geteuid():
    os.setuid(65534)
for n in range(50):
    logger.info("record", n=n)
print("READY", flush=True)
sys.stdin.readline()
until = time.monotonic() + 10
while time.monotonic() < until and not os.path.exists(directory + "/logs/proletto.log"):
    logger.info("record", n=-1)
    time.sleep(0.02)
logger.info("record", n=50)
for sink in ("file", "json_file"):
    totals = ledger.totals()[sink]
    assert totals["emitted"] == totals["delivered"] + totals["dropped"]["unwritable"], totals
"""


@pytest.mark.parametrize("console", ["1", "0"])
def test_unusable_directory(tmp_path: Path, console: str) -> None:
    """Without rights in the directory each line is seen once: on the console, or where that is off
    on stderr as JSON. One warning names owner, mode and user; then writing resumes."""
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    base = tmp_path / "base"
    base.mkdir(mode=0o555)
    running = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(base), console], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None
    printed = []
    for line in running.stdout:
        if line == "READY\n":
            break
        printed.append(line)
    base.chmod(0o777)
    out, errors = running.communicate("\n", timeout=PATIENCE_S)

    assert 0 == running.returncode, errors
    everything = printed + out.splitlines() + errors.splitlines()
    warnings = [line for line in everything if "WARNING" in line]
    if console == "1":
        assert "" == errors
        seen = [int(line.split("n=")[1]) for line in printed if " record " in line]
    else:
        seen = [json.loads(line)["n"] for line in errors.splitlines() if line.startswith("{")]
    assert list(range(50)) == [n for n in seen if n >= 0]
    user = "nobody" if not os.geteuid() else pwd.getpwuid(os.geteuid()).pw_name
    owner = pwd.getpwuid(base.stat().st_uid).pw_name
    assert all(f"{base} belongs to {owner}, dr-xr-xr-x; this is {user}" in w for w in warnings)
    assert ["proletto.log", "proletto_structured.json"] == sorted(
        Path(line.split("log file ")[1].split()[0]).name for line in warnings
    )
    assert all("Permission denied" in line for line in warnings)
    lines = (base / "logs/proletto_structured.json").read_text().splitlines()
    assert 50 == json.loads(lines[-1])["n"]


def test_file_unlinked_under_many_writers_comes_back(tmp_path: Path) -> None:
    """logrotate or `rm` take the file away again and again: it comes back, no line is torn."""
    sink = made(tmp_path)
    path, writers, enough = tmp_path / "app.log", 8, threading.Event()
    moved: list[Path] = []

    def keep_writing(first: int) -> None:
        n = first
        while not enough.is_set() and n < first + 50_000:
            write(sink, n, 1)
            n += 1

    threads = [threading.Thread(target=keep_writing, args=(n * 100_000,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(5):
            until(lambda: path.exists() and path.stat().st_size > 20_000)
            moved.append(path.rename(tmp_path / f"moved.{turn}"))
        until(lambda: path.exists() and path.stat().st_size > 20_000)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    sink.close()

    lines = [numbers(file) for file in [*moved, path]]
    kept = sorted(n for file in lines for n in file)
    assert len(kept) == len(set(kept))
    totals = ledger.totals()[SINK]
    assert totals["emitted"] == totals["delivered"] == len(kept)
    assert writers == len({n // 100_000 for n in kept})
    for file in lines[:1]:
        for writer in range(writers):  # each writer's lines are in the order in which it wrote them
            own = [n for n in file if n // 100_000 == writer]
            assert own == sorted(own)


def test_modes_owners_and_links(tmp_path: Path) -> None:
    """Files are for the service and its group; a link that another user laid is never followed."""
    directory = tmp_path / "logs"
    sink = made(directory)
    write(sink, 0, 1)
    assert 0o640 == (directory / "app.log").stat().st_mode & 0o777
    assert 0 == directory.stat().st_mode & 0o007
    sink.close()

    target = tmp_path / "target"
    (directory / "app.log").unlink()
    (directory / "app.log").symlink_to(target)
    write(sink, 1, 1)
    assert [1] == numbers(target)  # our own link is a choice
    sink.close()
    if os.geteuid():
        pytest.skip("a link of another user needs root to be made")
    (directory / "app.log").unlink()
    target.unlink()
    (directory / "app.log").symlink_to(target)
    os.lchown(directory / "app.log", 65534, 65534)
    os.chown(directory, 65534, 65534)
    registry.reset()
    write(sink, 2, 1)
    assert not target.exists()
    assert 1 == ledger.totals()[SINK]["dropped"]["unwritable"]
    (directory / "app.log").unlink()
    until(lambda: write(sink, 3, 1) or (directory / "app.log").exists())
    assert (65534, [3]) == ((directory / "app.log").stat().st_uid, numbers(directory / "app.log"))
    sink.close()
