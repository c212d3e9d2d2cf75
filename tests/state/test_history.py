"""How metrics went: exact for a while, then by the minute, then by the quarter hour."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from proletto_otel.state.history import LEVELS, MAX_METRICS, History
from proletto_otel.state.store import Store

BEGIN = 1_700_000_100.0 - 1_700_000_100.0 % 900
DAY = 86_400


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path)
    yield store
    store.stop(time.monotonic() + 1)


def rows(store: Store, resolution: int) -> int:
    sql = "SELECT count(*) FROM samples WHERE resolution = ?"
    return int(store.query(sql, (resolution,))[0][0])


def test_recent_samples_come_back_as_they_were(store: Store) -> None:
    """The last MONITOR_MAX_SAMPLES are stored at full resolution, oldest first."""
    history = History(store, 5)
    for i in range(8):
        history.add(BEGIN + 10 * i, {"cpu_percent": float(i)})

    found = history.read("cpu_percent", BEGIN + 30)

    assert [(BEGIN + 10 * i, float(i)) for i in range(3, 8)] == found
    assert 5 == rows(store, 0)


def test_what_is_missing_is_no_sample(store: Store) -> None:
    """A value that the system refused is absent, not zero."""
    history = History(store, 5)
    history.add(BEGIN, {"cpu_percent": None, "load_1": 0.5})

    assert [] == history.read("cpu_percent", BEGIN)
    assert [(BEGIN, 0.5)] == history.read("load_1", BEGIN)


def test_older_times_are_means_of_minutes(store: Store) -> None:
    """Beyond the full samples there is the mean of each minute."""
    history = History(store, 5)
    for i in range(120):
        history.add(BEGIN + 10 * i, {"cpu_percent": float(i % 6)})

    found = history.read("cpu_percent", BEGIN)

    assert [(BEGIN + 60 * i, 2.5) for i in range(20)] == [(at, round(v, 9)) for at, v in found]


def test_days_are_means_of_quarter_hours(store: Store) -> None:
    """Beyond the minutes there is the mean of each quarter hour."""
    history = History(store, 5)
    for minute in range(0, 24 * 60, 5):
        history.add(BEGIN + 60 * minute, {"load_1": float(minute % 15)})

    found = history.read("load_1", BEGIN)

    assert [(BEGIN + 900 * i, 5.0) for i in range(96)] == [(at, round(v, 9)) for at, v in found]


def test_ten_days_stay_bounded(store: Store) -> None:
    """However long it runs, each metric has its share and no more; old times are let go."""
    history = History(store, 10)
    minutes = range(0, 10 * 24 * 60, 10)
    for minute in minutes:
        history.add(BEGIN + 60 * minute, {"load_1": 1.0})

    assert 10 == rows(store, 0)
    for seconds, stored_s in LEVELS:
        assert 1 <= rows(store, seconds) <= stored_s // seconds + 2
    oldest = history.read("load_1", 0)[0][0]
    assert 6 * DAY < BEGIN + 60 * minutes[-1] - oldest <= 7 * DAY + 900


def test_metrics_are_bounded_too(store: Store) -> None:
    """A flood of metric names ends at the limit."""
    history = History(store, 2)
    history.add(BEGIN, {f"m{i}": 1.0 for i in range(MAX_METRICS + 100)})

    assert MAX_METRICS == rows(store, 0)


def test_another_worker_goes_on_with_the_same_history(store: Store, tmp_path: Path) -> None:
    """The next leader finds what the last one wrote."""
    History(store, 5).add(BEGIN, {"load_1": 1.0})
    other = Store(tmp_path)
    history = History(other, 5)
    history.add(BEGIN + 10, {"load_1": 2.0})

    assert [(BEGIN, 1.0), (BEGIN + 10, 2.0)] == history.read("load_1", BEGIN)
    other.stop(time.monotonic() + 1)


def test_a_metric_that_is_gone_is_forgotten(store: Store) -> None:
    """A disk that was unmounted leaves nothing for ever."""
    history = History(store, 5)
    history.add(BEGIN, {"gone": 1.0})
    history.add(BEGIN + 8 * DAY, {"load_1": 1.0})

    assert [] == history.read("gone", 0)
