"""Workers of the release before and of this one write one history during a rolling update."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proletto_otel.state.history import History
from proletto_otel.state.metric_series import MetricSeries
from proletto_otel.state.store import Store
from tests.waiting import PATIENCE_S

BEGIN = 1_700_000_100.0 - 1_700_000_100.0 % 7200
BEFORE = """
CREATE TABLE IF NOT EXISTS samples (resolution INTEGER NOT NULL, metric TEXT NOT NULL,
 at REAL NOT NULL, value REAL NOT NULL, n INTEGER NOT NULL,
 PRIMARY KEY (resolution, metric, at)) WITHOUT ROWID
"""


class WorkerBefore:
    """The SQL of the release before: full samples, running means of minutes and quarter hours."""

    levels = ((60, 6 * 3600), (900, 7 * 86_400))

    def __init__(self, path: Path, max_samples: int = 100) -> None:
        self.db = sqlite3.connect(path / "store.sqlite", timeout=PATIENCE_S)
        self.max_samples = max_samples
        self.db.execute("PRAGMA synchronous=OFF")
        self.db.execute(BEFORE)

    def add(self, at: float, name: str, value: float) -> None:
        with self.db:
            self.db.execute(
                "INSERT OR REPLACE INTO samples VALUES (0, ?, ?, ?, 1)", (name, at, value)
            )
            for seconds, _ in self.levels:
                self.db.execute(
                    "INSERT INTO samples VALUES (?, ?, ?, ?, 1)"
                    " ON CONFLICT (resolution, metric, at) DO UPDATE"
                    " SET value = (value * n + excluded.value) / (n + 1), n = n + 1",
                    (seconds, name, at - at % seconds, value),
                )
        with self.db:
            self.db.execute(
                "DELETE FROM samples WHERE resolution = 0 AND metric = :name AND at <= (SELECT at"
                " FROM samples WHERE resolution = 0 AND metric = :name ORDER BY at DESC LIMIT 1"
                " OFFSET :stored)",
                {"name": name, "stored": self.max_samples},
            )
            for seconds, stored_s in ((0, 7 * 86_400), *self.levels):
                self.db.execute(
                    "DELETE FROM samples WHERE (resolution, metric, at) IN (SELECT resolution,"
                    " metric, at FROM samples WHERE resolution = ? AND at < ? LIMIT 1000)",
                    (seconds, at - stored_s),
                )

    def read(self, name: str, resolution: int) -> list[tuple[float, float, int]]:
        return self.db.execute(
            "SELECT at, value, n FROM samples WHERE resolution = ? AND metric = ? ORDER BY at",
            (resolution, name),
        ).fetchall()


@pytest.fixture
def before(tmp_path: Path) -> Iterator[WorkerBefore]:
    """A worker of the release before, which made the store."""
    worker = WorkerBefore(tmp_path)
    yield worker
    worker.db.close()


@pytest.fixture
def store(before: WorkerBefore, tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.stop(time.monotonic() + 1)


def test_what_was_there_is_read_on(before: WorkerBefore, store: Store) -> None:
    """After the update a chart shows the hours and days that the release before stored."""
    for minute in range(0, 3 * 24 * 60, 5):
        before.add(BEGIN + 60 * minute, "load_1", float(minute % 15))
    now = BEGIN + 3 * 86_400
    History(store, 100, lambda name: True).add(now, {"load_1": 7.0})
    series = MetricSeries(store)

    days = series.points("load_1", BEGIN, now + 60, points=100)
    hours = series.points("load_1", now - 5 * 3600, now + 60, points=300)

    assert 92 <= len(days) <= 101
    assert 5.0 == pytest.approx(days[0].mean)
    assert 61 == pytest.approx(len(hours), abs=1)
    assert 3 * 24 * 12 + 1 == sum(p.count for p in series.points("load_1", BEGIN, now + 60, 100))


def test_each_sample_counts_once_whoever_leads(before: WorkerBefore, store: Store) -> None:
    """The lead passes between both releases every few samples: means and counts are right."""
    history = History(store, 100, lambda name: True)
    for i in range(1440):
        at, value = BEGIN + 10 * i, float(i % 6)
        if i // 7 % 2:
            history.add(at, {"load_1": value})
        else:
            before.add(at, "load_1", value)
    series = MetricSeries(store)

    minutes = series.points("load_1", BEGIN, BEGIN + 14_400, points=240)
    hours = series.points("load_1", BEGIN, BEGIN + 14_400, points=2)

    assert 240 == len(minutes)
    assert {(2.5, 6)} == {(round(p.mean, 9), p.count) for p in minutes}
    assert [(2.5, 720), (2.5, 720)] == [(round(p.mean, 9), p.count) for p in hours]
    assert 100 == len(series.samples("load_1", BEGIN + 13_400))


def test_the_release_before_can_come_back(before: WorkerBefore, store: Store) -> None:
    """A roll-back finds its tables as it knows them, and writes on."""
    for i in range(60):
        before.add(BEGIN + 10 * i, "load_1", 1.0)
    History(store, 100).add(BEGIN + 600, {"load_1": 5.0})

    before.add(BEGIN + 610, "load_1", 3.0)

    assert [(BEGIN + 60 * i, 1.0, 6) for i in range(10)] + [(BEGIN + 600, 3.0, 1)] == (
        before.read("load_1", 60)
    )
    assert [5.0, 3.0] == [value for _, value, _ in before.read("load_1", 0)][-2:]


def test_lowest_and_highest_come_from_both(before: WorkerBefore, store: Store) -> None:
    """Of the release before only means are known; they bound what this one measured."""
    before.add(BEGIN, "load_1", 4.0)
    History(store, 100).add(BEGIN + 10, {"load_1": 2.0})

    (point,) = MetricSeries(store).points("load_1", BEGIN, BEGIN + 60, points=1)

    assert (2.0, 4.0, 3.0, 2) == (point.min, point.max, point.mean, point.count)
