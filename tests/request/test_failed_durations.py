"""Response times without those of failed requests, which may be very short or very long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.monitoring import monitor
from proletto_otel.request import route_stats
from proletto_otel.request.request_days import add_up_a_day
from proletto_otel.request.request_history import DAY_S, DDL, TIERS
from proletto_otel.request.request_series import RequestSeries
from proletto_otel.state.store import Store
from tests.request.test_request_history import BEGIN, ITEM, Service
from tests.waiting import until

HOUR_S = 3600
ADMIN = "/admin/monitoring"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.stop(time.monotonic() + 1)


def near(value: float) -> object:
    """Within the width of a bucket."""
    return pytest.approx(value, rel=0.04)


def served(store: Store) -> Service:
    """Ninety requests of 0.1 s and ten that failed after 2 s, in two minutes."""
    service = Service(store)
    service.serve(n=45, seconds=0.1)
    service.serve(n=10, status=5, seconds=2.0)
    service.record()
    service.serve(n=45, seconds=0.1)
    service.record(after=60)
    return service


@pytest.mark.parametrize(("route", "method"), [(None, None), ("/item", None), ("/item", "GET")])
def test_durations_are_of_what_did_not_fail(
    store: Store, route: str | None, method: str | None
) -> None:
    """Percentiles, average, least and greatest; counts and failures stay those of all."""
    served(store)
    series, asked = RequestSeries(store), (BEGIN, BEGIN + HOUR_S, route, method)
    every, good = series.total(*asked), series.total(*asked, without_failed=True)

    assert (100, 10, 100) == (every.count, every.errors, every.timed)
    assert (100, 10, 90) == (good.count, good.errors, good.timed)
    assert (near(2.0), near(0.1)) == (every.p95, good.p95)
    assert (near(0.1), near(0.1), near(0.1)) == (good.mean, good.min, good.max)
    first, second = series.points(*asked, points=60, without_failed=True)
    assert (near(0.1), near(0.1)) == (first.p99, second.p99)
    cells = series.heatmap(*asked, without_failed=True).counts
    assert 90 == sum(map(sum, cells))
    assert good.by_status == every.by_status


def test_endpoints_of_any_time(store: Store) -> None:
    """An hour from its minutes; a month from days that are added up."""
    service = served(store)
    series = RequestSeries(store)
    (hour,) = series.endpoints(BEGIN, BEGIN + HOUR_S, without_failed=True)
    service.record(after=2 * DAY_S)
    while add_up_a_day(store):
        pass
    (month,) = series.endpoints(BEGIN - 20 * DAY_S, service.at, without_failed=True)

    for found in (hour, month):
        assert (100, 10, 90) == (found.total.count, found.total.errors, found.total.timed)
        assert near(0.1) == found.total.p99


def test_only_failures(store: Store) -> None:
    """Nothing is left: no number, and no negative one."""
    service = Service(store)
    service.serve(n=3, status=5, seconds=0.5)
    service.record()
    good = RequestSeries(store).total(BEGIN, BEGIN + HOUR_S, without_failed=True)

    assert (3, 0, None, None) == (good.count, good.timed, good.mean, good.p95)


def test_the_next_leader_goes_on(store: Store, tmp_path: Path) -> None:
    """Failures are counted once, whoever leads."""
    service = served(store)
    other = Store(tmp_path)
    second = Service(other, at=service.at)
    second.totals = service.totals
    second.serve(n=5, status=5, seconds=2.0)
    second.record()
    good = RequestSeries(store).total(BEGIN, BEGIN + HOUR_S, without_failed=True)
    other.stop(time.monotonic() + 1)

    assert (105, 90) == (good.count, good.timed)


def test_a_leader_of_an_earlier_release_in_between(store: Store) -> None:
    """It stores all but these; what comes after it is right again, and nothing falls below zero."""
    service = served(store)
    before = service.totals
    service.serve(n=7, status=5, seconds=2.0)
    known = service.totals
    service.totals = {ITEM: replace(known[ITEM], failed=before[ITEM].failed)}
    service.record(after=60)  # the earlier release
    service.totals = known
    service.serve(n=4, status=5, seconds=2.0)
    service.record(after=60)
    points = RequestSeries(store).points(BEGIN, BEGIN + HOUR_S, points=60, without_failed=True)

    assert [(55, 45), (45, 45), (7, 7), (4, 0)] == [(p.count, p.timed) for p in points]


def test_tables_of_an_earlier_release_stay_as_they_were(store: Store) -> None:
    """Its leader writes thirteen values into a row of `request_points`."""
    served(store)
    columns = {
        table: len(store.query(f"PRAGMA table_info({table})"))
        for table in ("request_points", "request_routes")
    }

    assert {"request_points": 13, "request_routes": 14} == columns
    assert all("IF NOT EXISTS" in statement for statement in DDL)


def test_old_buckets_go_with_the_others(store: Store) -> None:
    """Each tier after its time."""
    service = served(store)
    tier, stored_s = TIERS[0]
    service.history.prune(BEGIN + stored_s + 60)
    rows = store.query("SELECT tier, count(*) AS n FROM request_failures GROUP BY tier")

    assert tier not in {row["tier"] for row in rows}
    assert len(TIERS) - 1 == len(rows)


def test_workers_of_two_releases_are_added_up() -> None:
    """A section without these durations is one without failures."""
    new = route_stats.RouteActivity("GET", "/item").section()
    new["failed"] = {"3": 2}
    old = {name: value for name, value in new.items() if name != "failed"}

    assert [{"3": 2}] == [
        s["failed"]
        for s in route_stats.merge([[new], [old]])  # type: ignore[list-item]
    ]


@pytest.mark.usefixtures("telemetry_capture")
def test_pages_have_a_switch() -> None:
    """Through the front door: a slow failure counts, and is left out where it is asked."""
    app = Flask("shop")
    telemetry = setup_telemetry(app, environment="development", log_console=False)

    @app.get("/pay/<int:months>")
    def pay(months: int) -> str:
        if not months:
            time.sleep(0.3)
        return str(4900 // months)

    client = app.test_client()
    for months in (1, 0):
        client.get(f"/pay/{months}")
    twin = f"{ADMIN}/api/pages/endpoint?method=GET&route=/pay/<int:months>"

    def both_are_stored() -> bool:
        telemetry.components.recording.past.record()
        return bool(client.get(twin).json.get("total", {}).get("count") == 2)

    until(both_are_stored)
    slow, quick = (client.get(f"{twin}{more}").json for more in ("", "&without=failed"))
    page = client.get(f"{ADMIN}/requests?without=failed").text

    assert (2, 1) == (slow["total"]["timed"], quick["total"]["timed"])
    assert slow["total"]["max"] > 0.25 > quick["total"]["max"]
    assert "Response time, without failed requests" in page
    assert "/requests/endpoint?without=failed&amp;" in page  # the link keeps it
    assert 1 == monitor.request_endpoints(time.time() - 60, without_failed=True)[0].total.timed
