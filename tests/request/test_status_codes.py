"""Exact status codes of each route, stored beside the classes that an earlier release stores."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proletto_otel.core.conventions import HTTP_SERVER_REQUEST_DURATION
from proletto_otel.core.metrics.registry import Family, Histogram, Point
from proletto_otel.request import status_codes
from proletto_otel.request.readings import StatusCount
from proletto_otel.request.request_history import DAY_S, DDL, MAX_PER_BUCKET, TIERS
from proletto_otel.request.request_series import RequestSeries
from proletto_otel.request.request_totals import totals
from proletto_otel.request.status_codes import MAX_CODES, MAX_SHOWN
from proletto_otel.state.store import Store
from tests.request.test_request_history import BEGIN, ITEM, Service
from tests.waiting import PATIENCE_S

HOUR_S = 3600


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.stop(time.monotonic() + 1)


def shown(store: Store, end: float = BEGIN + HOUR_S, **asked: str) -> list[tuple[str, int]]:
    """Statuses and counts; a `?` where the code is not stored."""
    found = RequestSeries(store).statuses(BEGIN, end, **asked)
    return [(s.status + ("" if s.is_code_stored else "?"), s.count) for s in found]


def test_each_code_has_its_count_and_share(store: Store) -> None:
    """Codes of one class are told from each other, of a route and of all."""
    service = Service(store)
    for code, n in ((200, 90), (201, 3), (404, 4), (409, 2), (500, 1)):
        service.serve(n=n, code=code)
    service.serve(("POST", "/other"), n=100, code=202)
    service.record()

    found = RequestSeries(store).statuses(BEGIN, BEGIN + HOUR_S, "/item")
    assert StatusCount(status="404", count=4, share=0.04) == found[2]
    assert 1.0 == pytest.approx(sum(s.share for s in found))
    item = [("200", 90), ("201", 3), ("404", 4), ("409", 2), ("500", 1)]
    assert item == shown(store, route="/item") == shown(store, method="GET")
    assert [("202", 100)] == shown(store, route="/other", method="POST")
    assert [*item[:2], ("202", 100), *item[2:]] == shown(store)
    assert [] == shown(store, route="/nowhere")


@pytest.mark.parametrize("tier", [tier for tier, _ in TIERS])
def test_every_tier_has_every_code(store: Store, tier: int) -> None:
    """A long time says the same as a short one."""
    service = Service(store)
    for _ in range(100):
        service.serve(n=2, code=200)
        service.serve(n=1, code=404)
        service.record(after=30)
    for other, _ in TIERS:
        if other != tier:
            store.write("DELETE FROM request_codes WHERE tier = ?", [(other,)])
    rows = store.query("SELECT codes FROM request_codes WHERE tier = ? AND route > 0", (tier,))

    assert {200: 200, 404: 100} == status_codes.added(status_codes.unpacked(r[0]) for r in rows)


def test_codes_of_a_row_are_bounded(store: Store) -> None:
    """Beyond so many codes the others of a class are counted together, and no request is lost."""
    service = Service(store)
    for code in range(400, 400 + MAX_CODES + 5):
        service.serve(n=2, code=code)
    service.record()
    service.serve(n=7, code=500)
    service.serve(n=1, code=400)
    service.record()

    found = shown(store)
    assert [("4xx", 10), ("5xx", 7)] == found[-2:]
    assert ("400", 3) == found[0]
    assert MAX_CODES + 2 == len(found)
    row = store.query("SELECT max(length(codes)) FROM request_codes")[0][0]
    assert row <= 8 * (MAX_CODES + 5)


def test_codes_of_an_answer_are_bounded(store: Store) -> None:
    """An endpoint that answered every code in some minute: the most frequent ones are named."""
    service = Service(store)
    for minute in range(20):
        for code in range(400 + 5 * minute, 405 + 5 * minute):
            service.serve(n=1 + code % 7, code=code)
        service.record(after=60)

    found = shown(store)
    assert MAX_SHOWN + 1 == len(found)
    assert sum(1 + code % 7 for code in range(400, 500)) == sum(n for _, n in found)


def test_no_status_and_one_that_is_none(store: Store) -> None:
    """What the server never answered is named so, and no code."""
    key = (("http.request.method", "GET"), ("http.route", "/item"))
    sent = {None: 3, 200: 5, 777: 2}
    family = Family(HTTP_SERVER_REQUEST_DURATION.name, "histogram", "s", "", [
        Point((*key, ("http.response.status_code", code)) if code else key,
              Histogram((1,), [0, n], 9.0, n), int(BEGIN * 1e9))
        for code, n in sent.items()
    ])  # fmt: skip
    service = Service(store)
    service.totals = totals([family], [])
    service.record()

    assert [("other", 5), ("200", 5)] == shown(store)


def test_the_next_leader_goes_on(store: Store, tmp_path: Path) -> None:
    """Each request is counted once, whoever leads."""
    service = Service(store)
    service.serve(n=9, code=200)
    service.record()
    other = Store(tmp_path)
    second = Service(other, at=service.at)
    second.totals = service.totals
    second.serve(n=5, code=404)
    second.record()
    service.at, service.totals = second.at, second.totals
    service.serve(n=2, code=404)
    service.record()
    other.stop(time.monotonic() + 1)

    assert [("200", 9), ("404", 7)] == shown(store)


class LeaderBefore:
    """The SQL of the release before, which knows classes alone."""

    points = (
        "INSERT OR REPLACE INTO request_points (tier, at, route, other, c1, c2, c3, c4, c5, errors,"
        " timed, seconds, durations) VALUES (?, ?, ?, 0, 0, ?, 0, ?, 0, 0, ?, 0.0, x'')"
    )
    total = (
        "INSERT INTO request_routes (method, route, start_ns, other, c1, c2, c3, c4, c5, errors,"
        " timed, seconds, durations) VALUES ('GET', '/item', 0, 0, 0, ?, 0, ?, 0, 0, ?, 0.0, x'')"
        " ON CONFLICT (method, route) DO UPDATE SET c2 = excluded.c2, c4 = excluded.c4,"
        " timed = excluded.timed"
    )

    def __init__(self, folder: Path) -> None:
        self.db = sqlite3.connect(folder / "store.sqlite", timeout=PATIENCE_S)
        for statement in DDL:
            if "request_code" not in statement:
                self.db.execute(statement)

    def record(self, at: float, c2: int, c4: int, more: tuple[int, int]) -> None:
        """Store that the totals are now these, by *more* than before."""
        with self.db:
            self.db.execute(self.total, (c2, c4, c2 + c4))
            (number,) = self.db.execute("SELECT id FROM request_routes").fetchone()
            for tier, _ in TIERS:
                for row in (0, number):
                    place = (tier, int(at // tier * tier), row)
                    known = self.db.execute(
                        "SELECT c2, c4 FROM request_points WHERE tier = ? AND at = ? AND route = ?",
                        place,
                    ).fetchone() or (0, 0)
                    now = [a + b for a, b in zip(known, more, strict=True)]
                    self.db.execute(self.points, (*place, *now, sum(now)))
            (n,) = self.db.execute(
                "SELECT coalesce(max(generation), -1) + 1 FROM request_clock"
            ).fetchone()
            self.db.execute("INSERT OR REPLACE INTO request_clock VALUES (1, ?, ?)", (n, at))


@pytest.fixture
def before(tmp_path: Path) -> Iterator[LeaderBefore]:
    """A leader of the release before, which made the store."""
    leader = LeaderBefore(tmp_path)
    yield leader
    leader.db.close()


def test_rows_of_an_earlier_release_have_no_codes(before: LeaderBefore, store: Store) -> None:
    """The class is all that is known of them; what comes after the update is exact."""
    service = Service(store)
    service.serve(n=10, code=200)
    service.serve(n=4, code=404)
    before.record(BEGIN, 10, 4, (10, 4))
    service.record()
    assert [("2xx?", 10), ("4xx?", 4)] == shown(store)
    service.serve(n=5, code=200)
    service.serve(n=3, code=404)
    service.serve(n=2, code=409)
    service.record()

    assert [("200", 5), ("2xx?", 10), ("404", 3), ("409", 2), ("4xx?", 4)] == shown(store)


def test_what_cannot_be_told_apart_is_not_invented(before: LeaderBefore, store: Store) -> None:
    """The first step after the update: of one code it is known, of two it is not."""
    service = Service(store)
    for n, code in ((10, 200), (4, 404), (3, 409)):
        service.serve(n=n, code=code)
    before.record(BEGIN, 8, 5, (8, 5))
    service.record()
    found = shown(store)
    assert [("200", 2), ("2xx?", 8), ("4xx?", 7)] == found
    service.serve(n=1, code=409)
    service.record()

    assert [("200", 2), ("2xx?", 8), ("409", 1), ("4xx?", 7)] == shown(store)


def test_a_leader_of_an_earlier_release_in_between(before: LeaderBefore, store: Store) -> None:
    """Both releases lead in turn: every request is counted once, and every code that can be."""
    service = Service(store)
    service.serve(n=10, code=200)
    service.record()
    service.serve(n=6, code=200)
    service.serve(n=3, code=404)
    before.record(service.at + 2, 16, 3, (6, 3))
    service.record()
    assert [("200", 10), ("2xx?", 6), ("4xx?", 3)] == shown(store)
    service.serve(n=1, code=200)
    service.serve(n=1, code=404)
    service.record()

    assert [("200", 11), ("2xx?", 6), ("404", 1), ("4xx?", 3)] == shown(store)
    total = RequestSeries(store).total(BEGIN, BEGIN + HOUR_S)
    assert {"2xx": 17, "4xx": 4} == total.by_status


def test_tables_of_an_earlier_release_stay_as_they_were(store: Store) -> None:
    """Its leader finds the columns that it writes, and no new ones."""
    Service(store).record()
    columns = {
        table: len(store.query(f"PRAGMA table_info({table})"))
        for table in ("request_points", "request_routes")
    }

    assert {"request_points": 13, "request_routes": 14} == columns
    assert all("IF NOT EXISTS" in statement for statement in status_codes.DDL)


def test_codes_of_a_time_without_a_leader(store: Store) -> None:
    """They are put into their minutes; there and in all they add up to what was answered."""
    service = Service(store)
    service.serve()
    service.record()
    for code, n in ((200, 7), (201, 1), (204, 1), (404, 3)):
        service.serve(n=n, code=code)
    minute = int(BEGIN // 60)
    minutes = [[minute + i, 4, 0, 0.1] for i in range(3)]
    section = {"method": "GET", "route": "/item", "minutes": minutes}
    service.at += 600
    service.history.record(service.totals, [section])  # type: ignore[list-item]

    assert [("200", 8), ("201", 1), ("204", 1), ("404", 3)] == shown(store)
    for at in (BEGIN, BEGIN + 60, BEGIN + 120):
        found = RequestSeries(store).statuses(at - 29, at + 31)
        assert all(s.is_code_stored for s in found)


def test_a_flood_of_routes_shares_one_row(store: Store) -> None:
    """No row more than the requests themselves have."""
    service = Service(store)
    for i in range(MAX_PER_BUCKET + 100):
        service.serve(("GET", f"/r{i}"))
    service.record()
    count = "SELECT count(*) FROM {} WHERE tier = 60"

    assert [MAX_PER_BUCKET + 2] * 2 == [
        store.query(count.format(table))[0][0] for table in ("request_points", "request_codes")
    ]
    assert [("200", MAX_PER_BUCKET + 100)] == shown(store)


def test_old_buckets_go_with_the_others(store: Store) -> None:
    """Each tier after its time."""
    service = Service(store)
    service.serve()
    service.record()
    tier, stored_s = TIERS[0]
    service.history.prune(BEGIN + stored_s + 60)
    rows = store.query("SELECT DISTINCT tier FROM request_codes ORDER BY tier")

    assert [t for t, _ in TIERS if t != tier] == [row["tier"] for row in rows]


def test_totals_that_fall_for_a_moment(store: Store) -> None:
    """A worker's file could not be read once: its codes are not counted again."""
    service = Service(store)
    service.serve(n=10, code=404)
    service.record()
    whole = service.totals
    part = replace(whole[ITEM], classes=[0, 0, 0, 0, 4, 0], codes={404: 4}, timed=4)
    service.totals = {ITEM: part}
    service.record()
    service.totals = whole
    service.record(after=DAY_S / 48)

    assert [("404", 10)] == shown(store)


@pytest.mark.parametrize("codes", [{}, {200: 1}, {599: 2**40, 4: 7, 404: 65_536}])
def test_codes_survive_the_store(codes: dict[int, int]) -> None:
    """What is packed comes back; damaged bytes say nothing."""
    assert codes == status_codes.unpacked(data := status_codes.packed(codes))
    assert {} == status_codes.unpacked(data + b"x")
