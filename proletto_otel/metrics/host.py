"""What psutil says about the host: processors, memory, disks, load.

What the system refuses is absent, never zero. Where a container has limits of its own
(`metrics.cgroup`) they stand beside the host's values under `scope="container"`. Which metrics and
indicators come of it is one table: `metrics.system_metrics`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from proletto_otel.metrics.cgroup import Cgroup, own_cgroup
from proletto_otel.metrics.own_process import OwnProcess

Series = Mapping[str | int, float]
"""Values by the value of the metric's one attribute; by an empty text where it has none."""

HOST, CONTAINER = "host", "container"
SHORTEST_S = 0.05
"""Shortest time over which a share of processor time says something: the kernel counts in
hundredths of a second, so the error is at most a fifth."""
PSEUDO = frozenset(
    ("autofs", "devtmpfs", "overlay", "proc", "sysfs", "tmpfs", "fuse.portal", "ramfs")
)
"""File systems that are no disk; the root is always reported."""
READ_ONLY = frozenset(("iso9660", "udf", "squashfs", "erofs", "cramfs", "romfs", "fuse.snapfuse"))
"""Media that are made full: CDs, snaps, images that seed a virtual machine."""
MAX_MOUNTS = 20


class Psutil:
    """The library, imported at first need; what the system refuses is None.

    Args:
        library: Something with the same functions (tests).
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library
        self._may_do_without = library is None and sys.platform == "linux"

    @property
    def library(self) -> Any:
        """The module psutil, imported at the first call."""
        if self._library is None:
            import psutil

            self._library = psutil
        return self._library

    def process(self) -> Any:
        """The process that calls, to be asked within `ask_process`."""
        return OwnProcess() if self._may_do_without else self.library.Process()

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """What *question* finds out from psutil; None where the system refuses."""
        return self.ask_process(lambda: question(self.library))

    def ask_process(self, question: Callable[[], Any]) -> Any:
        """What *question* finds out from a `process`; None where the system refuses."""
        try:
            return question()
        # AttributeError: psutil leaves out the functions that a system does not have.
        except (OSError, AttributeError, NotImplementedError):
            return None
        except Exception as error:
            if isinstance(error, self.library.Error):
                return None
            raise


class Share:
    """How much of the time was spent since it was last asked."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None
        self._latest: float | None = None

    def of(self, spent: float, passed: float) -> float | None:
        """The share, given running totals of seconds; None until enough time has passed."""
        before = self._before
        if before is None:
            self._before = spent, passed
        elif passed - before[1] >= SHORTEST_S:
            self._before = spent, passed
            self._latest = max(0.0, (spent - before[0]) / (passed - before[1]))
        return self._latest


class Host:
    """Reads the host and the container.

    Args:
        psutil: How psutil is asked.
        cgroup: The container's limits; found out by default.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        psutil: Psutil | None = None,
        cgroup: Cgroup | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._psutil = psutil or Psutil()
        self._cgroup = cgroup or own_cgroup()
        self._clock = clock
        self._host_cpu, self._container_cpu = Share(), Share()

    def cpu(self) -> Series:
        """Share of the processors' time in use since this was last asked, by scope."""
        share, quota = None, self._cgroup.cpu()
        if quota is not None:
            used_s, processors = quota
            used = self._container_cpu.of(used_s, self._clock())
            share = None if used is None else used / processors
        return _present({HOST: self._psutil.ask(self._busy), CONTAINER: share})

    def memory(self) -> Series:
        """Share of memory in use, by scope."""
        used = self._psutil.ask(lambda psutil: psutil.virtual_memory().percent / 100)
        return _present({HOST: used, CONTAINER: self._cgroup.memory()})

    def disks(self) -> Series:
        """Share in use of each file system, by mount point."""
        partitions = self._psutil.ask(lambda psutil: psutil.disk_partitions(False)) or ()
        mounts = {
            p.mountpoint
            for p in partitions
            # somebody has to watch that it does not fill up
            if p.fstype not in PSEUDO | READ_ONLY and "ro" not in getattr(p, "opts", "").split(",")
        }
        # files bound into a container (/etc/hosts …) lie on a disk that is reported already
        further = sorted(m for m in mounts if m != "/" and os.path.isdir(m))[:MAX_MOUNTS]
        return _present({mount: self._used(mount) for mount in ("/", *further)})

    def load(self, minutes: int) -> Series:
        """Load average over 1, 5 or 15 minutes."""
        found = self._psutil.ask(lambda psutil: psutil.getloadavg()[(1, 5, 15).index(minutes)])
        return _present({"": found})

    # Computed here: psutil's cpu_percent() measures since anybody in the program last called it, so
    # two readers, such as the application and this one, give each other meaningless numbers.
    def _busy(self, psutil: Any) -> float | None:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # Linux counts the time of guests in user and nice, too
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        return self._host_cpu.of(total - idle, total)

    def _used(self, mount: str) -> float | None:
        used = self._psutil.ask(lambda psutil: psutil.disk_usage(mount).percent / 100)
        return None if used is None else float(used)


def _present(values: Mapping[Any, float | None]) -> Series:
    return {key: value for key, value in values.items() if value is not None}
