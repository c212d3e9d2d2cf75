"""Days of requests: added up once they are over, and read in place of their parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proletto_otel.request.request_days import add_up_a_day, pieces, prune
from proletto_otel.request.request_history import DAY_S, MAX_PER_BUCKET
from proletto_otel.request.request_series import RequestSeries
from proletto_otel.state.store import Store
from tests.request.test_request_history import ITEM, Service

MIDNIGHT = 1_700_000_000.0 // DAY_S * DAY_S
ALL_DAYS = "SELECT at, route, c2 FROM request_points WHERE tier = 86400 ORDER BY at, route"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.stop(time.monotonic() + 1)


def three_days(store: Store) -> Service:
    """A service that ran for two days and a half; the second day is the busiest."""
    service = Service(store, at=MIDNIGHT)
    for number in range(20):
        service.serve(n=5 if 8 <= number < 16 else 1, seconds=2.0 if number == 9 else 0.1)
        service.record(after=10_800 if number else 60)
    return service


def test_only_days_that_are_over_are_added_up(store: Store) -> None:
    """One at a time, the oldest first, each once."""
    three_days(store)

    assert [True, True, False, False] == [add_up_a_day(store) for _ in range(4)]
    days = [(row["at"] - MIDNIGHT, row["route"] > 0, row["c2"]) for row in store.query(ALL_DAYS)]
    assert [(0, False, 8), (0, True, 8), (DAY_S, False, 40), (DAY_S, True, 40)] == days


def test_a_month_says_the_same_with_days_and_without(store: Store) -> None:
    """Counts, percentiles and the curve of each endpoint, to the day that is under way."""
    service = three_days(store)
    series, month = RequestSeries(store), (service.at - 30 * DAY_S, service.at)
    before = series.endpoints(*month)
    while add_up_a_day(store):
        pass

    after = series.endpoints(*month)
    assert before == after
    assert [8, 40, 4] == [count for _, count, _ in after[0].points]
    # what they are made of is not read
    store.write(
        f"DELETE FROM request_points WHERE tier < {DAY_S} AND at < ?", [(MIDNIGHT + DAY_S,)]
    )
    store.write(f"DELETE FROM request_points WHERE tier < {DAY_S} AND at < ?", [(MIDNIGHT + 9000,)])
    assert before[0].total.count == series.endpoints(*month)[0].total.count


def test_a_time_without_a_leader_belongs_to_its_day(store: Store) -> None:
    """A day is not added up before the leader has recorded in the next one."""
    service = Service(store, at=MIDNIGHT)
    service.serve(n=3)
    service.record()

    assert not add_up_a_day(store)
    service.record(after=DAY_S)
    assert add_up_a_day(store)


def test_a_time_is_cut_into_the_fewest_buckets(store: Store) -> None:
    """Fine ones at its ends, the coarsest in the middle."""
    three_days(store)
    while add_up_a_day(store):
        pass
    begin, end = int(MIDNIGHT) - 1800, MIDNIGHT + 2.5 * DAY_S + 60

    found = [(tier, at - MIDNIGHT, to - MIDNIGHT) for tier, at, to in pieces(store, 60, begin, end)]
    assert [
        (900, -1800, 0),
        (DAY_S, 0, 2 * DAY_S),
        (10_800, 2 * DAY_S, 2.5 * DAY_S),
        (60, 2.5 * DAY_S, 2.5 * DAY_S + 60),
    ] == found


def test_endpoints_that_share_a_row_are_read_from_finer_buckets(store: Store) -> None:
    """A day of more endpoints than a bucket has rows loses nobody's percentiles."""
    service = Service(store, at=MIDNIGHT)
    for minute in range(2):
        for number in range(MAX_PER_BUCKET):
            service.serve(("GET", f"/r{minute}/{number}"))
        service.record(after=900 if minute else 2)
    service.record(after=DAY_S)
    while add_up_a_day(store):
        pass

    found = RequestSeries(store).endpoints(MIDNIGHT, MIDNIGHT + 10_800, points=12)
    assert 2 * MAX_PER_BUCKET == len(found)
    assert all(e.total.p95 is not None for e in found)


def test_old_days_go(store: Store) -> None:
    """As the buckets of three hours do."""
    service = three_days(store)
    while add_up_a_day(store):
        pass
    prune(store, service.at + 88 * DAY_S)

    assert {MIDNIGHT + DAY_S} == {row["at"] for row in store.query(ALL_DAYS)}
    assert ITEM in service.totals
