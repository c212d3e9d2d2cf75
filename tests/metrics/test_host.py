"""What the machine and the worker say about themselves; what they refuse to say is absent."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from proletto_otel.core.metrics.registry import Registry
from proletto_otel.metrics import host
from proletto_otel.metrics.host import SystemSampler, indicators, measure, own_cgroup

RUN = 100.0
NOTHING = Path("/nonexistent")


class Machine:
    """A psutil whose numbers are known; anything may be refused."""

    Error = psutil.Error
    boot = SimpleNamespace

    def __init__(self) -> None:
        self.busy, self.idle = 50.0, 150.0
        self.used = 1.0
        self.refused: set[str] = set()

    def __getattribute__(self, name: str):
        if name not in ("refused",) and name in object.__getattribute__(self, "__dict__").get(
            "refused", ()
        ):
            raise psutil.AccessDenied
        return object.__getattribute__(self, name)

    def cpu_times(self):
        return system_times(self.busy, self.idle)

    def virtual_memory(self):
        return SimpleNamespace(percent=40.0)

    def disk_partitions(self, all_: bool):
        kinds = {"/": "ext4", "/data": "xfs", "/run": "tmpfs", "/etc/hosts": "ext4"}
        return [SimpleNamespace(mountpoint=m, fstype=k) for m, k in kinds.items()]

    def disk_usage(self, mount: str):
        return SimpleNamespace(percent={"/": 10.0, "/data": 90.0}[mount])

    def getloadavg(self):
        return (0.5, 0.25, 0.125)

    def Process(self):  # noqa: N802  psutil's name
        return psutil.Process()


def system_times(busy: float, idle: float):
    times = psutil.cpu_times()
    return type(times)(**{**dict.fromkeys(times._fields, 0.0), "user": busy, "idle": idle})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(host.os.path, "isdir", lambda path: path in ("/", "/data"))
    return Machine()


def make(machine: Machine | None, cgroup: Path = NOTHING, clock: Clock | None = None):
    clock = clock or Clock()
    return SystemSampler(machine, cgroup=cgroup, clock=clock, now=lambda: 1_700_000_000.0)


def test_processor_time_is_the_share_since_the_last_sample(machine: Machine) -> None:
    """30 busy of 40 seconds are 75 %; the first sample knows nothing and says nothing."""
    sampler = make(machine)
    first = sampler.sample()
    machine.busy += 30
    machine.idle += 10

    assert {} == first.cpu
    assert {"host": 0.75} == sampler.sample().cpu


def test_a_second_reader_does_not_spoil_the_first(machine: Machine) -> None:
    """However often it is asked in between, the share is never read from a moment's noise."""
    sampler = make(machine)
    sampler.sample()
    machine.busy += 30
    machine.idle += 10
    sampler.sample()
    machine.idle += 0.01

    assert {"host": 0.75} == sampler.sample().cpu


def test_the_applications_own_use_of_psutil_does_not_matter() -> None:
    """A program that calls psutil.cpu_percent itself neither gets nor leaves a wrong number."""
    sampler = make(None)
    sampler.sample()
    psutil.cpu_percent(None)

    assert {} == sampler.sample().cpu


def test_disks_by_mount_without_what_is_none(machine: Machine) -> None:
    """Real file systems are listed; memory file systems and files bound into a container not."""
    assert {"/": 0.1, "/data": 0.9} == make(machine).sample().disks


@pytest.mark.parametrize(
    "name",
    ["cpu_times", "virtual_memory", "disk_partitions", "disk_usage", "getloadavg", "Process"],
)
def test_what_is_refused_is_absent(machine: Machine, name: str) -> None:
    """A refusal of one value is neither zero nor an exception, and costs no other value."""
    machine.refused.add(name)
    sampler = make(machine)
    sampler.sample()
    machine.busy += 1
    machine.idle += 3
    found = indicators(sampler.sample())

    known = {k for k, v in found.items() if v is not None}
    lost = {
        "cpu_times": {"cpu_percent"},
        "virtual_memory": {"memory_percent"},
        "disk_partitions": set(),
        "disk_usage": {"disk_percent"},
        "getloadavg": {"load_1", "load_5", "load_15"},
        "Process": {"open_files", "network_connections"},
    }
    assert found.keys() - lost[name] == known


def test_indicators_are_in_per_cent(machine: Machine) -> None:
    """Thresholds say 80 for 80 %; the fullest disk counts."""
    sampler = make(machine)
    sampler.sample()
    machine.busy += 1
    machine.idle += 3
    found = indicators(sampler.sample())

    shown = {k: found[k] for k in ("cpu_percent", "memory_percent", "disk_percent", "load_1")}
    assert {"cpu_percent": 25, "memory_percent": 40, "disk_percent": 90, "load_1": 0.5} == shown


def cgroup(path: Path, usage_s: float) -> Path:
    (path / "memory.max").write_text("1000\n")
    (path / "memory.current").write_text("700\n")
    (path / "memory.stat").write_text("anon 500\ninactive_file 200\n")
    (path / "cpu.max").write_text("50000 100000\n")
    (path / "cpu.stat").write_text(f"usage_usec {int(usage_s * 1e6)}\nuser_usec 1\n")
    return path


def test_a_containers_limits_stand_beside_the_host(machine: Machine, tmp_path: Path) -> None:
    """Half a processor allowed, a quarter used: 50 % of the container, and the host as it is."""
    clock = Clock()
    sampler = make(machine, cgroup(tmp_path, 10.0), clock)
    sampler.sample()
    clock.now += 100
    machine.busy += 1
    machine.idle += 9
    cgroup(tmp_path, 35.0)

    sample = sampler.sample()

    assert {"host": 0.1, "container": 0.5} == sample.cpu
    assert {"host": 0.4, "container": 0.5} == sample.memory
    assert (50, 50) == (indicators(sample)["cpu_percent"], indicators(sample)["memory_percent"])


@pytest.mark.parametrize("content", ["max", "", "\xff", "max 100000"])
def test_no_limit_is_no_number(machine: Machine, tmp_path: Path, content: str) -> None:
    """Without a limit, or with one that cannot be read, only the host speaks."""
    path = cgroup(tmp_path, 1.0)
    for name in ("memory.max", "cpu.max"):
        (path / name).write_bytes(content.encode("latin-1"))

    assert {"host"} == set(make(machine, path).sample().memory)


def test_the_own_cgroup_is_a_directory_or_the_root(tmp_path: Path) -> None:
    """Where the own group cannot be seen the root is asked, as in a container."""
    assert tmp_path == own_cgroup(tmp_path)


def test_a_worker_measures_itself() -> None:
    """Memory, threads, open files are those of this process, as the kernel tells them."""
    found = make(None).worker()

    assert len(os.listdir("/proc/self/fd")) - 1 == pytest.approx(
        found["process.unix.file_descriptor.count"], abs=2
    )
    assert found["process.memory.usage"] > 1_000_000
    assert found["process.thread.count"] >= 1


def test_a_child_measures_itself() -> None:
    """After a fork the pid is asked anew: not the parent's memory, not its processor time."""
    script = """
import os, psutil
from proletto_otel.metrics.host import SystemSampler
sampler = SystemSampler()
sampler.worker()
hold = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]
child = os.fork()
if child == 0:
    sampler.forked()
    for fd in hold: os.close(fd)
    own = sampler.worker()["process.unix.file_descriptor.count"]
    os._exit(0 if own < 40 and sampler._own().pid == os.getpid() else 1)
_, status = os.waitpid(child, 0)
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    assert 0 == subprocess.run([sys.executable, "-c", script], check=False).returncode


def test_connections_are_asked_for_as_rarely_as_they_are_costly(machine: Machine) -> None:
    """The walk over the host's sockets takes no more than a five-thousandth of the time."""
    time, asked = 100.0, []

    class Process:
        pid = os.getpid()

        def net_connections(self, kind: str) -> list[str]:
            nonlocal time
            time += 0.0018
            asked.append(kind)
            return ["a"] * len(asked)

    machine.Process = Process
    sampler = SystemSampler(machine, cgroup=NOTHING, clock=lambda: time, now=lambda: 0.0)
    seen = []
    for _ in range(6):
        seen.append(sampler.worker()["system.network.connection.count"])
        time += 3.5

    assert [1, 1, 1, 2, 2, 2] == seen
    assert ["inet"] * 2 == asked


def test_connections_are_never_older_than_a_minute(machine: Machine) -> None:
    """However long the walk over the sockets takes."""
    time, asked = 100.0, []

    class Process:
        pid = os.getpid()

        def net_connections(self, kind: str) -> list[str]:
            nonlocal time
            time += 5.0
            asked.append(kind)
            return []

    machine.Process = Process
    sampler = SystemSampler(machine, cgroup=NOTHING, clock=lambda: time, now=lambda: 0.0)
    sampler.worker()
    time += 59.0
    sampler.worker()
    assert 1 == len(asked)
    time += 2.0
    sampler.worker()

    assert 2 == len(asked)


def test_a_child_does_not_inherit_the_garbage_collectors_runs() -> None:
    """Runs of the parent's collector are not counted once more by each child."""
    gc.collect()
    sampler = make(None)
    gc.collect()

    assert 1 == dict(sampler.collections())[2,]
    sampler.forked()
    assert 0 == dict(sampler.collections())[2,]


def test_only_the_leader_speaks_for_the_host(machine: Machine) -> None:
    """Host gauges come from one worker, each worker's own from each."""
    leads = False
    registry, sampler = Registry(), make(machine)
    measure(registry, sampler, lambda: leads)
    sampler.sample()
    without = {f.name for f in registry.collect() if f.per == "host"}
    leads = True
    with_ = {f.name for f in registry.collect() if f.per == "host"}

    assert set() == without
    assert {
        "system.memory.utilization", "system.filesystem.utilization", "system.cpu.load_average.1m",
        "system.cpu.load_average.5m", "system.cpu.load_average.15m", "proletto.heartbeat",
    } == with_  # fmt: skip


def test_psutil_is_imported_when_it_is_needed() -> None:
    """Importing the room costs nothing."""
    script = "import sys, proletto_otel.metrics.host; sys.exit('psutil' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", script], check=False).returncode
