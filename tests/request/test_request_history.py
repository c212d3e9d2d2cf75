"""The past of the requests: exact counts in buckets, whoever leads, whatever ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proletto_otel.core import internal_errors
from proletto_otel.core.conventions import (
    HTTP_SERVER_REQUEST_DURATION,
    HTTP_SERVER_STREAM_DURATION,
)
from proletto_otel.core.metrics.registry import Family, Histogram, Point
from proletto_otel.request import durations
from proletto_otel.request.last_hour import LastHour
from proletto_otel.request.request_history import MAX_PER_BUCKET, TIERS, RequestHistory
from proletto_otel.request.request_series import RequestSeries
from proletto_otel.request.request_totals import RequestTotals, Route, totals
from proletto_otel.state.store import Store

BEGIN = 1_700_000_100.0 - 1_700_000_100.0 % 10_800
ITEM: Route = ("GET", "/item")
DAY = 86_400


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.stop(time.monotonic() + 1)


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in production: a failure of ours is counted, not raised."""
    monkeypatch.setattr(internal_errors, "strict", False)


class Service:
    """Workers whose totals grow, and a leader that stores them."""

    def __init__(self, store: Store, at: float = BEGIN, excluded: tuple[str, ...] = ()) -> None:
        self.at = at
        self.began_ns = int(at * 1e9)
        self.totals: dict[Route, RequestTotals] = {}
        self.history = RequestHistory(store, excluded, now=lambda: self.at)

    def serve(
        self, route: Route = ITEM, n: int = 1, status: int = 2, seconds: float = 0.1, code: int = 0
    ) -> None:
        """Answer *n* requests with a status of a class, or with an exact one."""
        status = code // 100 or status
        known = _copy(self.totals.get(route) or RequestTotals(start_ns=self.began_ns))
        more = RequestTotals(start_ns=self.began_ns, timed=n, seconds=n * seconds)
        more.classes[status] = n
        more.codes = {code or 100 * status: n}
        more.errors = n if status == 5 else 0
        fine = durations.empty()
        fine[next(i for i, edge in enumerate(durations.EDGES) if edge >= seconds)] = n
        more.durations = durations.sparse(fine)
        more.failed = more.durations if status == 5 else {}
        known.add(more)
        self.totals = {**self.totals, route: known}

    def record(self, after: float = 2.0) -> None:
        """Let the leader's job run, so many seconds later."""
        self.at += after
        self.history.record(self.totals)


def _copy(of: RequestTotals) -> RequestTotals:
    made = RequestTotals(start_ns=of.start_ns)
    made.add(of)
    return made


def test_requests_are_counted_by_bucket(store: Store) -> None:
    """Counts, failures, statuses and durations of each minute."""
    service = Service(store)
    service.serve(n=9, seconds=0.1)
    service.serve(n=1, status=5, seconds=2.0)
    service.record()
    service.serve(n=4, status=4, seconds=0.01)
    service.record(after=60)

    first, second = RequestSeries(store).points(BEGIN, BEGIN + 3600, points=60)

    assert (first.time, first.count, first.errors) == (BEGIN, 10, 1)
    assert (second.time, second.count, second.errors) == (BEGIN + 60, 4, 0)
    assert first.by_status == {"2xx": 9, "5xx": 1}
    assert second.by_status == {"4xx": 4}
    assert first.mean == pytest.approx(0.29)
    assert first.p50 == pytest.approx(0.1, rel=0.04)
    assert first.p99 == pytest.approx(2.0, rel=0.04)
    assert first.max == pytest.approx(2.0, rel=0.04)
    assert first.min == pytest.approx(0.1, rel=0.04)


def test_every_tier_has_every_request(store: Store) -> None:
    """An hour, a day or a quarter of a year add up to the same."""
    service = Service(store)
    for _ in range(100):
        service.serve(n=7)
        service.record(after=30)

    for tier, _ in TIERS:
        rows = store.query(
            "SELECT sum(c2) FROM request_points WHERE tier = ? AND route > 0", (tier,)
        )
        assert 700 == rows[0][0]


def test_the_next_leader_counts_nothing_twice(store: Store, tmp_path: Path) -> None:
    """The totals of the last record are in the store: another process goes on from there."""
    service = Service(store)
    service.serve(n=10)
    service.record()
    other = Store(tmp_path)
    second = Service(other, at=service.at)
    second.totals = service.totals
    second.serve(n=5)
    second.record()
    service.at, service.totals = second.at, second.totals
    service.serve(n=2)
    service.record()  # the first one leads again; what it remembers is old

    assert 17 == sum(p.count for p in RequestSeries(store).points(BEGIN, BEGIN + 3600))
    other.stop(time.monotonic() + 1)


def test_totals_read_before_another_leaders_count_nothing(store: Store, tmp_path: Path) -> None:
    """A leader that hung comes late with old numbers: nothing is taken back or added."""
    service = Service(store)
    service.serve(n=10)
    service.record()
    old = service.totals
    service.serve(n=5)
    service.record()
    other = Store(tmp_path)
    hung = Service(other, at=service.at)
    hung.totals = old
    hung.record()
    service.record()

    assert 15 == sum(p.count for p in RequestSeries(store).points(BEGIN, BEGIN + 3600))
    other.stop(time.monotonic() + 1)


def test_a_file_that_cannot_be_read_once_changes_nothing(store: Store) -> None:
    """Totals that fall for a moment, because a worker's file was not readable, are no new ones."""
    service = Service(store)
    service.serve(n=100)
    service.record()
    whole = service.totals
    service.totals = {ITEM: RequestTotals(classes=[0, 0, 40, 0, 0, 0], timed=40, start_ns=1)}
    service.record()
    service.totals = whole
    service.record()

    assert 100 == sum(p.count for p in RequestSeries(store).points(BEGIN, BEGIN + 3600))


def test_totals_that_begin_again_are_followed(store: Store) -> None:
    """Somebody removed the workers' files: from half a minute later it counts on."""
    service = Service(store)
    service.serve(n=100)
    service.record()
    service.totals = {}
    service.serve(n=3)
    service.record()
    service.record(after=31)
    service.serve(n=4)
    service.record()

    assert 104 == sum(p.count for p in RequestSeries(store).points(BEGIN, BEGIN + 3600))


def test_durations_that_a_killed_worker_took_along_count_no_request_twice(store: Store) -> None:
    """Its last half second is gone for ever: a rare bucket stays lower than what is stored."""
    service = Service(store)
    service.serve(n=1, seconds=5.0)
    service.serve(n=9)
    service.record()
    killed = _copy(service.totals[ITEM])
    killed.durations = {i: n for i, n in killed.durations.items() if n == 9}
    service.totals = {ITEM: killed}
    for _ in range(40):
        service.serve(n=2)
        service.record()

    (total,) = store.query(
        "SELECT c2, durations FROM request_points WHERE tier = 10800 AND route=1"
    )
    timed = sum(durations.unpacked(total["durations"]).values())

    assert 90 == total["c2"]
    assert 90 - 3 * 2 <= timed <= 90  # all but those of the moments around its end


def test_totals_that_are_low_now_and_then_count_nothing_twice(store: Store) -> None:
    """Two readings without a worker's file, a minute apart, are no new beginning."""
    service = Service(store)
    service.serve(n=10)
    service.record()
    whole, low = service.totals, RequestTotals(start_ns=service.began_ns)
    for n in (0, 3):
        service.totals = {ITEM: low}
        service.record()
        service.totals = whole
        service.record(after=60)
        low = _copy(low)
        low.classes[2] += n + 4

    assert [10] == [
        row["c2"]
        for row in store.query("SELECT c2 FROM request_points WHERE tier = 10800 AND route = 1")
    ]


def test_what_an_earlier_release_counted_is_no_peak(store: Store) -> None:
    """The first record finds the totals of weeks: they are no requests of now."""
    service = Service(store, at=BEGIN - 30 * DAY)
    service.serve(n=1_000_000)
    service.at = BEGIN
    service.record()
    service.serve(n=3)
    service.record()

    assert 3 == sum(p.count for p in RequestSeries(store).points(BEGIN, BEGIN + 3600))


def test_what_nobody_recorded_is_put_where_it_was(store: Store) -> None:
    """Ten minutes without a leader: the requests are in their minutes, not in a peak at the end."""
    service = Service(store)
    service.serve(n=10)
    service.record()
    service.serve(n=30)
    minute = int(BEGIN // 60)
    section = {
        "method": "GET", "route": "/item",
        "minutes": [[minute, 12, 0, 1.2], [minute + 3, 28, 0, 2.8]],
    }  # fmt: skip
    service.at += 600
    service.history.record(service.totals, [section])  # type: ignore[list-item]

    found = RequestSeries(store).points(BEGIN, BEGIN + 3600, "/item", points=60)
    assert [(BEGIN, 12), (BEGIN + 180, 28)] == [(p.time, p.count) for p in found if p.count]
    assert 40 == sum(sum(c) for c in RequestSeries(store).heatmap(BEGIN, BEGIN + 3600).counts)


def test_endpoints_have_a_curve(store: Store) -> None:
    """Beside its sum an endpoint has its requests and failures of each minute."""
    service = Service(store)
    service.serve(n=3)
    service.serve(n=1, status=5)
    service.record()
    service.serve(n=4)
    service.record(after=60)

    (found,) = RequestSeries(store).endpoints(BEGIN, BEGIN + 1800, points=30)
    assert 8 == found.total.count
    assert ((BEGIN, 4, 1), (BEGIN + 60, 4, 0)) == found.points


def test_rates_are_of_the_time_that_somebody_watched(store: Store) -> None:
    """Ten requests in two minutes of a day are five a minute, in the sum and in the table."""
    service = Service(store, at=BEGIN + 600)  # within a bucket of a quarter of an hour
    service.serve(n=6)
    service.record()
    service.serve(n=4)
    service.record(after=60)
    series, day = RequestSeries(store), (BEGIN - DAY, BEGIN + 720)
    nobody = series.total(BEGIN - DAY, BEGIN - 3600)

    assert (10, 120) == ((total := series.total(*day)).count, total.seconds)
    for points in (1440, 30):  # buckets of minutes, and the one that it began in
        (found,) = series.endpoints(*day, points)
        assert (10, 120) == (found.total.count, found.total.seconds)
    assert (0, 0) == (nobody.count, nobody.seconds)


def test_a_long_time_is_read_from_the_coarsest_buckets(store: Store) -> None:
    """A quarter of a year does not read the minutes: of those there are a hundred times as many."""
    service = Service(store)
    for _ in range(20):
        service.serve(n=1)
        service.record(after=60)
    oldest = "SELECT min(at) FROM request_points WHERE tier = 60"
    assert store.write(f"DELETE FROM request_points WHERE tier = 60 AND at > ({oldest})")

    assert 20 == sum(p.count for p in RequestSeries(store).points(BEGIN, BEGIN + 90 * 86_400))


def test_probes_and_admin_pages_are_not_the_applications(store: Store) -> None:
    """They can be asked for by their route, but are no part of all."""
    service = Service(store, excluded=("/metrics",))
    service.serve(("GET", "/metrics"), n=50)
    service.serve(n=5)
    service.record()
    series = RequestSeries(store)

    assert [5] == [p.count for p in series.points(BEGIN, BEGIN + 3600)]
    assert [50] == [p.count for p in series.points(BEGIN, BEGIN + 3600, "/metrics")]
    assert [("/metrics", 50), ("/item", 5)] == [
        (e.route, e.total.count) for e in series.endpoints(BEGIN, BEGIN + 3600)
    ]


def test_a_quiet_time_is_zero_and_an_unwatched_one_is_a_gap(store: Store) -> None:
    """No request while somebody watched is a point of zero; a stopped service has no points."""
    service = Service(store)
    service.serve(n=1)
    service.record()
    for _ in range(3):
        service.record(after=60)
    service.record(after=600)

    found = RequestSeries(store).points(BEGIN, BEGIN + 3600, points=60)

    assert [1, 0, 0, 0, 0] == [p.count for p in found]
    assert [0, 1, 2, 3, 13] == [(p.time - BEGIN) // 60 for p in found]


def test_a_flood_of_routes_shares_one_row(store: Store) -> None:
    """A bucket has so many rows at most; no request is lost by it."""
    service = Service(store)
    for i in range(MAX_PER_BUCKET + 100):
        service.serve(("GET", f"/r{i}"))
    service.record()

    rows = store.query("SELECT count(*) FROM request_points WHERE tier = 60")[0][0]
    everything = RequestSeries(store).total(BEGIN, BEGIN + 3600)
    assert MAX_PER_BUCKET + 2 == rows  # all of them, and the rest, too
    assert MAX_PER_BUCKET + 100 == everything.count


def test_old_buckets_go_a_thousand_at_once(store: Store) -> None:
    """What is older than its tier is deleted, in steps that hold nobody up."""
    service = Service(store)
    for _ in range(3 * 60):
        service.serve()
        service.record(after=60)
    for _ in range(3):
        service.history.prune(BEGIN + 10 * 3600)

    left = {t: store.query("SELECT count(*) FROM request_points WHERE tier = ?", (t,))[0][0]
            for t, _ in TIERS}  # fmt: skip
    assert 0 == left[60]
    assert left[900] > 0 < left[10_800]


def test_a_heat_map_has_a_row_for_each_doubling(store: Store) -> None:
    """Fifteen rows: below 2 ms, a row for each doubling, above 16 s."""
    service = Service(store)
    for seconds in (0.001, 0.003, 0.1, 20.0):
        service.serve(n=2, seconds=seconds)
    service.record()

    found = RequestSeries(store).heatmap(BEGIN, BEGIN + 3600)

    assert [(0.002, 16.384)] == [(found.edges[0], found.edges[-1])]
    (column,) = found.counts
    assert 15 == len(column)
    assert {0: 2, 1: 2, 6: 2, 14: 2} == {row: n for row, n in enumerate(column) if n}


def test_streams_are_counted_but_are_no_latency() -> None:
    """A WebSocket of an hour is a request, and no slow one."""
    names = {"http.request.method": "GET", "http.route": "/live", "http.response.status_code": 101}
    key = tuple(names.items())
    families = [
        Family(m.name, "histogram", "s", "", [Point(key, Histogram((1,), [0, n], 9.0, n), 1)])
        for m, n in ((HTTP_SERVER_REQUEST_DURATION, 2), (HTTP_SERVER_STREAM_DURATION, 3))
    ]  # fmt: skip

    found = totals(families, [])["GET", "/live"]

    assert (5, 2, 9.0) == (found.count, found.timed, found.seconds)


@pytest.mark.parametrize(
    "counts", [{}, {"0": 1}, {"5": 3, "140": 100_000}, {"7": 2**40}, {"193": 1, "194": 2}]
)
def test_durations_survive_the_store(counts: dict[str, int]) -> None:
    """What is packed comes back."""
    assert counts == durations.unpacked(durations.packed(counts))


@pytest.mark.parametrize(
    "counts", [{}, {"0": 1}, {"5": 3, "140": 100_000}, {"193": 1, "194": 2}, {"80": 19, "120": 1}]
)
def test_dense_and_sparse_counts_have_the_same_quantiles(counts: dict[str, int]) -> None:
    """Whichever way a percentile is computed, it is the same number."""
    dense = durations.empty()
    for bucket, n in counts.items():
        dense[int(bucket)] = n
    q = (0.01, 0.5, 0.95, 0.99, 1.0)

    least, most, *found = durations.spread_s(dense, q)

    assert [durations.quantile_s(counts, each) for each in q] == found
    ends = (min(map(int, counts)), max(map(int, counts))) if counts else None
    assert (least, most) == ((None, None) if ends is None else tuple(map(durations.middle_s, ends)))


@pytest.mark.parametrize("seconds_in", [0.0, 29.0, 31.0, 59.0])
def test_the_last_hour_is_what_the_series_says(store: Store, seconds_in: float) -> None:
    """Read once, it has the same minutes and the same sums as when each is asked for."""
    service = Service(store, at=BEGIN + 600)
    for number in range(90):
        service.serve(n=1 + number % 5, seconds=0.01 * (1 + number % 7))
        service.serve(status=5, seconds=1.0)
        service.record(after=60)
    series, now = RequestSeries(store), service.at // 60 * 60 + seconds_in

    hour = LastHour(series, now)

    assert hour.points() == series.points(now - 3600, now, points=60)
    assert hour.total() == series.total(now - 3600, now)
    assert hour.total(300) == series.total(now - 300, now)
    assert hour.total(300).count


def test_damaged_bytes_are_no_error() -> None:
    """They say nothing about durations; the counts beside them stay."""
    whole = durations.packed({"5": 300})
    for damaged in (whole[:-1], whole + b"x", b"\x03" + whole[1:], b"\x01\xff\x01"):
        assert {} == durations.unpacked(damaged)


def test_a_locked_store_costs_nothing_but_time(tmp_path: Path, lenient: None) -> None:
    """Somebody else writes for long: the requests are stored once it is free again."""
    store, other = Store(tmp_path), Store(tmp_path)
    service = Service(store)
    service.serve(n=3)
    with other.transaction():
        service.record()
    service.record()

    assert 3 == sum(p.count for p in RequestSeries(store).points(BEGIN, BEGIN + 3600))
    for each in (store, other):
        each.stop(time.monotonic() + 1)
