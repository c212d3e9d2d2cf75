"""Histograms in memory that outlives its process, and is read by others at any time."""

from __future__ import annotations

import mmap
import os
import resource
import signal
import sys
import threading
from array import array
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.core.conventions import Metric
from proletto_otel.core.metrics.registry import Histogram, Registry
from proletto_otel.state import shared_histograms as module
from proletto_otel.state import snapshot_files
from proletto_otel.state.memory import directory_for
from proletto_otel.state.shared_histograms import Record, SharedHistogramReader, SharedHistograms
from proletto_otel.state.snapshots import Snapshots

WAIT = Metric(
    name="shop.wait", kind="histogram", unit="s", description="Waiting.", attributes=("route",),
    bounds=(0.1, 1.0),
)  # fmt: skip


def placed(directory: Path, name: str = "w") -> Registry:
    registry = Registry()
    registry.move_histograms(SharedHistograms(directory / name).place)
    return registry


def seen(directory: Path, name: str = "w") -> dict[str, list[int]]:
    """Counts by route, as another process reads them."""
    return {r.attributes[0][1]: counts(r) for r in SharedHistogramReader(directory).records(name)}


def counts(record: Record) -> list[int]:
    """The counts of the buckets now."""
    return [int(n) for n in array("d", record.read())[:-3]]


def test_others_read_what_was_counted_at_once(tmp_path: Path) -> None:
    """Nothing has to be published: the next reader sees the last observation."""
    cell = placed(tmp_path).histogram(WAIT).cell(("/a",))
    reader = SharedHistogramReader(tmp_path)
    for expected in ([1, 0, 0], [2, 0, 0]):
        cell.observe(0.05)
        assert [expected] == [counts(r) for r in reader.records("w")]


def test_threads_that_read_together_see_each_series_once(tmp_path: Path) -> None:
    """A scrape, a push and a fold at the same time neither count twice nor fail."""
    names = [f"w{i}" for i in range(40)]
    registries = [placed(tmp_path, name) for name in names]
    for registry in registries:
        registry.histogram(WAIT).cell(("/a",)).observe(0.05)
    reader = SharedHistogramReader(tmp_path)
    found: list[int] = []
    ready = threading.Barrier(4)

    def read() -> None:
        ready.wait()
        for name in names:
            found.append(len(reader.records(name)))
        reader.retain(set())

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)

    assert [1] * 160 == found


def test_the_record_says_everything(tmp_path: Path) -> None:
    """A reader that never heard of the metric can show it."""
    cell = placed(tmp_path).histogram(WAIT).cell(("/a",))
    cell.observe(0.5)
    cell.observe(7)

    (record,) = SharedHistogramReader(tmp_path).records("w")

    assert ("shop.wait", "s", "Waiting.", "worker", (0.1, 1.0), (("route", "/a"),)) == (
        record.head.name, record.head.unit, record.head.description, record.head.per,
        record.bounds, record.attributes,
    )  # fmt: skip
    assert [0, 1, 1, 7.5, 0.5, 7] == list(array("d", record.read()))
    assert cell.start_ns == record.start_ns


def test_what_was_counted_before_is_kept(tmp_path: Path) -> None:
    """Cells that counted in a list before the process served go on with their numbers."""
    registry = Registry()
    cell = registry.histogram(WAIT).cell(("/a",))
    cell.observe(0.05, "a" * 32, "b" * 16)
    registry.move_histograms(SharedHistograms(tmp_path / "w").place)
    cell.observe(0.5)

    value = cell.read()

    assert ([1, 1, 0], 2, 0.05, 0.5) == (value.counts, value.count, value.min, value.max)
    assert {0} == set(value.exemplars)
    assert {"/a": [1, 1, 0]} == seen(tmp_path)


def test_bytes_in_use_are_never_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one process adds series, another finds "bytes in use" only growing: never a zero."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 32 * 1024 * 1024)
    histograms = SharedHistograms(tmp_path / "w")
    cell = Registry().histogram(WAIT).cell(("/a",))
    histograms.place(WAIT, (), cell)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        for _ in range(100_000):
            histograms.place(WAIT, (), cell)
        os._exit(0)
    with (tmp_path / f"w.0.{module.SUFFIX}").open("rb") as file:
        in_use = memoryview(mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)).cast("Q")
    found = [in_use[0]]
    while not os.waitpid(child, os.WNOHANG)[0]:
        found += [in_use[0] for _ in range(10_000)]

    assert found == sorted(found)


def test_many_series_take_more_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory grows with the series up to its limit; beyond it cells count in lists."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 4096)
    monkeypatch.setattr(module, "MAX_CHUNKS", 3)
    registry = placed(tmp_path)
    for i in range(100):
        registry.histogram(WAIT).cell((f"/{i}",)).observe(0.5)

    found = seen(tmp_path)

    assert 20 < len(found) < 100
    assert {"/0": [0, 1, 0]}.items() <= found.items()
    assert 3 == len(list(tmp_path.iterdir()))
    (family,) = registry.collect()
    assert 100 == sum(p.value.count for p in family.points if isinstance(p.value, Histogram))


def test_a_full_disk_leaves_cells_where_they_are(tmp_path: Path) -> None:
    """Where space cannot be had nothing breaks, in particular not by a signal: lists count on."""
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
        cell = placed(tmp_path).histogram(WAIT).cell(("/a",))
        cell.observe(0.5)
        os._exit(0 if cell.read().counts == [0, 1, 0] and not list(tmp_path.iterdir()) else 1)

    assert 0 == os.waitpid(child, 0)[1]


def test_a_child_counts_in_its_own_memory(tmp_path: Path) -> None:
    """After a fork the child's observations do not appear in the parent's numbers."""
    registry = placed(tmp_path)
    cell = registry.histogram(WAIT).cell(("/a",))
    cell.observe(0.5)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        registry.reset()
        cell.observe(0.5)
        os._exit(0 if cell.read().count == 1 else 1)

    assert 0 == os.waitpid(child, 0)[1]
    assert {"/a": [0, 1, 0]} == seen(tmp_path)


def test_a_killed_process_leaves_its_numbers(tmp_path: Path) -> None:
    """SIGKILL in the middle of the work: every observation up to then is there."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        cell = placed(tmp_path).histogram(WAIT).cell(("/a",))
        for _ in range(1234):
            cell.observe(0.5)
        os.write(write, b"!")
        signal.pause()
        os._exit(0)
    os.read(read, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read)
    os.close(write)

    assert {"/a": [0, 1234, 0]} == seen(tmp_path)


def test_threads_that_make_a_series_at_once_lose_nothing(tmp_path: Path) -> None:
    """First requests of a route on many threads: the series is the sum of all."""
    registry = Registry()
    snapshots = Snapshots(tmp_path, registry.collect, registry)
    snapshots.start()
    start = threading.Barrier(8)

    def serve() -> None:
        start.wait()
        for route in range(50):
            registry.histogram(WAIT).cell((f"/{route}",)).observe(0.5)

    threads = [threading.Thread(target=serve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other = Snapshots(tmp_path, list)

    for reader in (snapshots, other):
        (family,) = reader.merged()
        assert 400 == sum(p.value.count for p in family.points if isinstance(p.value, Histogram))
        assert 50 == len(family.points)


def test_memory_and_publication_are_not_added_up(tmp_path: Path) -> None:
    """What is published and in memory at once counts once: alive, dead and folded; exemplars
    stay."""
    registry = Registry()
    worker = Snapshots(tmp_path, registry.collect, registry)
    worker.start()
    registry.histogram(WAIT).cell(("/a",)).observe(0.5, "a" * 32, "b" * 16)
    worker.publish()
    registry.histogram(WAIT).cell(("/a",)).observe(0.5)
    other = Snapshots(tmp_path, list)
    for step in (lambda: None, lambda: worker.stop(0), other.fold, other.fold):
        step()
        (family,) = other.merged()
        (point,) = family.points
        assert isinstance(point.value, Histogram)
        assert (2, {1}) == (point.value.count, set(point.value.exemplars))
    assert not directory_for(tmp_path / "workers").exists()  # type: ignore[union-attr]


@pytest.mark.parametrize("when", ["before", "after"])
def test_process_that_ends_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Its last requests count, whether its file was read just before its end or just after."""
    registry = Registry()
    worker = Snapshots(tmp_path, registry.collect, registry)
    worker.start()
    cell = registry.histogram(WAIT).cell(("/a",))
    cell.observe(0.5)
    worker.publish()
    cell.observe(0.5)  # not published yet
    read = snapshot_files.SnapshotReader.read

    def reading(*arguments: Any) -> snapshot_files.Snapshot | None:
        if when == "before":
            worker.stop(0)
        found = read(*arguments)
        worker.stop(0)
        return found

    monkeypatch.setattr(snapshot_files.SnapshotReader, "read", reading)
    (family,) = Snapshots(tmp_path, list).merged()

    assert [2] == [p.value.count for p in family.points if isinstance(p.value, Histogram)]


def test_memory_is_private(tmp_path: Path) -> None:
    """Nobody else on the host reads it."""
    placed(tmp_path).histogram(WAIT).cell(("/a",))

    assert {0o600} == {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()}
