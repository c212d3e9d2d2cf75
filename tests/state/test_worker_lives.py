"""Workers that began and ended, and versions that came."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proletto_otel.state import worker_lives
from proletto_otel.state.store import Store
from proletto_otel.state.worker_lives import WorkerLives

if TYPE_CHECKING:
    from proletto_otel.state.worker_lives import WorkerSection

BEGIN = 1_700_000_000.0


class Host:
    """Workers that come and go, and the leader's job."""

    def __init__(self, store: Store) -> None:
        self.at = BEGIN
        self.lives = WorkerLives(store, now=lambda: self.at)
        self.workers: dict[int, WorkerSection] = {}

    def start(self, *pids: int, version: str = "") -> None:
        for pid in pids:
            self.workers[pid] = {"pid": pid, "host": "h", "version": version, "started": self.at}
        self.tick()

    def end(self, *pids: int) -> None:
        for pid in pids:
            del self.workers[pid]
        self.tick()

    def tick(self, after: float = 2.0) -> None:
        self.at += after
        self.lives.record(self.workers.values())

    def seen(self, *kinds: str) -> list[tuple[str, str | int]]:
        found = self.lives.annotations(BEGIN, self.at + 1)
        return [(a.kind, a.pid or a.version) for a in found if not kinds or a.kind in kinds]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    store = Store(tmp_path)
    yield Host(store)
    store.stop(time.monotonic() + 1)


def test_starts_and_ends_are_marked(host: Host) -> None:
    """A worker that is replaced is an end and a start."""
    host.start(1, 2)
    host.end(1)
    host.start(3)

    assert [("worker_started", 1), ("worker_started", 2), ("worker_ended", 1),
            ("worker_started", 3)] == host.seen()  # fmt: skip
    assert [2, 3] == [w.pid for w in host.lives.living()]


def test_a_new_version_is_a_deploy_once(host: Host) -> None:
    """A rolling update: the version is marked with its first worker, and with no other."""
    host.start(1, 2, version="1.0")
    host.tick(3600)
    host.start(3, version="1.1")
    host.end(1)
    host.start(4, version="1.0")  # one of the version before was replaced meanwhile
    host.start(5, version="1.1")
    host.end(2, 4)

    assert [("deploy", "1.0"), ("deploy", "1.1")] == host.seen("deploy")
    everything = host.lives.annotations(BEGIN, host.at + 1)
    for kind in ("deploy", "worker_started", "worker_ended"):
        only = host.lives.annotations(BEGIN, host.at + 1, kind=kind)
        assert tuple(a for a in everything if a.kind == kind) == only
    last = host.lives.last_deploy()
    assert last is not None
    assert "1.1" == last.version


def test_going_back_is_a_deploy_too(host: Host) -> None:
    """The version before comes back after none of its workers lived any more."""
    for pid, version in enumerate(("1.0", "1.1", "1.0")):
        host.start(pid, version=version)
        host.tick(600)
        host.end(pid)
        host.tick(60)

    assert ["1.0", "1.1", "1.0"] == [version for _, version in host.seen("deploy")]


def test_a_restart_of_the_same_version_is_no_deploy(host: Host) -> None:
    """The workers' ends and starts say it."""
    host.start(1, version="1.0")
    host.end(1)
    host.tick(600)
    host.start(2, version="1.0")

    assert [("deploy", "1.0")] == host.seen("deploy")


def test_who_ended_unseen_ended_when_it_was_last_seen(host: Host) -> None:
    """The whole service stood still for a night: its workers did not live until the morning."""
    host.start(1)
    host.tick(10)
    stopped = host.at
    host.workers.clear()
    host.tick(8 * 3600)

    ended = [a.time for a in host.lives.annotations(BEGIN, host.at + 1) if a.kind == "worker_ended"]
    assert [stopped] == ended


def test_the_lives_are_bounded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are replaced all the time leave the latest ones."""
    monkeypatch.setattr(worker_lives, "MAX_LIVES", 50)
    for pid in range(200):
        host.start(pid)
        host.end(pid)

    assert 149 <= min(pid for _, pid in host.seen() if isinstance(pid, int))
    assert [] == list(host.lives.living())
