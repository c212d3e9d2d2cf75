"""The state directory among directories of others: theirs stay as they are, all users have one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from proletto_otel.core.config import Config
from proletto_otel.core.ownership import give_to_owner, make_directories
from proletto_otel.logs.sinks.files.rotation import RotationLock
from proletto_otel.state import directory
from proletto_otel.state.leader import Leader
from proletto_otel.state.store import Store

ADA, BOB, GROUP = 12_001, 12_002, 12_000
"""User and group numbers that nobody on the machine has."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")


def as_user(uid: int, act: Callable[[], object], *groups: int) -> str:
    """What *act* returns, as text, in a process of user *uid*."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        try:
            os.umask(0o027)
            os.setgroups(list(groups))
            os.setgid(groups[0] if groups else uid)
            os.setuid(uid)
            os.write(write, str(act()).encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as said:
        return said.read()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def made(path: Path, bits: int, uid: int = 0, gid: int = 0) -> Path:
    """A directory of somebody else."""
    path.mkdir()
    os.chown(path, uid, gid)
    path.chmod(bits)
    return path


@pytest.fixture
def around(tmp_path: Path) -> Path:
    """A directory that every user can reach."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" and parent != Path("/") and "pytest" in str(parent):
            parent.chmod(0o755)
    return tmp_path


def prepare(state_dir: Path) -> Path | None:
    return directory.prepare(Config(state_dir=str(state_dir), service_name="shop"))


@pytest.mark.parametrize("bits", [0o1777, 0o755, 0o2775])
@pytest.mark.parametrize("uid", [0, ADA])
def test_the_mode_of_a_foreign_directory_stays(around: Path, bits: int, uid: int) -> None:
    """As root or not, the given directory keeps its mode; the service's folder is private."""
    state = made(around / "run", bits, gid=GROUP)

    found = as_user(uid, lambda: prepare(state), GROUP)

    assert bits == mode(state)
    if uid == ADA and bits == 0o755:
        assert "None" == found  # she may not write there
    else:
        assert str(state / "shop") == found
        assert 0o700 == mode(state / "shop") & 0o777


def test_a_symlink_is_followed_and_its_target_left_alone(around: Path) -> None:
    """A state directory that is a link to another file system is used as it is."""
    target = made(around / "volume", 0o755)
    link = around / "link"
    link.symlink_to(target)

    assert str(link / "shop") == as_user(0, lambda: prepare(link))
    assert 0o755 == mode(target)


def test_missing_parents_are_made(around: Path) -> None:
    """All of them; the state directory is for this user alone."""
    home = made(around / "home", 0o755, ADA, ADA)

    found = as_user(ADA, lambda: prepare(home / "a" / "b"))

    assert str(home / "a" / "b" / "shop") == found
    assert 0o700 == mode(home / "a" / "b")


def test_a_volume_that_may_be_written_but_not_changed(around: Path) -> None:
    """A Kubernetes volume with `fsGroup` belongs to root; its group may write."""
    volume = made(around / "volume", 0o2775, gid=GROUP)

    assert str(volume / "shop") == as_user(ADA, lambda: prepare(volume), GROUP)


def test_two_users_of_a_log_directory_both_have_state(around: Path) -> None:
    """Of two names or of one: each has a private folder, and a lock for rotation."""
    logs = made(around / "logs", 0o1777)

    def state_and_lock(service: str) -> str:
        found = directory.prepare(Config(log_dir=str(logs), service_name=service))
        assert found is not None
        locks = directory.shared_locks(found) or logs
        with RotationLock(locks / f"{service}-{os.geteuid()}.log.lock").hold() as held:
            return f"{found.name} {held}"

    assert "shop True" == as_user(ADA, lambda: state_and_lock("shop"))
    assert "stock True" == as_user(BOB, lambda: state_and_lock("stock"))
    assert f"shop-uid{BOB} True" == as_user(BOB, lambda: state_and_lock("shop"))
    assert {ADA, BOB} == {p.stat().st_uid for p in (logs / ".state").glob("sho*/")}


def test_a_folder_of_a_stranger_is_not_entered(around: Path) -> None:
    """In a directory for everybody: neither a folder that waits there, nor a link."""
    temporary = made(around / "tmp", 0o1777)
    made(temporary / "shop", 0o777, BOB, BOB)
    (temporary / f"shop-uid{ADA}").symlink_to(temporary / "shop")

    assert "None" == as_user(ADA, lambda: prepare(temporary))
    assert [] == list((temporary / "shop").iterdir())


def test_what_root_makes_belongs_to_the_service(around: Path) -> None:
    """One `sudo flask …` between two runs: every file can be used by the service afterwards."""
    logs = made(around / "logs", 0o750, ADA, ADA)

    def use() -> str:
        found = directory.prepare(Config(log_dir=str(logs), service_name="shop"))
        if found is None:
            return "no state"
        store = Store(found)
        store.define("CREATE TABLE IF NOT EXISTS n (x INTEGER)")
        written = store.write("INSERT INTO n VALUES (1)")
        led = Leader(found / "leader.lock").try_lead()
        return f"{found.name} {written} {store.shared} {led}"

    assert "shop True True True" == as_user(0, use)
    assert {ADA} == {p.stat().st_uid for p in logs.rglob("*")}
    assert "shop True True True" == as_user(ADA, use)


def test_only_new_files_of_root_change_hands(around: Path) -> None:
    """A file of a third user stays theirs."""
    home = made(around / "home", 0o755, ADA, ADA)
    theirs = home / "theirs"
    theirs.touch()
    os.chown(theirs, BOB, BOB)
    make_directories(home / "a" / "b")
    give_to_owner(theirs)

    assert (BOB, ADA, ADA) == tuple(p.stat().st_uid for p in (theirs, home / "a", home / "a" / "b"))
