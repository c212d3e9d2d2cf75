"""A store of the first release goes on being used, while workers of both releases write to it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proletto_otel.errors.groups import ErrorGroups
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.state.store import Store
from tests.errors import first_release

log = get_logger("shop")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that the first release made, with two groups."""
    made = tmp_path / "state" / "store.sqlite"
    made.parent.mkdir(mode=0o700)
    old = first_release.connect(str(made))
    first_release.add(old, "00000000000000aa", 40)
    first_release.add(old, "00000000000000bb", 2, "never again")
    old.execute("UPDATE error_groups SET status = 'ignored' WHERE fingerprint LIKE '%bb'")
    old.close()
    return made


@pytest.fixture
def groups(path: Path) -> Iterator[ErrorGroups]:
    """This release on that store."""
    made = ErrorGroups(Store(path.parent), version="2.0")
    pipeline.use([])
    pipeline.listen(made.count)
    yield made
    pipeline.unlisten(made.count)
    pipeline.close()


def test_older_groups_are_there(groups: ErrorGroups) -> None:
    """Count, state and sample of the first release are read; what it did not know is empty."""
    found = {group.fingerprint[-2:]: group for group in groups.groups()}

    assert (40, "open", "", 0) == (
        found["aa"].count, found["aa"].state, found["aa"].first_version, found["aa"].stored,
    )  # fmt: skip
    assert "ignored" == found["bb"].state
    (only,) = groups.occurrences("00000000000000bb")
    assert (0, "never again", "OldError") == (only.id, only.message, only.type)


def test_older_sample_becomes_an_occurrence(groups: ErrorGroups, path: Path) -> None:
    """When such a group comes again, what the first release stored of it is its first one."""
    log.error("stock is negative")
    (new,) = groups.groups(query="stock")
    first_release.add(first_release.connect(str(path)), new.fingerprint, 3, "by the old one")
    log.error("stock is negative")

    (again,) = groups.groups(query="stock")
    assert 5 == again.count
    assert "2.0" == again.first_version
    messages = [occurrence.message for occurrence in groups.occurrences(new.fingerprint)]
    assert {"stock is negative", "by the old one"} == set(messages)


def test_both_write_at_once(groups: ErrorGroups, path: Path) -> None:
    """No count of either release is lost, and the trend has both."""
    command = [sys.executable, "-m", "tests.errors.first_release", str(path), "150"]
    workers = [subprocess.Popen(command) for _ in range(2)]
    while any(worker.poll() is None for worker in workers):
        log.error("stock is negative")
        groups.write_down()
        time.sleep(0.002)
    assert [0, 0] == [worker.returncode for worker in workers]

    mine = groups.groups(query="stock")[0]
    both = {group.fingerprint: group for group in groups.groups(limit=200)}
    assert 40 + 300 == both["00000000000000aa"].count
    assert 600 == sum(group.count for key, group in both.items() if key.startswith("0" * 15))
    assert 0 < mine.count == sum(mine.trend)
    # before this release opened the store nobody counted by hour
    assert 300 == sum(both["00000000000000aa"].trend)
    since_then = groups.groups(trend_s=3600.0)
    assert 300 == sum(next(g for g in since_then if g.fingerprint.endswith("aa")).trend)


def test_first_release_reads_on(groups: ErrorGroups, path: Path) -> None:
    """After a deploy that is taken back, the first release finds its columns as it wrote them."""
    log.error("stock is negative")
    groups.write_down()
    old = first_release.connect(str(path))

    rows = old.execute("SELECT message, count, status, sample FROM error_groups").fetchall()
    assert ("stock is negative", 1, "open", "{}") in rows
