"""What the machine and the worker say about themselves; what they refuse to say is absent."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.core.conventions import (
    PROCESS_CONNECTIONS,
    PROCESS_CPU_UTILIZATION,
    PROCESS_OPEN_FILES,
)
from proletto_otel.core.metrics.registry import Registry
from proletto_otel.metrics import host
from proletto_otel.metrics.cgroup import CgroupV2
from proletto_otel.metrics.host import Host, Psutil
from proletto_otel.metrics.own_process import OwnProcess
from proletto_otel.metrics.system_metrics import (
    SYSTEM_METRICS,
    SystemMetric,
    SystemSampler,
    indicators,
    measure,
)
from proletto_otel.metrics.worker import Worker
from proletto_otel.state.merging import Sum

RUN = 100.0
NOTHING = Path("/nonexistent")


class Machine:
    """A psutil with known numbers; anything may be refused."""

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
    return SystemSampler(
        machine,
        cgroup=CgroupV2(cgroup),
        clock=clock,
        now=lambda: 1_700_000_000.0,
        wait=WAITED.append,
    )


WAITED: list[float] = []


def found_by(sampler: SystemSampler) -> dict[str, float | None]:
    """The indicators of one sample."""
    sampler.sample()
    return indicators(sampler.families())


def host_of(machine: Machine | None, cgroup: Path = NOTHING, clock: Clock | None = None) -> Host:
    return Host(Psutil(machine), CgroupV2(cgroup), clock or Clock())


def worker_of(machine: Machine | None, clock: Callable[[], float] | None = None) -> Worker:
    return Worker(Psutil(machine), clock or Clock())


def test_processor_time_is_the_share_since_the_last_sample(machine: Machine) -> None:
    """30 busy of 40 seconds are 75 %; the first sample knows nothing and says nothing."""
    own = host_of(machine)
    first = own.cpu()
    machine.busy += 30
    machine.idle += 10

    assert {} == first
    assert {"host": 0.75} == own.cpu()


def test_a_second_reader_does_not_spoil_the_first(machine: Machine) -> None:
    """However often it is asked in between, the share is never taken over too short a time."""
    own = host_of(machine)
    own.cpu()
    machine.busy += 30
    machine.idle += 10
    own.cpu()
    machine.idle += 0.01

    assert {"host": 0.75} == own.cpu()


def test_the_applications_own_use_of_psutil_does_not_matter() -> None:
    """A program that calls psutil.cpu_percent itself neither gets nor leaves a wrong number."""
    own = host_of(None)
    own.cpu()
    psutil.cpu_percent(None)

    assert {} == own.cpu()


def test_disks_by_mount_without_what_is_none(machine: Machine) -> None:
    """Real file systems are listed; memory file systems and files bound into a container not."""
    assert {"/": 0.1, "/data": 0.9} == host_of(machine).disks()


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
    found = found_by(sampler)

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
    found = found_by(sampler)

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

    found = found_by(sampler)
    shown = {
        f.name: {p.attributes[0][1]: p.value for p in f.points}
        for f in sampler.families()
        if f.name in ("system.cpu.utilization", "system.memory.utilization")
    }

    assert {"host": 0.1, "container": 0.5} == shown["system.cpu.utilization"]
    assert {"host": 0.4, "container": 0.5} == shown["system.memory.utilization"]
    assert (50, 50) == (found["cpu_percent"], found["memory_percent"])


@pytest.mark.parametrize("content", ["max", "", "\xff", "max 100000"])
def test_no_limit_is_no_number(machine: Machine, tmp_path: Path, content: str) -> None:
    """Without a limit, or with one that cannot be read, only the host speaks."""
    path = cgroup(tmp_path, 1.0)
    for name in ("memory.max", "cpu.max"):
        (path / name).write_bytes(content.encode("latin-1"))

    assert {"host"} == set(host_of(machine, path).memory())
    assert "container" not in host_of(machine, path).cpu()


def test_a_worker_measures_itself() -> None:
    """Memory, threads, open files are those of this process, as the kernel tells them."""
    own = worker_of(None)

    assert len(os.listdir("/proc/self/fd")) - 1 == pytest.approx(own.open_files()[""], abs=2)
    assert own.memory()[""] > 1_000_000
    assert own.threads()[""] >= 1


def test_a_child_measures_itself() -> None:
    """After a fork the pid is asked anew: not the parent's memory, not its processor time."""
    script = """
import os, psutil
from proletto_otel.metrics.system_metrics import SystemSampler
sampler = SystemSampler()
sampler.worker.open_files()
hold = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]
child = os.fork()
if child == 0:
    sampler.forked()
    for fd in hold: os.close(fd)
    own = sampler.worker.open_files()[""]
    os._exit(0 if own < 40 and sampler.worker._process.pid == os.getpid() else 1)
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
    own = worker_of(machine, lambda: time)
    seen = []
    for _ in range(6):
        seen.append(own.connections()[""])
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
    own = worker_of(machine, lambda: time)
    own.connections()
    time += 59.0
    own.connections()
    assert 1 == len(asked)
    time += 2.0
    own.connections()

    assert 2 == len(asked)


def test_a_child_does_not_inherit_the_garbage_collectors_runs() -> None:
    """Runs of the parent's collector are not counted once more by each child."""
    gc.collect()
    sampler = make(None)
    gc.collect()

    assert 1 == sampler.worker.collections()[2]
    sampler.forked()
    assert 0 == sampler.worker.collections()[2]


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


def test_a_heartbeat_says_that_the_values_are_there(machine: Machine) -> None:
    """Whoever reads while the first sample is being taken sees no heartbeat without values."""
    for looks in range(60):
        registry, sampler = Registry(), make(machine)
        asked = iter(range(looks + 1))

        def leads(sampler: SystemSampler = sampler, asked: Iterator[int] = asked) -> bool:
            """Takes the first sample while one of the values is being asked for."""
            if next(asked, None) is None and not sampler.taken_at:
                sampler.sample()
            return True

        measure(registry, sampler, leads)
        names = {f.name for f in registry.collect()}
        assert "proletto.heartbeat" not in names or "system.memory.utilization" in names


def test_psutil_is_imported_when_it_is_needed() -> None:
    """Importing the room costs nothing."""
    script = "import sys, proletto_otel.metrics.system_metrics; sys.exit('psutil' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", script], check=False).returncode


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("iso9660", "ro"), ("squashfs", "ro"), ("erofs", "ro"), ("udf", "rw"), ("vfat", "ro"),
        ("ext4", "ro,relatime"), ("fuse.snapfuse", "ro"),
    ],
)  # fmt: skip
def test_a_medium_that_cannot_be_written_is_no_full_disk(
    machine: Machine, kind: str, options: str
) -> None:
    """A CD, a snap or the image that seeds a virtual machine is always 100 % full: no alert."""
    medium = SimpleNamespace(mountpoint="/data", fstype=kind, opts=options)
    machine.disk_partitions = lambda all_: [medium]  # type: ignore[method-assign]

    assert {"/": 0.1} == host_of(machine).disks()


def test_the_first_view_of_a_process_knows_the_processor(machine: Machine) -> None:
    """It waits a tenth of a second for it, once."""
    WAITED.clear()
    sampler = make(machine)

    def wait(seconds: float) -> None:
        WAITED.append(seconds)
        machine.busy += 0.05
        machine.idle += 0.15

    sampler._wait = wait
    sampler.sample_first()

    assert [0.1] == WAITED
    assert 25 == pytest.approx(indicators(sampler.families())["cpu_percent"])


def test_every_reader_of_the_same_workers_says_the_same() -> None:
    """Open files are those of the worker with the most, connections those of all together."""
    total = Sum()
    for pid, files, sockets in ((1, 10, 3), (2, 30, 4), (3, 20, 5)):
        registry = Registry()
        registry.observe(PROCESS_OPEN_FILES, lambda files=files: [((), files)])
        registry.observe(PROCESS_CONNECTIONS, lambda sockets=sockets: [((), sockets)])
        total.take(registry.collect(), pid)
    found = indicators(total.families())

    assert (30, 12) == (found["open_files"], found["network_connections"])


def test_processor_time_of_a_worker_is_a_share_of_what_it_may_use(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of four processors busy is 0.25, as the conventions say."""
    clock, spent = Clock(), 0.0

    class Process:
        pid = os.getpid()

        def cpu_times(self) -> SimpleNamespace:
            return SimpleNamespace(user=spent, system=0.0)

    machine.Process = Process  # type: ignore[method-assign]
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    own = worker_of(machine, clock)
    own.cpu()
    clock.now += 10
    spent = 10.0

    assert {"": 0.25} == own.cpu()


@pytest.mark.parametrize("row", SYSTEM_METRICS, ids=lambda row: row.metric.name)
def test_a_row_is_all_a_system_metric_needs(row: SystemMetric) -> None:
    """Export, present value and threshold come from the table; this machine knows every number."""
    sampler = SystemSampler()
    sampler.sample_first()
    sampler.worker.cpu()
    registry = Registry()
    measure(registry, sampler, lambda: True)
    families = {f.name: f for f in registry.collect()}
    if row.metric is PROCESS_CPU_UTILIZATION:
        assert row.metric.name not in families  # a share needs two readings, two seconds apart
        return
    family = families[row.metric.name]

    assert row.metric.kind == family.kind
    assert {len(row.metric.attributes)} == {len(p.attributes) for p in family.points}
    if row.indicator:
        indicator = INDICATORS[row.indicator]
        assert (row.metric.name, row.scale) == (indicator.source, indicator.scale)
        assert isinstance(indicators([family])[row.indicator], float)


def test_linux_says_of_this_process_what_psutil_says() -> None:
    """Without the library the numbers are the same; a socket that was duplicated counts once."""
    ours, theirs = OwnProcess(), psutil.Process()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with socket.create_server(("127.0.0.1", 0)) as server, server.dup(), datagrams:
        datagrams.bind(("127.0.0.1", 0))
        with socket.create_connection(server.getsockname()), server.accept()[0]:
            found, expected = ours.net_connections("inet"), theirs.net_connections("inet")

    assert len(expected) == len(found) >= 4
    assert theirs.num_fds() == ours.num_fds()
    assert theirs.num_threads() == ours.num_threads()
    assert ours.memory_info().rss == pytest.approx(theirs.memory_info().rss, rel=0.05)
    spent = theirs.cpu_times()
    assert ours.cpu_times().user == pytest.approx(spent.user, abs=0.1)
    assert ours.cpu_times().system == pytest.approx(spent.system, abs=0.1)


def test_a_worker_that_does_not_lead_needs_no_psutil() -> None:
    """It would be 1 MB in each worker; the host's values are read by one of them."""
    script = """
import sys
from proletto_otel.metrics.system_metrics import SystemSampler
own = SystemSampler().worker
own.cpu()
assert all((own.memory(), own.threads(), own.open_files(), own.connections()))
sys.exit("psutil" in sys.modules)
"""
    assert 0 == subprocess.run([sys.executable, "-c", script], check=False).returncode
