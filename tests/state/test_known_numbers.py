"""What is kept from one reading to the next never shows: each answer is as if all was read anew."""

from __future__ import annotations

import math
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proletto_otel.core.conventions import Metric
from proletto_otel.core.metrics.registry import Family, Histogram, Point, Registry
from proletto_otel.metrics import exposition
from proletto_otel.state import adding, memory, merging, published
from proletto_otel.state.snapshots import Snapshots

SOLD = Metric(name="shop.sold", kind="counter", unit="{item}", description="", attributes=("kind",))
SPENT = Metric(name="shop.spent", kind="counter", unit="s", description="", attributes=("kind",))
FILL = Metric(name="shop.fill", kind="gauge", unit="1", description="")
HEAT = Metric(name="shop.heat", kind="gauge", unit="1", description="", attributes=("kind",))
WAIT = Metric(
    name="shop.wait", kind="histogram", unit="s", description="Waiting, 50% of it.",
    attributes=("route",), bounds=(0.1, 1.0),
)  # fmt: skip
ROUTES = ("/a", "/b%s", 'say "c"')
OPEN = "application/openmetrics-text"


class Worker:
    """A process's cells and snapshots; several live in one test process."""

    def __init__(self, directory: Path, in_memory: bool) -> None:
        self.registry = Registry()
        self.snapshots = Snapshots(directory, self.registry.collect, self.registry)
        self.snapshots.start() if in_memory else self.snapshots.publish()

    def work(self, chance: random.Random) -> None:
        """Count something."""
        route, kind = chance.choice(ROUTES), chance.choice(("book", "pen"))
        if chance.random() < 0.5:
            trace = f"{chance.getrandbits(128):032x}" if chance.random() < 0.5 else ""
            cell = self.registry.histogram(WAIT).cell((route,))
            cell.observe(chance.random() * 2, trace, trace[:16])
        self.registry.counter(SOLD).cell((kind,)).add(chance.randrange(3))
        self.registry.counter(SPENT).cell((kind,)).add(chance.random())
        self.registry.gauge(FILL).cell().set(chance.choice((0, 1, 1.0, 0.5)))

    def die(self) -> None:
        """End as a killed process does: nothing is published, the kernel frees the lock."""
        if self.snapshots._live is not None:
            os.close(self.snapshots._live)
            self.snapshots._live = None


class Host:
    """Workers that come, count, publish, end and are killed, in random order."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.chance = random.Random(seed)
        self.workers: list[Worker] = []
        self.folder = Snapshots(directory, list)

    def step(self) -> None:
        """Let one thing happen."""
        chance = self.chance
        if len(self.workers) < 2 or (len(self.workers) < 5 and chance.random() < 0.05):
            self.workers.append(Worker(self.directory, in_memory=chance.random() < 0.7))
        worker = chance.choice(self.workers)
        event = chance.choices(
            ("work", "publish", "answer", "stop", "die", "fold"), (12, 6, 3, 0.7, 0.7, 1)
        )[0]
        if event == "work":
            worker.work(chance)
        elif event == "publish":
            worker.snapshots.publish()
        elif event == "answer":
            worker.snapshots.merged()
        elif event == "fold":
            self.folder.fold()
        else:
            self.workers.remove(worker)
            worker.snapshots.stop(time.monotonic()) if event == "stop" else worker.die()


def page(reader: Snapshots, accept: str = "") -> str:
    return exposition.render(reader.merged(), accept)[0].decode()


def page_read_anew(directory: Path, accept: str) -> str:
    """The page of a process that never read before, with no text of before."""
    for cache in (
        exposition._templates, exposition._singles, exposition._texts,
        published._attributes, published._head_lines, published.heads,
    ):  # fmt: skip
        cache.clear()
    reader = Snapshots(directory, list)
    try:
        return page(reader, accept)
    finally:  # who reads while there are others is one of them
        reader.stop(time.monotonic())
        for path in (directory / "workers").glob(f"{reader._name}.*"):
            path.unlink()


def counts(text: str) -> dict[str, float]:
    """Everything on a page that only grows."""
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    return {name: float(number) for name, number in lines if "shop_fill" not in name}


@pytest.mark.parametrize("seed", range(6))
def test_answer_is_as_if_everything_was_read_anew(tmp_path: Path, seed: int) -> None:
    """Workers that count, publish, end, are killed and folded: byte for byte the same pages."""
    host, reader = Host(tmp_path, seed), Snapshots(tmp_path, list)
    for _ in range(80):
        host.step()
        for accept in ("", OPEN):
            now = page(reader, accept)
            assert page_read_anew(tmp_path, accept) == now
            assert now == page(reader, accept)


@pytest.mark.parametrize("seed", range(6))
def test_no_count_ever_goes_back(tmp_path: Path, seed: int) -> None:
    """Whichever worker answers, however its neighbours ended: no digit of a count is lower."""
    host, other, before = Host(tmp_path, seed), Snapshots(tmp_path, list), {}
    other.publish()
    for _ in range(80):
        host.step()
        readers = [other, *(worker.snapshots for worker in host.workers)]
        for reader in host.chance.sample(readers, len(readers)):
            now = counts(page(reader))
            assert {} == {k: (v, now.get(k)) for k, v in before.items() if now.get(k, 0) < v}
            before = now


@pytest.mark.parametrize("seed", range(6))
def test_process_alone_says_what_an_addition_says(tmp_path: Path, seed: int) -> None:
    """What one process keeps of its cells and callbacks shows on no page, byte for byte."""
    chance, worker = random.Random(seed), Worker(tmp_path, in_memory=True)
    said: dict[str, float] = {}
    worker.registry.observe(HEAT, lambda: [((kind,), x) for kind, x in said.items()])
    for _ in range(80):
        worker.work(chance)
        kind = chance.choice(("oven", "hob"))
        said[kind] = chance.choice((0, 0.0, -0.0, 1, 1.0, True, 0.5, math.nan, math.inf))
        if chance.random() < 0.1:
            said.pop(kind)
        for accept in ("", OPEN):
            now = page(worker.snapshots, accept)
            for cache in (exposition._templates, exposition._singles, exposition._texts):
                cache.clear()
            worker.registry._observed.clear()
            total = merging.Sum()
            total.take(worker.registry.collect(), os.getpid())
            assert exposition.render(total.families(), accept)[0].decode() == now


def test_families_of_one_name_are_added_up_in_a_process_alone() -> None:
    """Two libraries that count under one name: one series, and the next answer is no lower."""
    series = (("kind", "book"),)
    found = [Family("shop.sold", "counter", "", "", [Point(series, n)]) for n in (1, 2)]
    reader = Snapshots(None, lambda: found)

    for _ in range(2):
        assert [[3]] == [[p.value for p in f.points] for f in reader.merged()]


def test_series_that_did_not_change_are_the_same_objects(tmp_path: Path) -> None:
    """Neither a cell, nor what several workers add up to, is made again while nobody counts."""
    workers = [Worker(tmp_path, in_memory=True) for _ in range(3)]
    for worker in workers:
        worker.registry.histogram(WAIT).cell(("/a",)).observe(0.5, "a" * 32, "b" * 16)
        worker.registry.histogram(WAIT).cell(("/b",)).observe(0.5)
        worker.snapshots.publish()
    reader = Snapshots(tmp_path, list)
    first = reader.merged()[0]
    workers[1].registry.histogram(WAIT).cell(("/b",)).observe(0.5)
    for worker in workers[::-1]:  # the newest first, in another order each time
        worker.registry.counter(SOLD).cell(("book",)).add(1)
        worker.snapshots.publish()

    second = reader.merged()[0]

    same = [a is b for a, b in zip(first.points, second.points, strict=True)]
    assert [True, False] == same
    assert [3, 4] == [p.value.count for p in second.points if isinstance(p.value, Histogram)]


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More series than are kept are added up all the same; a worker that is gone is forgotten."""
    monkeypatch.setattr(merging, "MAX_KNOWN", 10)
    monkeypatch.setattr(published, "MAX_ATTRIBUTES", 10)
    worker, reader = Worker(tmp_path, in_memory=True), Snapshots(tmp_path, list)
    for number in range(50):
        worker.registry.histogram(WAIT).cell((f"/{number}",)).observe(0.5)
    worker.snapshots.publish()
    for _ in range(2):
        (family,) = reader.merged()
        assert 50 == len(family.points)
        assert 10 == sum(len(known) for known in reader._known.values())
    worker.snapshots.stop(time.monotonic())
    reader.fold()
    reader.merged()

    assert reader._files is not None
    assert {} == reader._files._readers


def test_text_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    """One JSON document without line breaks: numbers, histograms, sections."""
    directory = tmp_path / "workers"
    directory.mkdir()
    wait = '[[[["route","/a"]],[[0.1,1.0],[1,0,2],4.5,0.05,2.0,{"0":["t","s",0.05,9.5]}],7]]'
    sold = '[[[["kind","book"]],3,7]]'
    (directory / "1-abc.json").write_text(
        f'[1,2.5]\n[[["shop.wait","histogram","s","","worker",{wait}],'
        f'["shop.sold","counter","","","worker",{sold}]],{{"slow":[1]}}]'
    )
    reader = Snapshots(tmp_path, list)

    waits, sales = reader.merged()

    value = Histogram((0.1, 1.0), [1, 0, 2], 4.5, 3, 0.05, 2.0, {0: ["t", "s", 0.05, 9.5]})  # type: ignore[dict-item]  # as JSON has it
    assert [(value, 7)] == [(p.value, p.start_ns) for p in waits.points]
    assert [3] == [p.value for p in sales.points]
    reader.section("slow", list)
    assert [[1], []] == reader.sections("slow")


@pytest.mark.parametrize(
    "damage",
    [b'"shop.wait","histogram"', b"\n,[", b'"route"', b",\n{", b"0.1"],
    ids=["head", "line", "attribute", "exemplars", "bounds"],
)
def test_a_damaged_text_costs_its_process_alone(
    tmp_path: Path, damage: bytes, lenient: None
) -> None:
    """Whatever is wrong in it, the page is made of all others."""
    good, bad = Worker(tmp_path, in_memory=False), Worker(tmp_path, in_memory=False)
    for worker in (good, bad):
        worker.registry.histogram(WAIT).cell(("/a",)).observe(0.5)
        worker.snapshots.publish()
    path = tmp_path / "workers" / f"{bad.snapshots._name}.json"
    path.write_bytes(path.read_bytes().replace(damage, b"", 1))

    (family,) = Snapshots(tmp_path, list).merged()

    assert [1] == [p.value.count for p in family.points if isinstance(p.value, Histogram)]


def test_numbers_that_json_cannot_carry_are_not_numbers(tmp_path: Path) -> None:
    """Infinity and NaN of another worker appear as NaN; the page is made."""
    worker = Worker(tmp_path, in_memory=False)
    worker.registry.gauge(FILL).cell().set(float("inf"))
    worker.snapshots.publish()

    assert "shop_fill_ratio" in page(Snapshots(tmp_path, list))
    assert " NaN\n" in page(Snapshots(tmp_path, list))


def test_a_family_that_cannot_be_written_costs_itself_alone(tmp_path: Path, lenient: None) -> None:
    """A label that is no text in UTF-8 hides no other metric from the other workers."""
    worker = Worker(tmp_path, in_memory=False)
    worker.registry.counter(SOLD).cell(("\ud800",)).add(1)
    worker.registry.counter(SPENT).cell(("book",)).add(2)
    worker.snapshots.publish()

    assert ["shop.spent"] == [family.name for family in Snapshots(tmp_path, list).merged()]


amounts = st.lists(st.floats(0, 1e12, allow_subnormal=False), min_size=1, max_size=9)


@given(amounts, st.randoms())
def test_sums_do_not_depend_on_the_order(values: list[float], chance: random.Random) -> None:
    """Workers meet each other in different orders; to the last digit they say the same."""
    mixed = chance.sample(values, len(values))

    assert adding.total(values) == adding.total(mixed)


@given(amounts, amounts)
def test_a_stored_sum_is_never_below_its_parts(dead: list[float], alive: list[float]) -> None:
    """When the dead are folded the total of all does not fall, not even by a rounding."""
    folded = adding.total_not_below(dead)

    assert adding.total([folded, *alive]) >= adding.total([*dead, *alive])


@given(st.lists(st.sampled_from([1, 2.5, float("inf"), float("-inf"), float("nan"), 1e308])))
def test_sums_of_odd_numbers_do_not_fail(values: list[float]) -> None:
    """Infinities and numbers too large for a float are added up to something."""
    adding.total(values)
    adding.total_not_below(values)


def test_numbers_in_memory_are_read_whole(tmp_path: Path) -> None:
    """While one process counts, another finds each number only growing: no half of one."""
    registry = Registry()
    worker = Snapshots(tmp_path, registry.collect, registry)
    worker.start()
    cell = registry.histogram(WAIT).cell(("/a",))
    cell.observe(0.5)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        for _ in range(200_000):
            cell.observe(0.5)
        os._exit(0)
    directory = memory.directory_for(tmp_path / "workers")
    assert directory is not None
    (record,) = Snapshots(tmp_path, list)._histograms.records(worker._name)  # type: ignore[union-attr]
    found = []
    while not os.waitpid(child, os.WNOHANG)[0]:
        found += [record.read() for _ in range(1000)]
    numbers = [memoryview(read).cast("d").tolist() for read in found]

    assert [n[1] for n in numbers] == sorted(n[1] for n in numbers)
    assert [n[3] for n in numbers] == sorted(n[3] for n in numbers)
    assert {(0.5, 0.5)} == {(n[4], n[5]) for n in numbers}
