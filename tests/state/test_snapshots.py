"""Numbers of many workers: exact sums, whoever answers, whoever dies."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from proletto_otel.core.conventions import TELEMETRY_SPOOLED, Metric
from proletto_otel.core.metrics.registry import MAX_CELLS, Family, Histogram, Registry
from proletto_otel.state import alive, files
from proletto_otel.state.memory import directory_for
from proletto_otel.state.snapshots import Snapshots
from tests.waiting import until

COUNT = Metric(
    name="shop.sold", kind="counter", unit="{item}", description="", attributes=("kind",)
)
FILL = Metric(name="shop.fill", kind="gauge", unit="1", description="")
HOST = Metric(name="shop.host", kind="gauge", unit="1", description="", per="host")
OPEN = Metric(name="shop.open", kind="updown", unit="{item}", description="")
WAIT = Metric(name="shop.wait", kind="histogram", unit="s", description="", bounds=(0.1, 1.0))


class Worker:
    """One worker's cells and snapshots; several may live in one test process."""

    def __init__(self, directory: Path) -> None:
        self.registry = Registry()
        self.snapshots = Snapshots(directory, self.registry.collect)

    def sell(self, n: int, kind: str = "book") -> None:
        self.registry.counter(COUNT).cell((kind,)).add(n)


def number(families: list[Family], metric: Metric) -> dict[tuple[object, ...], float]:
    """Values of a metric by the values of its attributes."""
    return {
        tuple(v for _, v in p.attributes): p.value
        for f in families
        if f.name == metric.name
        for p in f.points
        if not isinstance(p.value, Histogram)
    }


def sold(worker: Worker) -> float:
    return sum(number(worker.snapshots.merged(), COUNT).values())


def test_counters_of_all_workers_add_up(tmp_path: Path) -> None:
    """Whoever answers, the total is that of all workers, by attributes."""
    a, b = Worker(tmp_path), Worker(tmp_path)
    a.sell(3)
    b.sell(4)
    b.sell(1, "pen")
    for worker in (a, b):
        worker.snapshots.publish()

    assert {("book",): 7, ("pen",): 1} == number(a.snapshots.merged(), COUNT)
    assert {("book",): 7, ("pen",): 1} == number(b.snapshots.merged(), COUNT)


def test_histograms_add_up_by_bucket(tmp_path: Path) -> None:
    """Buckets, sum, count, extremes and exemplars of all workers are one histogram."""
    a, b = Worker(tmp_path), Worker(tmp_path)
    a.registry.histogram(WAIT).cell().observe(0.05, "a" * 32, "1" * 16)
    b.registry.histogram(WAIT).cell().observe(0.5)
    b.registry.histogram(WAIT).cell().observe(7.0, "b" * 32, "2" * 16)
    b.snapshots.publish()

    (family,) = a.snapshots.merged()

    value = family.points[0].value
    assert isinstance(value, Histogram)
    assert ([1, 1, 1], 3, 0.05, 7.0) == (value.counts, value.count, value.min, value.max)
    assert 7.55 == pytest.approx(value.sum)
    assert {0: "a" * 32, 2: "b" * 32} == {k: e[0] for k, e in value.exemplars.items()}


@pytest.mark.parametrize("order", [1, -1])
def test_newest_exemplar_of_a_bucket_stays(tmp_path: Path, order: int) -> None:
    """Whatever order the directory lists the workers in, the latest one's trace is linked."""
    reader, *workers = (Worker(tmp_path) for _ in range(3))
    for worker in workers:
        worker.snapshots.publish()
    listed = os.listdir(tmp_path / "workers")
    workers.sort(key=lambda worker: listed.index(f"{worker.snapshots._name}.json"))
    for worker, trace in zip(workers[::order], "ab", strict=True):
        worker.registry.histogram(WAIT).cell().observe(0.05, trace * 32, trace * 16)
        worker.snapshots.publish()
        time.sleep(0.002)  # the snapshots' times differ
    (family,) = reader.snapshots.merged()

    value = family.points[0].value
    assert isinstance(value, Histogram)
    assert "b" * 32 == value.exemplars[0][0]


def test_gauges_of_workers_stand_side_by_side(tmp_path: Path) -> None:
    """A gauge of a worker carries its pid; a gauge of the host does not."""
    a = Worker(tmp_path)
    a.registry.gauge(FILL).cell().set(0.5)
    a.registry.gauge(HOST).cell().set(0.25)

    merged = a.snapshots.merged()

    assert {(os.getpid(),): 0.5} == number(merged, FILL)
    assert {(): 0.25} == number(merged, HOST)


def test_a_dead_worker_leaves_its_totals(tmp_path: Path) -> None:
    """Counts of the dead stay, once, before and after folding; their gauges and open things go."""
    a, b = Worker(tmp_path), Worker(tmp_path)
    b.sell(5)
    b.registry.gauge(FILL).cell().set(1)
    b.registry.updown(OPEN).cell().add(2)
    b.registry.updown(TELEMETRY_SPOOLED).cell(("otlp_logs",)).add(9)
    b.snapshots.stop(time.monotonic())

    for _ in range(3):
        merged = a.snapshots.merged()
        assert {("book",): 5} == number(merged, COUNT)
        assert {} == number(merged, FILL) | number(merged, OPEN)
        assert {("otlp_logs",): 9} == number(merged, TELEMETRY_SPOOLED)
        a.snapshots.fold()


def test_a_worker_that_could_not_publish_keeps_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lenient: None
) -> None:
    """Its last numbers did not fit on the disk: what lies in memory is all there is of them."""
    registry = Registry()
    snapshots = Snapshots(tmp_path, registry.collect, registry)
    snapshots.start()
    registry.histogram(WAIT).cell().observe(0.5)
    place = directory_for(tmp_path / "workers")
    assert place is not None
    before = sorted(path.name for path in place.iterdir())
    monkeypatch.setattr(files, "replace", full)
    snapshots.stop(time.monotonic())
    kept = sorted(path.name for path in place.iterdir())
    monkeypatch.undo()
    other = Worker(tmp_path).snapshots.merged()

    assert before
    assert before == kept
    assert [1] == [
        point.value.count for family in other if family.name == WAIT.name
        for point in family.points if isinstance(point.value, Histogram)
    ]  # fmt: skip


def full(path: Path, content: bytes) -> None:
    """The disk has no room."""
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def test_files_of_the_dead_are_compacted(tmp_path: Path) -> None:
    """A hundred workers that came and went leave one file of totals."""
    a = Worker(tmp_path)
    a.snapshots.publish()
    for _ in range(100):
        gone = Worker(tmp_path)
        gone.sell(1)
        gone.snapshots.stop(time.monotonic())
    a.snapshots.fold()

    assert 100 == sold(a)
    assert ["totals"] == [
        p.name for p in (tmp_path / "workers").iterdir()
        if p.suffix not in (".live", ".lock") and a.snapshots._name not in p.name
    ]  # fmt: skip


def test_a_fold_cut_short_counts_nobody_twice(tmp_path: Path) -> None:
    """A process killed between writing the totals and removing the file does no harm."""
    a, b = Worker(tmp_path), Worker(tmp_path)
    b.sell(5)
    b.snapshots.stop(time.monotonic())
    kept = {p: p.read_bytes() for p in (tmp_path / "workers").glob("*.json")}
    a.snapshots.fold()
    for path, content in kept.items():
        path.write_bytes(content)

    assert 5 == sold(a)
    a.snapshots.fold()
    assert 5 == sold(a)
    assert not any(path.exists() for path in kept)


def test_totals_survive_a_restart(tmp_path: Path) -> None:
    """After all workers are gone the next ones go on counting from there."""
    first = Worker(tmp_path)
    first.sell(2)
    first.snapshots.start()
    first.snapshots.stop(time.monotonic())
    second = Worker(tmp_path)
    second.sell(1)
    second.snapshots.start()

    assert 3 == sold(second)


def test_what_one_worker_told_no_other_takes_back(tmp_path: Path) -> None:
    """Two scrapes in a row, answered by two workers, never fall, published by a clock or not."""
    a, b = Worker(tmp_path), Worker(tmp_path)
    a.snapshots.publish()
    b.snapshots.publish()
    before = 0.0
    for answering, selling in [(a, b), (b, a), (a, a), (b, b), (a, a)] * 3:
        selling.sell(1)
        now = sold(answering)
        assert now >= before
        before = now


def test_a_living_process_of_another_namespace_is_alive(tmp_path: Path) -> None:
    """Liveness is a lock of the kernel: neither a reused pid nor an unknown one misleads it."""
    a, b = Worker(tmp_path), Worker(tmp_path)
    b.registry.gauge(FILL).cell().set(1)
    b.snapshots.publish()

    a.snapshots.fold()

    assert 1 == len(number(a.snapshots.merged(), FILL))


def test_a_killed_process_is_dead_and_its_numbers_stay(tmp_path: Path) -> None:
    """SIGKILL: what was published counts, gauges vanish, and totals never fall meanwhile."""
    a = Worker(tmp_path)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        worker = Worker(tmp_path)
        worker.sell(11)
        worker.registry.gauge(FILL).cell().set(1)
        worker.snapshots.publish()
        os.write(write, b"!")
        signal.pause()
        os._exit(0)
    os.read(read, 1)
    assert 11 == sold(a)
    assert {(child,): 1} == number(a.snapshots.merged(), FILL)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for fd in (read, write):
        os.close(fd)

    until(lambda: number(a.snapshots.merged(), FILL) == {})
    assert 11 == sold(a)
    a.snapshots.fold()
    assert 11 == sold(a)


def test_a_forked_child_does_not_inherit_the_name(tmp_path: Path) -> None:
    """Parent and child stand side by side; the parent stays alive when the child ends."""
    parent = Worker(tmp_path)
    parent.sell(1)
    parent.snapshots.publish()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        parent.snapshots.forked()
        parent.registry.reset()
        parent.sell(10)
        parent.snapshots.publish()
        os._exit(0)
    os.waitpid(child, 0)
    other = Worker(tmp_path)

    assert 11 == sold(parent)
    other.snapshots.fold()
    assert 11 == sold(parent)
    assert 11 == sold(other)


def test_sections_travel_beside_the_metrics(tmp_path: Path) -> None:
    """What a room shares is read from everybody; what the dead shared is joined by its fold."""
    a, b = Worker(tmp_path), Worker(tmp_path)
    a.snapshots.section("slow", lambda: [1], fold=lambda lists: [x for part in lists for x in part])
    b.snapshots.section("slow", lambda: [2])
    b.snapshots.stop(time.monotonic())

    assert [[1], [2]] == sorted(a.snapshots.sections("slow"))
    a.snapshots.fold()
    assert [[1], [2]] == sorted(a.snapshots.sections("slow"))
    assert ["totals"] == [p.name for p in (tmp_path / "workers").glob("totals*")]


def test_totals_of_the_dead_are_bounded(tmp_path: Path) -> None:
    """Label values that come and go with releases end in the overflow series, sums preserved."""
    a = Worker(tmp_path)
    for release in range(3):
        worker = Worker(tmp_path)
        for kind in range(900):
            worker.sell(1, f"{release}-{kind}")
        worker.snapshots.stop(time.monotonic())
    a.snapshots.fold()

    found = number(a.snapshots.merged(), COUNT)

    assert 2700 == sum(found.values())
    assert MAX_CELLS + 1 == len(found)
    assert 2700 - MAX_CELLS == found[(True,)]


@pytest.mark.parametrize("content", [b"", b"nonsense", b'[1, 2]\n{"a": 1}', b"[1,2]\n[[3],{}]"])
def test_a_torn_file_is_counted_and_skipped(tmp_path: Path, content: bytes, lenient: None) -> None:
    """Garbage among the snapshots hides nobody else's numbers."""
    a, b = Worker(tmp_path), Worker(tmp_path)
    b.sell(3)
    b.snapshots.publish()
    (tmp_path / "workers" / "1-bad.json").write_bytes(content)

    assert 3 == sold(a)
    a.snapshots.fold()
    assert 3 == sold(a)


def test_a_removed_directory_comes_back(tmp_path: Path) -> None:
    """Somebody cleans up under us: the next publication makes everything anew."""
    a, b = Worker(tmp_path), Worker(tmp_path)
    b.sell(3)
    b.snapshots.publish()
    shutil.rmtree(tmp_path / "workers")

    assert 0 == sold(a)
    b.snapshots.publish()
    assert 3 == sold(a)
    assert 3 == sold(b)


def test_without_a_directory_a_process_shows_itself(tmp_path: Path) -> None:
    """Where nothing can be shared the page still shows this process."""
    registry = Registry()
    registry.counter(COUNT).cell(("book",)).add(2)
    alone = Snapshots(None, registry.collect)
    alone.start()
    alone.publish()
    alone.fold()

    assert {("book",): 2} == number(alone.merged(), COUNT)


def test_snapshots_are_private(tmp_path: Path) -> None:
    """Nobody else on the host reads a worker's numbers."""
    a = Worker(tmp_path)
    a.snapshots.publish()

    modes = {p.stat().st_mode & 0o077 for p in (tmp_path / "workers").iterdir()}
    assert {0} == modes | {(tmp_path / "workers").stat().st_mode & 0o077}


def test_snapshots_are_json(tmp_path: Path) -> None:
    """A person with a terminal can read what a worker published."""
    a = Worker(tmp_path)
    a.sell(1)
    a.snapshots.publish()
    (path,) = (tmp_path / "workers").glob("*.json")

    head, _, body = path.read_bytes().partition(b"\n")
    assert os.getpid() == json.loads(head)[0]
    assert "shop.sold" == json.loads(body)[0][0][0]


def test_unchanged_numbers_are_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has nothing new writes nothing but that it looked; a stuck one says nothing."""
    monkeypatch.setattr(alive, "ALIVE_S", 0.0)
    a, b = Worker(tmp_path), Worker(tmp_path)
    b.snapshots.start()
    b.sell(1)
    b.snapshots.publish()
    (file,) = (tmp_path / "workers").glob("*.json")
    content, at = file.read_bytes(), a.snapshots.published()[os.getpid()]
    assert at == a.snapshots.published()[os.getpid()]

    def is_newer() -> bool:
        b.snapshots.publish()
        return a.snapshots.published()[os.getpid()] > at

    until(is_newer)
    assert content == file.read_bytes()
