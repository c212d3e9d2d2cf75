"""Statistics of routes: what one process remembers, and what all of them add up to."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from proletto_otel.request import route_stats
from proletto_otel.request.completion import Recorder
from proletto_otel.request.exchange import Exchange
from proletto_otel.request.route_stats import RouteActivity, RouteStats, merge
from proletto_otel.request.route_summary import RouteSummary, summarise
from tests.request.conftest import Rig

MINUTE = route_stats.MINUTE_NS


def finished(
    rig: Rig, request_id: str = "r", minute: int = 100, seconds: float = 0.1, status: int = 200
) -> Exchange:
    """A finished exchange, as `RouteActivity.add` gets it."""
    made = Exchange(rig.recorder, {}, lambda *_: print)
    made.request_id, made.status = request_id, status
    made.end_ns, made.duration_s = minute * MINUTE, seconds
    return made


def summary(rig: Rig, route: str | None) -> RouteSummary:
    """The summary of one route, all its series together."""
    family = next(f for f in rig.registry.collect() if f.name == "http.server.request.duration")
    return next(s for s in summarise(family, [rig.route_stats.section()]) if s.route == route)


def test_endpoint_statistics(rig: Rig) -> None:
    """Count, errors and their share, average, minimum and maximum per method and route."""

    @rig.app.get("/flip/<int:n>")
    def flip(n: int) -> str:
        if n % 2:
            raise ValueError("boom")
        return "x"

    for n in range(4):
        rig.call(f"/flip/{n}", x_request_id=f"r-{n}")

    found = summary(rig, "/flip/<int:n>")
    assert (found.method, found.count, found.errors, found.error_rate) == ("GET", 4, 2, 0.5)
    assert found.min_s is not None
    assert found.max_s is not None
    assert found.average_s is not None
    assert 0 < found.min_s <= found.average_s <= found.max_s
    assert sum(found.buckets) == 4


def test_last_error_says_where_to_look(rig: Rig) -> None:
    """The latest failure has its request ID, type, cleaned message and time."""

    @rig.app.get("/fail")
    def fail() -> str:
        raise ValueError("password=hunter2")

    rig.call("/fail", x_request_id="r-1")

    last = summary(rig, "/fail").last_error
    assert last is not None
    assert (last["request_id"], last["error"], last["status"]) == ("r-1", "ValueError", 500)
    assert "hunter2" not in last["message"]
    assert last["time_ns"] == rig.span["end_ns"]


def test_slowest_requests_are_remembered(rig: Rig) -> None:
    """The five slowest of the last hour, slowest first."""
    stats = RouteActivity("GET", "/")
    for n in range(20):
        stats.add(finished(rig, f"r-{n}", seconds=(n * 7) % 20), failed=False)

    slowest = stats.section()["slowest"]

    assert [19, 18, 17, 16, 15] == [s["duration_s"] for s in slowest]
    assert slowest[0]["request_id"] == next(f"r-{n}" for n in range(20) if (n * 7) % 20 == 19)


def test_slow_requests_are_forgotten_after_an_hour(rig: Rig) -> None:
    """A slow morning does not hide a slow afternoon."""
    stats = RouteActivity("GET", "/")
    for n in range(5):
        stats.add(finished(rig, "old", minute=100, seconds=10 + n), failed=False)
    stats.add(finished(rig, "new", minute=161, seconds=1), failed=False)

    assert ["new"] == [s["request_id"] for s in stats.section()["slowest"]]


def test_counts_per_minute(rig: Rig) -> None:
    """Requests, failures and seconds of each minute, an hour back."""
    stats = RouteActivity("GET", "/")
    for minute, failed in ((100, False), (100, True), (102, False)):
        stats.add(finished(rig, minute=minute, seconds=0.5, status=500), failed=failed)

    assert stats.section()["minutes"] == [[100, 2, 1, 1.0], [102, 1, 0, 0.5]]


def test_minutes_are_bounded(rig: Rig) -> None:
    """Only the last sixty are kept."""
    stats = RouteActivity("GET", "/")
    for minute in range(200):
        stats.add(finished(rig, minute=minute), failed=False)

    assert list(range(140, 200)) == [m[0] for m in stats.section()["minutes"]]


def test_sections_travel_as_json(rig: Rig) -> None:
    """A snapshot writes them, another process reads them back unchanged."""
    rig.call("/orders/1")
    rig.call("/none")

    section = rig.route_stats.section()

    assert section == json.loads(json.dumps(section))


def test_workers_add_up(app: Flask) -> None:
    """Merging the sections of workers equals one worker that served everything."""
    stats = [RouteActivity("GET", "/x") for _ in range(3)]
    rig = Rig(app)
    for n in range(60):
        exchange = finished(rig, f"r-{n}", minute=100 + n // 10, seconds=float(n), status=500)
        for chosen in (stats[n % 2], stats[2]):
            chosen.add(exchange, failed=n % 7 == 0)
    one, two, all_ = ([s.section()] for s in stats)

    assert all_ == merge([one, two])
    assert all_ == merge([merge([[], one]), two])
    rig.unwatch()


def test_routes_are_bounded(monkeypatch: pytest.MonkeyPatch, rig: Rig) -> None:
    """Beyond the limit routes share one entry, and nothing is lost from the total."""
    monkeypatch.setattr(route_stats, "MAX_ROUTES", 10)
    tracked = RouteStats()
    for n in range(50):
        tracked.stats("GET", f"/{n}").add(finished(rig), failed=False)

    section = tracked.section()
    assert len(section) == 11
    assert sum(m[1] for s in section for m in s["minutes"]) == 50


def test_series_of_the_recorder_are_bounded(monkeypatch: pytest.MonkeyPatch, rig: Rig) -> None:
    """An application with endless status codes or error types does not grow the table."""
    from proletto_otel.request import completion

    monkeypatch.setattr(completion, "MAX_CELLS", 10)
    exchange = finished(rig)
    exchange.method = "GET"
    for status in range(100, 200):
        exchange.status = status
        rig.recorder.series(exchange)

    assert isinstance(rig.recorder, Recorder)
    assert len(rig.recorder.known) == 10


def test_forked_child_begins_empty(rig: Rig) -> None:
    """Entries that callers hold go on, from nothing."""
    kept = rig.route_stats.stats("GET", "/")
    kept.add(finished(rig), failed=True)

    rig.recorder.forked()

    assert [] == rig.route_stats.section()
    kept.add(finished(rig), failed=False)
    assert [[100, 1, 0, 0.1]] == rig.route_stats.section()[0]["minutes"]
