"""A container's own limits, by cgroup v2 and v1."""

from __future__ import annotations

from pathlib import Path

import pytest

from proletto_otel.metrics.cgroup import CgroupV1, CgroupV2, own_cgroup

UNLIMITED = "9223372036854771712"


def v1(root: Path, path: str = "", limit: str = "1000", quota: str = "50000") -> Path:
    """The files that cgroup v1 shows, each controller in a directory of its own."""
    texts = {
        "memory/memory.limit_in_bytes": limit,
        "memory/memory.usage_in_bytes": "700",
        "memory/memory.stat": "cache 300\ntotal_inactive_file 200\n",
        "cpu/cpu.cfs_quota_us": quota,
        "cpu/cpu.cfs_period_us": "100000",
        "cpuacct/cpuacct.usage": "35000000000",
    }
    for name, text in texts.items():
        controller, file = name.split("/")
        (root / controller / path).mkdir(parents=True, exist_ok=True)
        (root / controller / path / file).write_text(text + "\n")
    return root


def test_version_1_tells_limits_in_its_own_files(tmp_path: Path) -> None:
    """Half of the memory without what can be given back; 35 s used, half a processor allowed."""
    own = own_cgroup(v1(tmp_path))

    assert isinstance(own, CgroupV1)
    assert (0.5, (35.0, 0.5)) == (own.memory(), own.cpu())


def test_version_1_without_a_limit_says_nothing(tmp_path: Path) -> None:
    """`-1` and the largest number there is are no limits."""
    own = own_cgroup(v1(tmp_path, limit=UNLIMITED, quota="-1"))

    assert (None, None) == (own.memory(), own.cpu())


def test_version_1_finds_its_own_group(tmp_path: Path) -> None:
    """A service below the root has limits of its own, each controller in its own hierarchy."""
    root = v1(v1(tmp_path / "sys", limit=UNLIMITED), "system.slice/shop", limit="1400")
    own = tmp_path / "cgroup"
    own.write_text("5:memory:/system.slice/shop\n3:cpu,cpuacct:/system.slice/shop\n")

    assert 500 / 1400 == own_cgroup(root, own).memory()


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    """The path of the host is not mounted inside the container."""
    own = tmp_path / "cgroup"
    own.write_text("5:memory:/docker/4bf9\n3:cpu,cpuacct:/docker/4bf9\n")

    assert 0.5 == own_cgroup(v1(tmp_path / "sys"), own).memory()


@pytest.mark.parametrize("line", ["0::/", "0::/gone/away", "", "no cgroup file at all"])
def test_the_own_group_of_version_2_is_a_directory_or_the_root(tmp_path: Path, line: str) -> None:
    """Where the own group cannot be seen the root is asked, as in a container."""
    root, own = tmp_path / "sys", tmp_path / "cgroup"
    root.mkdir()
    own.write_text(line)
    (root / "memory.max").write_text("1000")
    (root / "memory.current").write_text("100")
    found = own_cgroup(root, own)

    assert isinstance(found, CgroupV2)
    assert 0.1 == found.memory()


def test_version_2_finds_its_own_group(tmp_path: Path) -> None:
    """A service has a directory of its own."""
    nested = tmp_path / "sys" / "system.slice" / "shop"
    nested.mkdir(parents=True)
    (nested / "memory.max").write_text("1000")
    (nested / "memory.current").write_text("900")
    own = tmp_path / "cgroup"
    own.write_text("0::/system.slice/shop\n")

    assert 0.9 == own_cgroup(tmp_path / "sys", own).memory()


def test_lines_of_another_kernel_are_passed_over(tmp_path: Path) -> None:
    """What is no name with a number says nothing; the lines beside it count."""
    (tmp_path / "memory.max").write_text("1000")
    (tmp_path / "memory.current").write_text("900")
    (tmp_path / "memory.stat").write_text("anon\nslab max\n\nfile 1 2\ninactive_file 200\n")

    assert 0.7 == own_cgroup(tmp_path, tmp_path / "none").memory()


def test_this_machine_is_understood() -> None:
    """Whatever it has: a share from 0 up, or nothing."""
    own = own_cgroup()

    assert (own.memory() or 0.0) >= 0
    assert own.cpu() is None or own.cpu() > (0, 0)
