"""The limits of the container or service that this process runs in: cgroup v2, or v1 where it is.

psutil sees the host, also within a container; what the service runs into is its own limit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
NO_LIMIT = 1 << 60
"""cgroup v1 writes the largest multiple of a page (9223372036854771712) for "no limit"."""


class CgroupV2:
    """The limits of cgroup v2: one directory holds all of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def memory(self) -> float | None:
        """Share of the memory limit in use; None without a limit."""
        limit = _number(self._directory / "memory.max")
        used = _number(self._directory / "memory.current")
        return _in_use(limit, used, _pairs(self._directory / "memory.stat").get("inactive_file", 0))

    def cpu(self) -> tuple[float, float] | None:
        """Seconds of processor time so far, and how many processors are allowed."""
        quota = _text(self._directory / "cpu.max").split()
        used = _pairs(self._directory / "cpu.stat").get("usage_usec")
        # `cpu.max` is "<quota> <period>" in microseconds; a quota of `max` is no limit.
        if len(quota) != 2 or not all(part.isdigit() for part in quota) or used is None:
            return None
        return used / 1e6, int(quota[0]) / int(quota[1])


class CgroupV1:
    """The limits of cgroup v1: one directory for each controller."""

    def __init__(self, directory: Callable[[str], Path]) -> None:
        self._memory, self._cpu = directory("memory"), directory("cpu")
        self._cpuacct = directory("cpuacct")

    def memory(self) -> float | None:
        """Share of the memory limit in use; None without a limit."""
        limit = _number(self._memory / "memory.limit_in_bytes")
        used = _number(self._memory / "memory.usage_in_bytes")
        if limit is not None and limit >= NO_LIMIT:
            return None
        inactive = _pairs(self._memory / "memory.stat").get("total_inactive_file", 0)
        return _in_use(limit, used, inactive)

    def cpu(self) -> tuple[float, float] | None:
        """Seconds of processor time so far, and how many processors are allowed."""
        # -1 is no quota; it is no digit either
        quota = _number(self._cpu / "cpu.cfs_quota_us")
        period = _number(self._cpu / "cpu.cfs_period_us")
        used = _number(self._cpuacct / "cpuacct.usage")
        if not quota or not period or used is None:
            return None
        return used / 1e9, quota / period


Cgroup = CgroupV2 | CgroupV1


def own_cgroup(root: Path = ROOT, own: Path = OWN) -> Cgroup:
    """The limits that hold for this process: those of its own group, or of the root it can see.

    A container's `/proc/self/cgroup` may name the path on the host, which is not mounted inside;
    then the mounted root is the container's own group.
    """
    paths = _own_paths(own)
    if (root / "memory" / "memory.limit_in_bytes").exists():

        def directory(controller: str) -> Path:
            own_group = root / controller / paths.get(controller, "")
            return own_group if own_group.is_dir() else root / controller

        return CgroupV1(directory)
    nested = root / paths.get("", "")
    return CgroupV2(nested if "" in paths and (nested / "memory.max").exists() else root)


def _own_paths(own: Path) -> dict[str, str]:
    """The group of this process by controller; v2's has no name."""
    found: dict[str, str] = {}
    for line in _text(own).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        found |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
    return found


def _in_use(limit: int | None, used: int | None, inactive: int) -> float | None:
    if not limit or used is None:
        return None
    # Files that the kernel cached count as memory of the group, but it drops them before it kills.
    return max(0.0, used - inactive) / limit


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _pairs(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
