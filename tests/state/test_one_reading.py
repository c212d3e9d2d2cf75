"""Jobs and pages read all workers once; what they read is dropped when they are done."""

from __future__ import annotations

import threading
from pathlib import Path

import orjson
import pytest

from proletto_otel.core.conventions import Metric
from proletto_otel.core.metrics.registry import Registry
from proletto_otel.state import snapshot_files
from proletto_otel.state.snapshots import Snapshots

COUNT = Metric(name="shop.sold", kind="counter", unit="{item}", description="")


class Worker:
    """One worker's counter and snapshots; several live in one test process."""

    def __init__(self, directory: Path) -> None:
        self.registry = Registry()
        self.snapshots = Snapshots(directory, self.registry.collect)
        self.snapshots.section("sold", self.sold)

    def sell(self, n: int) -> None:
        self.registry.counter(COUNT).cell(()).add(n)
        self.snapshots.publish()

    def sold(self) -> float:
        return self.registry.counter(COUNT).cell(()).value

    def all_sold(self) -> float:
        (family,) = self.snapshots.merged()
        return float(family.points[0].value)  # type: ignore[arg-type]  # a counter


@pytest.fixture
def workers(tmp_path: Path) -> tuple[Worker, Worker]:
    a, b = Worker(tmp_path), Worker(tmp_path)
    a.sell(1)
    b.sell(2)
    return a, b


def test_a_reading_is_of_one_time(workers: tuple[Worker, Worker]) -> None:
    """Whatever is asked within it, in whichever order, is of the same time; the next is newer."""
    a, b = workers
    with a.snapshots.one_reading():
        assert 3 == a.all_sold()
        b.sell(10)
        assert 3 == a.all_sold()
        assert {1, 2} == set(a.snapshots.sections("sold"))
    assert 13 == a.all_sold()
    assert {1, 12} == set(a.snapshots.sections("sold"))


def test_sections_and_metrics_are_of_the_same_files(workers: tuple[Worker, Worker]) -> None:
    """What was read for a section is what metrics are merged of."""
    a, b = workers
    with a.snapshots.one_reading():
        assert {1, 2} == set(a.snapshots.sections("sold"))
        b.sell(10)
        assert 3 == a.all_sold()


def test_a_reading_within_another_is_the_same(workers: tuple[Worker, Worker]) -> None:
    """A page that prepares the overview goes on with what that read."""
    a, b = workers
    with a.snapshots.one_reading():
        with a.snapshots.one_reading():
            assert 3 == a.all_sold()
        b.sell(10)
        assert 3 == a.all_sold()


def test_a_reading_ends_with_an_exception(workers: tuple[Worker, Worker]) -> None:
    """A page that fails leaves nothing old behind."""
    a, b = workers

    def fail() -> None:
        with a.snapshots.one_reading():
            a.all_sold()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    b.sell(10)
    assert 13 == a.all_sold()


def test_a_reading_is_of_its_thread(workers: tuple[Worker, Worker]) -> None:
    """A scrape beside a page that takes long finds the numbers of now."""
    a, b = workers
    found: list[float] = []
    with a.snapshots.one_reading():
        a.all_sold()
        b.sell(10)
        scrape = threading.Thread(target=lambda: found.append(a.all_sold()))
        scrape.start()
        scrape.join()
    assert [13] == found


def test_totals_of_the_dead_are_read_again_when_they_changed(tmp_path: Path) -> None:
    """They are parsed once, and again after whichever process wrote them."""
    totals = snapshot_files.Totals(tmp_path)
    assert [] == totals.read()[1]
    for names in (["a"], ["a", "b"], ["c"]):
        assert snapshot_files.write_totals(tmp_path, names, [], {"sold": len(names)})
        found, folded = totals.read()
        assert (names, len(names)) == (folded, found.sections["sold"])
        assert found is totals.read()[0]
    (tmp_path / "totals").unlink()
    assert ([], {}) == (totals.read()[1], totals.read()[0].sections)


def test_damaged_totals_are_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the file is right again, it counts."""
    from proletto_otel.core import internal_errors

    monkeypatch.setattr(internal_errors, "strict", False)
    totals = snapshot_files.Totals(tmp_path)
    (tmp_path / "totals").write_bytes(b"[not JSON")
    assert [] == totals.read()[1]
    (tmp_path / "totals").write_bytes(orjson.dumps([["a"], [], {}]))
    assert ["a"] == totals.read()[1]
