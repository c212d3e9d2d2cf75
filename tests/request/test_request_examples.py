"""Requests to examine: the slowest and the latest failed ones of each route and hour."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from flask import Flask

from proletto_otel.request import durations, request_examples
from proletto_otel.request.request_examples import FAILED, SLOW, RequestExamples
from proletto_otel.request.request_points import HEAT_EDGES_S, heat
from proletto_otel.request.request_totals import RequestSum
from proletto_otel.request.route_stats import RouteActivity, merge
from proletto_otel.state.store import Store
from tests.request.conftest import Rig
from tests.request.test_route_stats import finished

BEGIN_MINUTE = 28_333_320
"""A full hour, as a unix minute."""
BEGIN = BEGIN_MINUTE * 60.0
HOUR = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.stop(time.monotonic() + 1)


def test_the_slowest_of_an_hour_are_found(store: Store, app: Flask) -> None:
    """A slow request is found although a slower one came in the hour before."""
    rig, route = Rig(app), RouteActivity("GET", "/x")
    examples = RequestExamples(store)
    for minute in range(120):
        for n in range(20):
            seconds = (100.0 if minute < 60 else 1.0) + n + minute / 1000
            made = finished(rig, f"r-{minute}-{n}", BEGIN_MINUTE + minute, seconds)
            route.add(made, failed=False)
        examples.record([route.section()])

    first = examples.read(SLOW, BEGIN, BEGIN + HOUR)
    second = examples.read(SLOW, BEGIN + HOUR, BEGIN + 2 * HOUR)

    assert [f"r-{m}-19" for m in (59, 58, 57, 56, 55)] == [e.request_id for e in first]
    assert [f"r-{m}-19" for m in (119, 118, 117, 116, 115)] == [e.request_id for e in second]
    assert ("GET", "/x", 200, "") == (
        first[0].method, first[0].route, first[0].status, first[0].error,
    )  # fmt: skip


def test_the_latest_failures_are_found(store: Store, app: Flask) -> None:
    """Five of each route and hour, the latest first, with what they raised."""
    rig = Rig(app)
    routes = [RouteActivity("GET", "/x"), RouteActivity("POST", "/y")]
    examples = RequestExamples(store)
    for minute in range(10):
        for number, route in enumerate(routes):
            made = finished(rig, f"r-{number}-{minute}", BEGIN_MINUTE + minute, 0.1, status=500)
            route.add(made, failed=True)
        examples.record([route.section() for route in routes])

    found = examples.read(FAILED, BEGIN, BEGIN + HOUR, route="/y")

    assert [f"r-1-{m}" for m in (9, 8, 7, 6, 5)] == [e.request_id for e in found]
    assert 10 == len(examples.read(FAILED, BEGIN, BEGIN + HOUR))
    assert [] == list(examples.read(FAILED, BEGIN, BEGIN + HOUR, method="PUT"))
    assert ("500", 0.1) == (found[0].error, found[0].seconds)


def test_another_leader_stores_nothing_twice(store: Store, app: Flask, tmp_path: Path) -> None:
    """The next leader finds the same examples at the workers and has them already."""
    rig, route = Rig(app), RouteActivity("GET", "/x")
    for n in range(8):
        route.add(finished(rig, f"r-{n}", BEGIN_MINUTE, float(n), status=500), failed=True)
    sections = merge([[route.section()]])
    for _ in range(2):
        RequestExamples(store).record(sections)

    assert 5 == len(examples := RequestExamples(store).read(FAILED, BEGIN, BEGIN + HOUR))
    assert 5 == len({e.request_id for e in examples})


def test_examples_are_bounded(store: Store, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many routes fail, the oldest hours go first."""
    monkeypatch.setattr(request_examples, "MAX_ROWS", 20)
    rig, examples = Rig(app), RequestExamples(store)
    for hour in range(10):
        route = RouteActivity("GET", f"/r{hour}")
        for n in range(5):
            made = finished(rig, f"r-{n}", BEGIN_MINUTE + 60 * hour, 0.1, status=500)
            route.add(made, failed=True)
        examples.record([route.section()])
    monkeypatch.setattr(request_examples, "PRUNE_BATCH", 30)
    examples.prune(BEGIN + 10 * HOUR)

    left = examples.read(FAILED, BEGIN, BEGIN + 11 * HOUR, limit=100)
    assert {f"/r{hour}" for hour in range(6, 10)} == {e.route for e in left}


def test_one_is_found_by_its_id(store: Store, app: Flask) -> None:
    """A slow request; of one that failed, too, the entry with its error."""
    rig, route = Rig(app), RouteActivity("GET", "/x")
    route.add(finished(rig, "quick", BEGIN_MINUTE, 0.2), failed=False)
    route.add(finished(rig, "broken", BEGIN_MINUTE, 3.0, status=500), failed=True)
    examples = RequestExamples(store)
    examples.record([route.section()])

    quick, broken = examples.find("quick"), examples.find("broken")
    assert quick is not None
    assert broken is not None
    assert ("/x", 200, 0.2, "") == (quick.route, quick.status, quick.seconds, quick.error)
    assert (500, 3.0, "500") == (broken.status, broken.seconds, broken.error)
    assert None is examples.find("nobody")


def test_those_of_a_duration_are_those_that_a_heat_map_shows_there(
    store: Store, app: Flask
) -> None:
    """Each row of the map has its requests, also those at its edges, and no other's."""
    rig, examples = Rig(app), RequestExamples(store)
    took = [edge * factor for edge in HEAT_EDGES_S for factor in (0.97, 1.0, 1.03)]
    for number, seconds in enumerate(took):
        route = RouteActivity("GET", f"/r{number}")
        route.add(finished(rig, f"r-{number}", BEGIN_MINUTE, seconds), failed=False)
        examples.record([route.section()])
    edges = (0.0, *HEAT_EDGES_S, None)

    for row, (least, most) in enumerate(pairwise(edges)):
        assert least is not None
        found = examples.read(SLOW, BEGIN, BEGIN + HOUR, limit=100, least=least, most=most)
        total = RequestSum()
        for example in found:
            total.fine[bisect_left(durations.EDGES, example.seconds)] += 1
        assert {row: len(found)} == {i: n for i, n in enumerate(heat(total)) if n}
    everything = examples.read(SLOW, BEGIN, BEGIN + HOUR, limit=100)
    assert len(took) == len(everything)
