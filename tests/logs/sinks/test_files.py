"""The three files of the specification: rotation, backups, ageing, recovery."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proletto_otel.core.conventions import MESSAGE
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.core.metrics.registry import registry
from proletto_otel.logs.api.loggers import logger
from proletto_otel.logs.record.call_site import CallSite
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.files.access import explain
from proletto_otel.logs.sinks.files.daily import DailyFileSink
from proletto_otel.logs.sinks.files.file_sink import SizedFileSink
from proletto_otel.logs.sinks.files.rotation import day_of, next_midnight_ns
from proletto_otel.logs.sinks.files.upkeep import Upkeep
from tests.logs.conftest import Room, balance
from tests.waiting import PATIENCE_S

Install = Callable[..., Room]
DAY_NS = 86_400_000_000_000
NOON_NS = next_midnight_ns(1_746_858_912_000_000_000) - DAY_NS // 2


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    registry.reset()


def sized(tmp_path: Path, max_bytes: int = 1000, backups: int = 3) -> SizedFileSink:
    return SizedFileSink(
        "file", tmp_path / "app.log", lambda record: record.text_line,
        lock_dir=tmp_path / ".state", max_bytes=max_bytes, backups=backups,
    )  # fmt: skip


def daily(tmp_path: Path, backups: int = 3) -> DailyFileSink:
    return DailyFileSink(
        "error_file", tmp_path / "app_error.log", lambda record: record.text_line,
        lock_dir=tmp_path / ".state", backups=backups,
    )  # fmt: skip


def record(n: int, time_ns: int = 0) -> Record:
    return Record(time_ns or time.time_ns(), CallSite("test", 40), f"record {n:06d}", {})


def numbers(*paths: Path) -> list[int]:
    """The numbers of all records in *paths*, in their order."""
    found = []
    for path in paths:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        found += [int(line.split()[-1]) for line in text.decode().splitlines()]
    return found


def test_first_lines_of_all_threads_arrive(tmp_path: Path) -> None:
    """Threads that write while another one opens the file lose no line."""
    for attempt in range(20):
        sink = sized(tmp_path / str(attempt))
        together = threading.Barrier(8)

        def write(n: int, sink: SizedFileSink = sink, at: threading.Barrier = together) -> None:
            at.wait()
            sink.write(record(n))

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert list(range(8)) == sorted(numbers(sink.path))


def test_file_rotates_at_its_size(tmp_path: Path) -> None:
    """A file is rotated when it reaches its size; at most so many backups stay."""
    sink = sized(tmp_path, max_bytes=1000, backups=3)
    for n in range(200):
        sink.write(record(n))

    files = sorted(p.name for p in tmp_path.iterdir() if p.is_file())
    assert ["app.log", "app.log.1", "app.log.2", "app.log.3"] == files
    order = [tmp_path / name for name in ("app.log.3", "app.log.2", "app.log.1", "app.log")]
    kept = numbers(*order)
    assert list(range(200))[-len(kept) :] == kept
    line = len(record(0).text_line)
    assert all(path.stat().st_size <= 1000 + line for path in order)
    assert (200, 200) == balance("file")
    sink.close()


def test_error_file_rotates_at_midnight(tmp_path: Path) -> None:
    """The first record of a day puts the file of the day before away under its date."""
    sink = daily(tmp_path)
    for n, days in enumerate([0, 0, 1, 3]):
        sink.write(record(n, NOON_NS + days * DAY_NS))

    first, second = day_of(NOON_NS), day_of(NOON_NS + DAY_NS)
    assert [0, 1] == numbers(tmp_path / f"app_error.log.{first}")
    assert [2] == numbers(tmp_path / f"app_error.log.{second}")
    assert [3] == numbers(tmp_path / "app_error.log")
    sink.close()


def test_error_file_keeps_its_days(tmp_path: Path) -> None:
    """Of the daily files the newest ones stay."""
    sink = daily(tmp_path, backups=2)
    for days in range(6):
        sink.write(record(days, NOON_NS + days * DAY_NS))

    kept = sorted(p.name for p in tmp_path.glob("app_error.log.*"))
    assert [f"app_error.log.{day_of(NOON_NS + d * DAY_NS)}" for d in (3, 4)] == kept
    sink.close()


def test_file_of_an_earlier_day_is_put_away_at_start(tmp_path: Path) -> None:
    """A program that did not run at midnight still gives each day its file."""
    path = tmp_path / "app_error.log"
    path.write_text("old record 000001\n")
    yesterday = time.time() - 86_400
    os.utime(path, (yesterday, yesterday))
    sink = daily(tmp_path)
    sink.write(record(2))

    assert [1] == numbers(tmp_path / f"app_error.log.{day_of(int(yesterday * 1e9))}")
    assert [2] == numbers(path)
    sink.close()


def test_second_rotation_of_a_day_overwrites_nothing(tmp_path: Path) -> None:
    """A clock that is set back never costs a file."""
    for n, days in enumerate([0, 1]):
        sink = daily(tmp_path)
        sink.write(record(n, NOON_NS + days * DAY_NS))
        sink.close()
    (tmp_path / ".state/app_error.log.lock").unlink()
    os.utime(tmp_path / "app_error.log", (NOON_NS / 1e9, NOON_NS / 1e9))
    sink = daily(tmp_path)
    sink.write(record(2, NOON_NS + DAY_NS))
    sink.close()

    day = day_of(NOON_NS)
    assert [0] == numbers(tmp_path / f"app_error.log.{day}")
    assert [1] == numbers(tmp_path / f"app_error.log.{day}.1")
    assert [2] == numbers(tmp_path / "app_error.log")


def test_midnight_is_the_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The day ends when the local clock says so, also where it has 23 or 25 hours."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        spring = int(time.mktime((2025, 3, 30, 0, 0, 0, 0, 0, -1))) * 10**9
        assert 23 * 3600 * 10**9 == next_midnight_ns(spring) - spring
        assert ("2025-03-30", "2025-03-31") == (day_of(spring), day_of(next_midnight_ns(spring)))
    finally:
        monkeypatch.undo()
        time.tzset()


def follow(sink: SizedFileSink, path: Path, n: int, seconds: float = PATIENCE_S) -> None:
    """Write record *n* until it is in *path*."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sink.write(record(n))
        if path.exists() and n in numbers(path):
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} was not followed")


def test_file_taken_away_is_made_again(tmp_path: Path) -> None:
    """After `rm`, `logrotate` or the loss of its directory the file comes back."""
    sink = sized(tmp_path / "logs")
    path = tmp_path / "logs/app.log"
    sink.write(record(1))
    path.unlink()
    follow(sink, path, 2)
    path.rename(tmp_path / "logs/app.log-20250510")
    follow(sink, path, 3)
    path.unlink()
    for left in (tmp_path / "logs").iterdir():
        left.unlink() if left.is_file() else None
    os.rename(tmp_path / "logs", tmp_path / "gone")
    follow(sink, path, 4)
    sink.close()


def test_descriptor_keeps_its_number(tmp_path: Path) -> None:
    """Rotation never gives the number of a descriptor away while a thread may write to it."""
    sink = sized(tmp_path)
    sink.write(record(0))
    before = sink._fd
    for n in range(1, 100):
        sink.write(record(n))

    assert before == sink._fd
    assert not os.get_inheritable(sink._fd)
    sink.close()


def test_old_backups_are_deleted(tmp_path: Path) -> None:
    """`LOG_RETENTION_DAYS` deletes rotated files older than that."""
    sink = sized(tmp_path)
    for n in range(100):
        sink.write(record(n))
    old = time.time() - 8 * 86_400
    os.utime(tmp_path / "app.log.3", (old, old))
    Upkeep([sink], compress=False, retention_days=7).run()

    assert ["app.log.1", "app.log.2"] == sorted(p.name for p in tmp_path.glob("app.log.*"))
    sink.close()


def test_backups_are_compressed_when_quiet(tmp_path: Path) -> None:
    """Backups are compressed once nobody writes to them; rotation goes on with them."""
    sink = sized(tmp_path, backups=3)
    for n in range(60):
        sink.write(record(n))
    plain = {p.name: numbers(p) for p in tmp_path.glob("app.log.*")}
    Upkeep([sink], compress=True, retention_days=0).run()
    assert plain.keys() == {p.name for p in tmp_path.glob("app.log.*")}  # still warm
    Upkeep([sink], compress=True, retention_days=0, now=lambda: time.time() + 120).run()

    packed = {p.name.removesuffix(".gz"): numbers(p) for p in tmp_path.glob("app.log.*.gz")}
    assert plain == packed
    for n in range(60, 100):
        sink.write(record(n))
    assert 3 == len(list(tmp_path.glob("app.log.*")))
    assert packed["app.log.1"] in [numbers(p) for p in tmp_path.glob("app.log.*.gz")]
    sink.close()


def test_files_can_be_switched_off(room: Install) -> None:
    """`PROLETTO_LOG_FILES=0` writes no file."""
    made = room(log_files=False)
    logger.error("event")

    assert not made.directory.exists()
    assert 1 == len(made.otlp)


def test_relative_directory_stays_where_it_was(
    room: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that changes its directory writes to the same log files."""
    monkeypatch.chdir(tmp_path)
    room(log_dir="here")
    monkeypatch.chdir("/")
    logger.info("event")

    assert "event" == json.loads((tmp_path / "here/proletto_structured.json").read_text())[MESSAGE]


def test_lock_directory_is_private(tmp_path: Path) -> None:
    """Locks lie in a directory that nobody else may enter."""
    sink = sized(tmp_path)
    for n in range(50):
        sink.write(record(n))

    assert 0o700 == (tmp_path / ".state").stat().st_mode & 0o777
    assert 0 == sum(ledger.totals()["file"]["dropped"].values())
    sink.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")
def test_user_without_a_name_is_told_by_number(tmp_path: Path) -> None:
    """Containers run users that no file names: the warning about a directory says which one."""
    os.chown(tmp_path, 54321, 54321)

    assert f"{tmp_path} belongs to user 54321, drwx------; this is root" == explain(tmp_path)
