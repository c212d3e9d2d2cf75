"""Jobs by interval: on time by an injected clock, only where they should, whatever they raise."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import pytest

from proletto_otel.core.conventions import INTERNAL_ERRORS
from proletto_otel.core.metrics.registry import registry
from proletto_otel.runtime.ticker import Ticker
from proletto_otel.state.leader import Leader
from tests.waiting import PATIENCE_S


class Clock:
    """Seconds that pass when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_job_runs_at_once_and_by_its_interval(clock: Clock) -> None:
    """A job of 10 s runs at 0, 10 and 20 s, not in between."""
    ran: list[float] = []
    ticker = Ticker(Leader(None), clock)
    ticker.every(10, "job", lambda: ran.append(clock.now))
    for clock.now in (100, 105, 109.9, 110, 115, 120):
        ticker.tick()

    assert [100, 110, 120] == ran


def test_a_late_job_does_not_catch_up(clock: Clock) -> None:
    """After an hour of standstill a job runs once, not 360 times."""
    ran: list[float] = []
    ticker = Ticker(Leader(None), clock)
    ticker.every(10, "job", lambda: ran.append(clock.now))
    ticker.tick()
    clock.now += 3600
    ticker.tick()
    ticker.tick()

    assert [100, 3700] == ran


def test_jobs_run_in_the_same_wakes(clock: Clock) -> None:
    """Jobs of 0.5, 1 and 2 s that began at different times, in steps of 10 ms: two wakes a second.

    A job of 0.7 s keeps its interval.
    """
    ran: dict[str, list[float]] = {"a": [], "b": [], "c": [], "odd": []}
    ticker = Ticker(Leader(None), clock)
    for name, seconds in (("a", 0.5), ("b", 1), ("c", 2)):
        ticker.every(seconds, name, lambda name=name: ran[name].append(round(clock.now, 2)))
        ticker.tick()
        clock.now += 0.13
    for _ in range(1000):
        ticker.tick()
        clock.now += 0.01
    wakes = {at for times in ran.values() for at in times if at > 102}
    ticker.every(0.7, "odd", lambda: ran["odd"].append(clock.now))
    for _ in range(300):
        ticker.tick()
        clock.now += 0.01

    assert len(wakes) in range(15, 18)
    assert [20, 10, 5] == [len([at for at in ran[name] if at < 110]) for name in "abc"]
    assert [0.7] * 4 == [round(b - a, 1) for a, b in pairwise(ran["odd"])]


def test_jobs_of_the_host_run_where_the_leader_is(tmp_path: Path, clock: Clock) -> None:
    """Two workers: the leader runs the job; after it resigned the other one does."""
    ran: list[str] = []
    tickers = []
    for name in ("a", "b"):
        ticker = Ticker(Leader(tmp_path / "lock"), clock)
        ticker.every(10, "job", lambda name=name: ran.append(name), leader=True)
        tickers.append(ticker)
    for ticker in tickers:
        ticker.tick()
    tickers[0].stop(clock.now)
    clock.now += 10
    tickers[1].tick()

    assert ["a", "b"] == ran


def test_a_raising_job_is_counted_and_comes_again(clock: Clock, lenient: None) -> None:
    """A failure of one job stops neither it nor the others."""
    ran: list[str] = []

    def bad() -> None:
        ran.append("bad")
        raise ValueError

    ticker = Ticker(Leader(None), clock)
    ticker.every(1, "test-bad", bad)
    ticker.every(1, "good", lambda: ran.append("good"))
    counter = registry.counter(INTERNAL_ERRORS).cell(("ticker.test-bad",))
    before = counter.value
    ticker.tick()
    clock.now += 1
    ticker.tick()

    assert ["bad", "good"] * 2 == ran
    assert 2 == counter.value - before


def test_the_thread_runs_jobs_until_stopped() -> None:
    """A started ticker runs a job again and again; after stop it runs nothing."""
    ran = threading.Semaphore(0)
    ticker = Ticker(Leader(None))
    ticker.every(0.01, "job", ran.release)
    ticker.start()
    assert ran.acquire(timeout=PATIENCE_S)
    assert ran.acquire(timeout=PATIENCE_S)
    thread = ticker._thread
    assert thread is not None

    ticker.stop(threading.TIMEOUT_MAX)

    assert not thread.is_alive()


def test_a_job_can_be_taken_back(clock: Clock) -> None:
    """A cancelled job runs no more; a job of the same name replaces the first."""
    ran: list[str] = []
    ticker = Ticker(Leader(None), clock)
    ticker.every(1, "job", lambda: ran.append("old"))
    ticker.every(1, "job", lambda: ran.append("new"))
    ticker.tick()
    ticker.cancel("job")
    clock.now += 1
    ticker.tick()

    assert ["new"] == ran
