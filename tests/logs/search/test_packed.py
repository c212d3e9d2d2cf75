"""Rotated files that were compressed are searched, within the time of a call."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from proletto_otel.error_logging import get_logger
from proletto_otel.logs.search import packed
from proletto_otel.logs.search.query import LogQuery
from tests.logs.search.conftest import Log, room

__all__ = ["room"]
shop = get_logger("shop")


def compress(made: Log) -> list[Path]:
    """Pack every rotated file, as upkeep does."""
    done = []
    for path in sorted(made.room.directory.glob("*_structured.json.[0-9]*")):
        done.append(path.with_name(path.name + ".gz"))
        with path.open("rb") as plain, gzip.open(done[-1], "wb") as out:
            shutil.copyfileobj(plain, out)
        found = path.stat()
        os.utime(done[-1], ns=(found.st_atime_ns, found.st_mtime_ns))
        path.unlink()
    return done


@pytest.fixture
def rotated(log: Callable[..., Log]) -> Log:
    """A log of 300 lines in several files, all but the newest compressed."""
    made = log(log_json_max_bytes=20_000, log_backups=20)
    for number in range(300):
        shop.info("event", number=number)
    assert 2 < len(compress(made))
    return made


def numbers(lines: object) -> list[int]:
    """Which events the lines are."""
    return [line.record["number"] for line in lines]  # type: ignore[attr-defined]


def test_every_line_is_found(rotated: Log) -> None:
    """Newest first, over files of both kinds, in one call and in pages."""
    page = rotated.search.search(limit=1000, budget_s=2)
    assert list(range(299, -1, -1)) == numbers(page.lines)
    assert page.complete
    found, cursor = [], None
    while cursor is not None or not found:
        part = rotated.search.search(limit=17, budget_s=2, cursor=cursor)
        found += numbers(part.lines)
        cursor = part.cursor
    assert list(range(299, -1, -1)) == found
    assert [7] == numbers(rotated.search.search(LogQuery(pattern="event"), limit=1000).lines)[-8:-7]


def test_line_of_a_compressed_file_has_neighbours(rotated: Log) -> None:
    """The link to it works."""
    line = rotated.search.search(limit=1000, budget_s=2).lines[-5]
    around = rotated.search.around(line.cursor, 2, 2)
    assert [2, 3, 4, 5, 6] == numbers(around.lines)


def test_call_ends_and_the_next_one_goes_on(rotated: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of each call at least; what is not whole yet is said, and nothing is lost."""
    monkeypatch.setattr(packed, "CHUNK", 200)
    rotated.search._clock = rotated.search._unpacker._clock = iter(range(10**9)).__next__
    found, cursor, unpacked = [], None, 0
    for _ in range(10_000):
        page = rotated.search.search(limit=1000, cursor=cursor)
        found += numbers(page.lines)
        unpacked += any("is being unpacked" in note for note in page.notes)
        if page.complete:
            break
        cursor = page.cursor
    assert list(range(299, -1, -1)) == found
    assert unpacked > 5


def test_old_files_are_not_unpacked_for_a_recent_time(rotated: Log) -> None:
    """A backup is as old as its last line."""
    newest = rotated.search.search(limit=1).lines[0].at
    for path in rotated.room.directory.glob("*.gz"):
        os.utime(path, (newest - 3600, newest - 3600))
    rotated.search.search(LogQuery(since=newest - 60), limit=1000)
    assert rotated.search._unpacker._held is None


def test_damaged_and_large_ones_are_named(rotated: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are searched; no memory and no disk is filled."""
    paths = sorted(rotated.room.directory.glob("*.gz"))
    paths[0].write_bytes(paths[0].read_bytes()[:40] + b"rubbish" * 50)
    page = rotated.search.search(limit=1000, budget_s=2)
    assert [f"{paths[0].name} is damaged and not searched"] == list(page.notes)
    assert {0, 299} <= set(numbers(page.lines))
    monkeypatch.setattr(packed, "MAX_BYTES", 1000)
    page = rotated.search.search(limit=1000, budget_s=2)
    assert all("too large" in note or "damaged" in note for note in page.notes)
