"""How metrics went: exact for a while, then by the minute, the quarter hour, two hours."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from proletto_otel.state.history import MAX_METRICS, TIERS, History
from proletto_otel.state.metric_series import MetricSeries
from proletto_otel.state.readings import MetricPoint
from proletto_otel.state.store import Store

BEGIN = 1_700_000_100.0 - 1_700_000_100.0 % 7200
DAY = 86_400


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path)
    yield store
    store.stop(time.monotonic() + 1)


def rows(store: Store, resolution: int) -> int:
    sql = "SELECT count(*) FROM samples WHERE resolution = ?"
    if resolution:
        sql = "SELECT count(*) FROM metric_points WHERE tier = ?"
    return int(store.query(sql, (resolution,))[0][0])


def read(store: Store, metric: str, since: float) -> list[tuple[float, float]]:
    return MetricSeries(store).samples(metric, since)


def test_recent_samples_come_back_as_they_were(store: Store) -> None:
    """The last MONITOR_MAX_SAMPLES are stored at full resolution, oldest first."""
    history = History(store, 5)
    for i in range(8):
        history.add(BEGIN + 10 * i, {"cpu_percent": float(i)})

    found = read(store, "cpu_percent", BEGIN + 30)

    assert [(BEGIN + 10 * i, float(i)) for i in range(3, 8)] == found
    assert 5 == rows(store, 0)


def test_what_is_missing_is_no_sample(store: Store) -> None:
    """A value that the system refused is absent, not zero."""
    history = History(store, 5)
    history.add(BEGIN, {"cpu_percent": None, "load_1": 0.5})

    assert [] == read(store, "cpu_percent", BEGIN)
    assert [(BEGIN, 0.5)] == read(store, "load_1", BEGIN)


def test_older_times_are_means_of_minutes(store: Store) -> None:
    """Beyond the full samples there is the mean of each minute."""
    history = History(store, 5)
    for i in range(120):
        history.add(BEGIN + 10 * i, {"cpu_percent": float(i % 6)})

    found = read(store, "cpu_percent", BEGIN)

    assert [(BEGIN + 60 * i, 2.5) for i in range(20)] == [(at, round(v, 9)) for at, v in found]


def test_days_are_means_of_quarter_hours(store: Store) -> None:
    """Beyond the minutes there is the mean of each quarter hour."""
    history = History(store, 5)
    for minute in range(0, 3 * 24 * 60, 5):
        history.add(BEGIN + 60 * minute, {"load_1": float(minute % 15)})

    found = read(store, "load_1", BEGIN)

    assert [(BEGIN + 900 * i, 5.0) for i in range(288)] == [(at, round(v, 9)) for at, v in found]


def test_forty_days_stay_bounded(store: Store) -> None:
    """However long it runs, each metric has its share and no more; old times are let go."""
    history = History(store, 10, lambda name: True)
    minutes = range(0, 40 * 24 * 60, 10)
    for minute in minutes:
        history.add(BEGIN + 60 * minute, {"load_1": 1.0})

    assert 10 == rows(store, 0)
    for seconds, stored_s in TIERS:
        assert 1 <= rows(store, seconds) <= stored_s // seconds + 2
    quarters = store.query("SELECT min(at) FROM metric_points WHERE tier = 900")[0][0]
    assert 29 * DAY < BEGIN + 60 * minutes[-1] - quarters <= 30 * DAY + 900
    assert BEGIN == read(store, "load_1", 0)[0][0]


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

    assert [(BEGIN, 1.0), (BEGIN + 10, 2.0)] == read(other, "load_1", BEGIN)
    other.stop(time.monotonic() + 1)


def test_a_metric_that_is_gone_is_forgotten(store: Store) -> None:
    """A disk that was unmounted leaves nothing for ever."""
    history = History(store, 5)
    history.add(BEGIN, {"gone": 1.0})
    history.add(BEGIN + 31 * DAY, {"load_1": 1.0})

    assert [] == read(store, "gone", 0)


def test_a_peak_is_seen_in_every_tier(store: Store) -> None:
    """A second at 99 % is in the day, the month and the year, beside the mean."""
    history = History(store, 5, lambda name: True)
    for second in range(0, 7200, 10):
        history.add_to_tiers(BEGIN + second, {"cpu_percent": 99.0 if second == 3000 else 1.0})

    series = MetricSeries(store)
    hours = series.points("cpu_percent", BEGIN, BEGIN + 7200, points=1)
    quarters = series.points("cpu_percent", BEGIN, BEGIN + 7200, points=8)
    minutes = series.points("cpu_percent", BEGIN, BEGIN + 7200, points=120)

    mean = (719 + 99) / 720
    assert hours == (
        MetricPoint(time=BEGIN, seconds=7200, min=1.0, max=99.0, mean=mean, count=720),
    )
    assert [1.0, 1.0, 1.0, 99.0, 1.0, 1.0, 1.0, 1.0] == [p.max for p in quarters]
    assert [BEGIN + 3000] == [p.time for p in minutes if p.max > 1]
    assert (120, 8) == (len(minutes), len(quarters))


def test_a_gap_has_no_points(store: Store) -> None:
    """Where nothing was measured a chart has a hole, not a line."""
    history = History(store, 5)
    for minute in (*range(10), *range(20, 30)):
        history.add_to_tiers(BEGIN + 60 * minute, {"load_1": 1.0})

    found = MetricSeries(store).points("load_1", BEGIN, BEGIN + 1800, points=30)

    assert [BEGIN + 60 * m for m in (*range(10), *range(20, 30))] == [p.time for p in found]


@pytest.mark.parametrize(
    ("span", "tier"), [(3600, 60), (DAY, 60), (7 * DAY, 900), (30 * DAY, 7200), (300 * DAY, 7200)]
)
def test_a_chart_has_as_many_points_as_were_asked_for(store: Store, span: int, tier: int) -> None:
    """Whatever the span, between half and all of the points that were asked for come back."""
    history = History(store, 5, lambda name: True)
    now = BEGIN + 300 * DAY
    for at in range(int(now - span), int(now), tier if tier > 60 else 60):
        history.add_to_tiers(float(at), {"load_1": 1.0})

    found = MetricSeries(store).points("load_1", now - span, now, points=120)

    assert 60 <= len(found) <= 121
    assert {tier} == {int(p.seconds) % tier + tier for p in found}


def test_only_built_in_metrics_are_stored_for_a_year(store: Store) -> None:
    """Two hundred gauges of an application do not fill the store."""
    history = History(store, 5, lambda name: name == "load_1")
    history.add(BEGIN, {"load_1": 1.0, "queue_depth": 1.0})

    assert 1 == rows(store, 7200)
