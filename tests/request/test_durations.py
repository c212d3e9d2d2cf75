"""Percentiles from fine buckets are those of the durations themselves, within 5 %."""

from __future__ import annotations

import json
import random

import pytest

from proletto_otel.request import durations
from proletto_otel.request.route_stats import RouteActivity, merge
from proletto_otel.request.route_summary import RouteSummary, summarise
from tests.request.conftest import Rig
from tests.request.test_route_stats import finished

NOISE = random.Random(7)
SHAPES = {
    "all alike": [1.05] * 40,
    "fast": [NOISE.uniform(0.0002, 0.003) for _ in range(5000)],
    "two kinds": [0.02] * 940 + [4.0] * 60,
    "long tail": [NOISE.lognormvariate(-3, 1.5) for _ in range(5000)],
    "minutes": [NOISE.uniform(30, 280) for _ in range(200)],
}


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("shape", SHAPES)
def test_percentile_is_within_five_per_cent(rig: Rig, shape: str, q: float) -> None:
    """Of the exact one, whatever the durations; the histogram's were off by up to 2.3 times."""
    values = sorted(SHAPES[shape])
    stats = RouteActivity("GET", "/")
    for value in values:
        stats.add(finished(rig, seconds=value), failed=False)
    ((_, counts),) = stats.section()["recent"]
    exact = values[min(int(q * len(values)), len(values) - 1)]

    assert exact == pytest.approx(durations.quantile_s(counts, q), rel=0.05)


def test_nothing_has_no_percentile() -> None:
    """No requests, no number."""
    assert None is durations.quantile_s({}, 0.95)


def test_too_long_and_too_short_have_buckets(rig: Rig) -> None:
    """An hour and a nanosecond are counted like all others."""
    stats = RouteActivity("GET", "/")
    for value in (0.0, 1e-9, 3600.0):
        stats.add(finished(rig, seconds=value), failed=False)

    assert 3 == sum(stats.section()["recent"][0][1].values())


def test_old_minutes_are_added_up(rig: Rig) -> None:
    """Six minutes are kept apart, the rest in one: no request is lost, and memory is bounded."""
    stats = RouteActivity("GET", "/")
    for minute in range(1, 21):
        stats.add(finished(rig, minute=minute), failed=False)
    section = stats.section()

    assert list(range(15, 21)) == [minute for minute, _ in section["recent"]]
    assert 14 == sum(section["older"].values())
    stats.add(finished(rig, minute=20), failed=False)
    again = stats.section()["recent"]
    assert [1, 1, 1, 1, 1, 2] == [sum(counts.values()) for _, counts in again]
    # what is published twice a second of a minute that ended is made once
    assert all(a is b for a, b in zip(section["recent"][:-1], again[:-1], strict=True))


def test_processes_are_added_up(rig: Rig) -> None:
    """What two workers, one of them dead, counted; and what an older release wrote counts none."""
    workers = [RouteActivity("GET", "/"), RouteActivity("GET", "/")]
    for number, stats in enumerate(workers):
        for minute in range(5):
            stats.add(finished(rig, minute=1 + minute + 4 * number), failed=False)
    written = [json.loads(json.dumps([stats.section()])) for stats in workers]
    old = {k: v for k, v in written[0][0].items() if k not in ("recent", "older")}
    (merged,) = merge([*written, [old]])

    assert 10 == sum(merged["older"].values()) + sum(
        sum(counts.values()) for _, counts in merged["recent"]
    )
    assert [4, 5, 6, 7, 8, 9] == [minute for minute, _ in merged["recent"]]
    assert [] == summarise(None, written)
    assert RouteSummary(method="GET", route="/").recent == []
