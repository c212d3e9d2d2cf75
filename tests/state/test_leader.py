"""One process of a host leads; the lead is free again as soon as its holder is gone."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from unittest import mock

import pytest

from proletto_otel.state.leader import Leader


def test_one_leads(tmp_path: Path) -> None:
    """The first takes the lead, asking again keeps it, the second does not get it."""
    first, second = Leader(tmp_path / "lock"), Leader(tmp_path / "lock")

    assert (True, True, False) == (first.try_lead(), first.try_lead(), second.try_lead())
    assert (True, False) == (first.is_leader, second.is_leader)


def test_the_lead_can_be_given_up(tmp_path: Path) -> None:
    """After resigning another takes over at once."""
    first, second = Leader(tmp_path / "lock"), Leader(tmp_path / "lock")
    first.try_lead()
    first.resign()

    assert (True, False) == (second.try_lead(), first.is_leader)


def test_a_killed_leader_leads_no_more(tmp_path: Path) -> None:
    """SIGKILL frees the lead; nothing has to be cleaned up."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        leader = Leader(tmp_path / "lock")
        os.write(write, b"1" if leader.try_lead() else b"0")
        signal.pause()
        os._exit(0)
    led = os.read(read, 1)
    mine = Leader(tmp_path / "lock")
    before = mine.try_lead()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for fd in (read, write):
        os.close(fd)

    assert (b"1", False, True) == (led, before, mine.try_lead())


def test_a_child_does_not_inherit_the_lead(tmp_path: Path) -> None:
    """After a fork the parent leads, the child does not; its end changes nothing."""
    leader = Leader(tmp_path / "lock")
    leader.try_lead()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        leader.forked()
        os._exit(1 if leader.is_leader or leader.try_lead() else 0)
    _, status = os.waitpid(child, 0)

    assert 0 == status
    assert leader.try_lead()
    assert not Leader(tmp_path / "lock").try_lead()


def test_the_lead_does_not_outlive_the_leader_in_its_child(tmp_path: Path) -> None:
    """A worker forked by the leader does not keep the lock when the leader resigns."""
    leader = Leader(tmp_path / "lock")
    leader.try_lead()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        leader.forked()
        os.write(write, b"!")
        signal.pause()
        os._exit(0)
    os.read(read, 1)
    leader.resign()
    try:
        assert Leader(tmp_path / "lock").try_lead()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)


def test_a_deleted_lock_file_does_not_make_two_leaders(tmp_path: Path) -> None:
    """Somebody deletes the file: whoever makes it anew leads, the old leader notices."""
    first, second = Leader(tmp_path / "lock"), Leader(tmp_path / "lock")
    first.try_lead()
    (tmp_path / "lock").unlink()

    assert second.try_lead()
    assert not first.try_lead()
    assert not first.is_leader


def test_without_a_directory_each_process_leads_itself() -> None:
    """Where nothing can be shared a process does everything for itself."""
    assert (True, True) == (Leader(None).is_leader, Leader(None).try_lead())


@pytest.mark.parametrize("missing", ["gone/lock", "gone/deeper/lock"])
def test_a_removed_directory_is_made_anew(tmp_path: Path, missing: str) -> None:
    """The lead does not depend on somebody keeping the directory."""
    assert Leader(tmp_path / missing).try_lead()


@pytest.mark.parametrize("reason", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_where_the_lock_cannot_be_made_each_process_leads_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    """The directory cannot be written for a while: watched all the same; one leads afterwards."""
    first, second = Leader(tmp_path / "lock"), Leader(tmp_path / "lock")
    refused = mock.Mock(side_effect=OSError(reason, "refused"))
    with monkeypatch.context() as patched:
        patched.setattr("proletto_otel.state.leader.os.open", refused)
        assert (True, True) == (first.try_lead(), second.try_lead())
        assert (True, True) == (first.is_leader, second.is_leader)

    assert (True, False) == (first.try_lead(), second.try_lead())
    assert (True, False) == (first.is_leader, second.is_leader)


def test_leader_that_hangs_loses_the_lead(tmp_path: Path) -> None:
    """It lives and holds the lock, but did not come round for half a minute."""
    now = [1000.0]
    hung, other, third = (Leader(tmp_path / "lock", lambda: now[0]) for _ in range(3))
    hung.try_lead()
    now[0] += 29
    assert (False, True) == (other.try_lead(), hung.try_lead())
    now[0] += 31
    took = [leader.try_lead() for _ in range(2) for leader in (other, third)]

    assert 1 == sum(took[2:])
    assert 1 == sum(leader.is_leader for leader in (other, third))
    assert not hung.try_lead(), "it notices when it comes back"
