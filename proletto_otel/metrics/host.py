"""What psutil says about host and worker: one sample per interval, whoever reads it how often.

What the system refuses is absent, never zero. In a container psutil sees the host; the container's
own limits are read from cgroup v2 and stand beside it under `scope="container"`.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from proletto_otel.core import conventions as c
from proletto_otel.core.metrics.registry import Observations, Registry

SAMPLE_S = 0.5
"""Shortest time over which a share of CPU time says something."""
HOST, CONTAINER = "host", "container"
FRESH_S = 2.0
"""A sample of this worker is not taken more often than this."""
COSTLY = 5000
"""What took long is asked again only after so many times as long: connections are found by a walk
over the host's whole socket table, 9 ms with an empty one and more on a busy host."""
OLDEST_S = 60.0
"""But no number is older than this."""
PSEUDO = frozenset(
    ("autofs", "devtmpfs", "overlay", "proc", "squashfs", "sysfs", "tmpfs", "fuse.portal", "ramfs")
)
"""File systems that are no disk; the root is always reported."""
MAX_MOUNTS = 20


@dataclass(slots=True, eq=False)
class Sample:
    """All values at one moment; what is refused is missing."""

    time: float = 0.0
    """Unix time."""
    cpu: dict[str, float] = field(default_factory=dict)
    """Ratio by scope."""
    memory: dict[str, float] = field(default_factory=dict)
    """Ratio by scope."""
    disks: dict[str, float] = field(default_factory=dict)
    """Ratio by mount point."""
    load: tuple[float, ...] = ()
    """Over 1, 5 and 15 minutes."""
    worker: dict[str, float] = field(default_factory=dict)
    """This process's values, by metric name."""


class Share:
    """How much of the time was spent, since it was last asked."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None
        self._latest: float | None = None

    def of(self, spent: float, passed: float) -> float | None:
        """The share, given running totals of seconds; None until enough time has passed."""
        before = self._before
        if before is None:
            self._before = spent, passed
        elif passed - before[1] >= SAMPLE_S:
            self._before = spent, passed
            self._latest = max(0.0, (spent - before[0]) / (passed - before[1]))
        return self._latest


def own_cgroup(root: Path = Path("/sys/fs/cgroup")) -> Path:
    """Where this process's own limits are: a container's root, or a service's directory."""
    try:
        line = Path("/proc/self/cgroup").read_text().splitlines()[0]
    except (OSError, IndexError):
        return root
    nested = root / line.removeprefix("0::").lstrip("/")
    return nested if line.startswith("0::") and (nested / "memory.max").exists() else root


class SystemSampler:
    """Takes samples and remembers the latest.

    Args:
        psutil: The library, or something that looks like it (tests).
        cgroup: Where the container's own limits are; found out by default.
        clock: Monotonic seconds.
        now: Unix time in seconds.
    """

    def __init__(
        self,
        psutil: Any = None,
        *,
        cgroup: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._given = psutil
        self._cgroup = cgroup if cgroup is not None else own_cgroup()
        self._clock = clock
        self._now = now
        self.latest = Sample()
        self.forked()

    def forked(self) -> None:
        """A child measures itself, with its own pid, from now on."""
        self._process: Any = None
        self._worker: dict[str, float] = {}
        self._worker_at = float("-inf")
        self._connections, self._connections_until = 0, float("-inf")
        self._host_cpu, self._container_cpu, self._worker_cpu = Share(), Share(), Share()
        self._collected = [stats["collections"] for stats in gc.get_stats()]

    def sample(self) -> Sample:
        """Take a sample of host and worker now and remember it."""
        taken = Sample(time=self._now())
        psutil = self._psutil()
        _put(taken.cpu, HOST, self._refusable(self._cpu))
        _put(taken.cpu, CONTAINER, self._cpu_of_quota())
        _put(taken.memory, HOST, self._refusable(lambda: psutil.virtual_memory().percent / 100))
        _put(taken.memory, CONTAINER, self._container_memory())
        taken.disks = self._disks()
        taken.load = self._refusable(lambda: psutil.getloadavg()) or ()
        taken.worker = self.worker()
        self.latest = taken
        return taken

    def worker(self) -> dict[str, float]:
        """CPU, memory, threads and files of this process, at most 2 s old, and connections."""
        if self._clock() - self._worker_at >= FRESH_S:
            self._worker_at, self._worker = self._clock(), self._measure_worker()
        return self._worker

    def _measure_worker(self) -> dict[str, float]:
        own = self._refusable(self._own)
        found: dict[str, float] = {}
        asked: dict[str, Callable[[], float | None]] = {
            c.PROCESS_CPU_UTILIZATION.name: lambda: self._cpu_of_worker(own),
            c.PROCESS_MEMORY_USAGE.name: lambda: own.memory_info().rss,
            c.PROCESS_THREAD_COUNT.name: lambda: own.num_threads(),
            c.PROCESS_OPEN_FILES.name: lambda: own.num_fds(),
            c.PROCESS_CONNECTIONS.name: lambda: self._connections_of_worker(own),
        }
        for name, ask in asked.items():
            _put(found, name, self._refusable(ask))
        return found

    def _own(self) -> Any:
        # resolved at call time: a process object made before a fork measures the parent
        if self._process is None or self._process.pid != os.getpid():
            self._process = self._psutil().Process()
        return self._process

    # own arithmetic: psutil's cpu_percent() keeps one state per program, and the application, or a
    # second reader, that asks as well gets and leaves a meaningless number
    def _cpu(self) -> float | None:
        times = self._psutil().cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # Linux counts the time of guests in user and nice, too
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        return self._host_cpu.of(total - idle, total)

    def _cpu_of_worker(self, own: Any) -> float | None:
        times = own.cpu_times()
        return self._worker_cpu.of(times.user + times.system, self._clock())

    def _connections_of_worker(self, own: Any) -> float:
        began = self._clock()
        if began >= self._connections_until:
            self._connections = len(own.net_connections("inet"))
            ended = self._clock()
            self._connections_until = ended + min(COSTLY * (ended - began), OLDEST_S)
        return self._connections

    def collections(self) -> Observations:
        """Runs of the garbage collector by generation; those of the parent are not ours."""
        for generation, stats in enumerate(gc.get_stats()):
            yield (generation,), stats["collections"] - self._collected[generation]

    def _psutil(self) -> Any:
        if self._given is None:
            import psutil

            self._given = psutil
        return self._given

    def _refusable(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (self._psutil().Error, OSError, AttributeError, NotImplementedError):
            return None

    # --- disks ---------------------------------------------------------------------------------
    def _disks(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for mount in ["/", *self._mounts()]:
            used = self._refusable(partial(self._disk, mount))
            _put(found, mount, used)
        return found

    def _disk(self, mount: str) -> float:
        return float(self._psutil().disk_usage(mount).percent) / 100

    def _mounts(self) -> list[str]:
        partitions = self._refusable(lambda: self._psutil().disk_partitions(False)) or ()
        mounts = {p.mountpoint for p in partitions if p.fstype not in PSEUDO}
        # files bound into a container (/etc/hosts …) lie on a disk that is reported already
        return sorted(m for m in mounts if m != "/" and os.path.isdir(m))[:MAX_MOUNTS]

    # --- cgroup v2 -----------------------------------------------------------------------------
    def _container_memory(self) -> float | None:
        limit, used = self._number("memory.max"), self._number("memory.current")
        inactive = self._stat("memory.stat").get("inactive_file", 0)
        if limit is None or used is None or limit <= 0:
            return None
        return max(0.0, used - inactive) / limit  # cache that can be given back is not in use

    def _cpu_of_quota(self) -> float | None:
        quota = self._text("cpu.max").split()
        usage = self._stat("cpu.stat").get("usage_usec")
        if len(quota) != 2 or not quota[0].isdigit() or usage is None:
            return None
        allowed = int(quota[0]) / int(quota[1])
        used = self._container_cpu.of(usage / 1e6, self._clock())
        return None if used is None else used / allowed

    def _number(self, name: str) -> int | None:
        text = self._text(name).strip()
        return int(text) if text.isdigit() else None

    def _stat(self, name: str) -> dict[str, int]:
        pairs = (line.split() for line in self._text(name).splitlines())
        return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}

    def _text(self, name: str) -> str:
        try:
            return (self._cgroup / name).read_text()
        except (OSError, UnicodeDecodeError):
            return ""


def _put(into: dict[str, float], key: str, value: float | None) -> None:
    if value is not None:
        into[key] = value


def indicators(sample: Sample) -> dict[str, float | None]:
    """A sample by indicator name, in the indicator's unit: per cent, counts, load.

    Where the service runs in a container with a limit, the limit counts: it is what the service
    runs into. `disk_percent` is the fullest disk.
    """
    cpu = sample.cpu.get(CONTAINER, sample.cpu.get(HOST))
    memory = sample.memory.get(CONTAINER, sample.memory.get(HOST))
    disk = max(sample.disks.values(), default=None)
    load = (*sample.load, None, None, None)
    return {
        "cpu_percent": None if cpu is None else cpu * 100,
        "memory_percent": None if memory is None else memory * 100,
        "disk_percent": None if disk is None else disk * 100,
        "open_files": sample.worker.get(c.PROCESS_OPEN_FILES.name),
        "network_connections": sample.worker.get(c.PROCESS_CONNECTIONS.name),
        "load_1": load[0],
        "load_5": load[1],
        "load_15": load[2],
    }


def measure(registry: Registry, sampler: SystemSampler, leads: Callable[[], bool]) -> None:
    """Let *registry* read the sampler: host values where this process leads, its own always."""

    def host(read: Callable[[Sample], Mapping[str, float]]) -> Callable[[], Observations]:
        return lambda: [((k,), v) for k, v in read(sampler.latest).items()] if leads() else []

    def load(index: int) -> Callable[[], Observations]:
        return lambda: [((), v) for v in sampler.latest.load[index : index + 1]] if leads() else []

    registry.observe(c.SYSTEM_CPU_UTILIZATION, host(lambda s: s.cpu))
    registry.observe(c.SYSTEM_MEMORY_UTILIZATION, host(lambda s: s.memory))
    registry.observe(c.SYSTEM_FILESYSTEM_UTILIZATION, host(lambda s: s.disks))
    for index, metric in enumerate((c.SYSTEM_LOAD_1M, c.SYSTEM_LOAD_5M, c.SYSTEM_LOAD_15M)):
        registry.observe(metric, load(index))
    registry.observe(
        c.HEARTBEAT, lambda: [((), sampler.latest.time)] if leads() and sampler.latest.time else []
    )
    for metric in WORKER_METRICS:
        registry.observe(metric, _worker(sampler, metric.name))
    registry.observe(c.GC_COLLECTIONS, sampler.collections)


WORKER_METRICS = (
    c.PROCESS_CPU_UTILIZATION,
    c.PROCESS_MEMORY_USAGE,
    c.PROCESS_THREAD_COUNT,
    c.PROCESS_OPEN_FILES,
    c.PROCESS_CONNECTIONS,
)


def _worker(sampler: SystemSampler, name: str) -> Callable[[], Observations]:
    def read() -> Observations:
        value = sampler.worker().get(name)
        return [] if value is None else [((), value)]

    return read
