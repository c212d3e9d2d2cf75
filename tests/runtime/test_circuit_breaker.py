"""A dead peer is asked at most once a second, then less and less, then half a minute apart."""

from __future__ import annotations

import pytest

from proletto_otel.runtime.circuit_breaker import LONGEST_RETRY_AFTER_S, Breaker


class Clock:
    """Monotonic seconds under our hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, spread=lambda: 0.0)


def test_one_failure_opens_it_for_a_second(breaker: Breaker, clock: Clock) -> None:
    """Closed, then open, then half-open after the pause."""
    states = [breaker.state]
    breaker.failed()
    states.append(breaker.state)
    clock.now += 1.0
    states.append(breaker.state)

    assert ["closed", "open", "half-open"] == states


def test_pauses_grow_to_half_a_minute(breaker: Breaker, clock: Clock) -> None:
    """Each failed probe makes the next one wait longer, up to 30 s."""
    pauses = []
    for _ in range(12):
        breaker.failed()
        pauses.append(breaker.wait_s())
        clock.now += pauses[-1]

    assert 1.0 == pauses[0]
    assert sorted(pauses) == pauses
    assert 30.0 == pauses[-1]


def test_outage_of_many_hours_keeps_the_pace(breaker: Breaker, clock: Clock) -> None:
    """Thousands of failures in a row: still half a minute, and one success ends it."""
    for _ in range(5000):
        breaker.failed()
        clock.now += breaker.wait_s()
    breaker.failed()

    assert 5001 == breaker.failures
    assert 30.0 == breaker.wait_s()
    breaker.succeeded()
    assert (0.0, "closed") == (breaker.wait_s(), breaker.state)


def test_success_closes_it(breaker: Breaker) -> None:
    """One answer and everything flows; the next outage begins with the short pause."""
    for _ in range(8):
        breaker.failed()
    breaker.succeeded()
    assert breaker.ready()
    breaker.failed()

    assert 1.0 == breaker.wait_s()


@pytest.mark.parametrize(("asked", "kept"), [(7.0, 7.0), (0.0, 0.0), (-5.0, 0.0), (1e9, 900.0)])
def test_retry_after_is_honoured_within_reason(breaker: Breaker, asked: float, kept: float) -> None:
    """A server that names a time gets it, up to a quarter of an hour."""
    breaker.failed(retry_after_s=asked)

    assert LONGEST_RETRY_AFTER_S == 900.0
    assert kept == breaker.wait_s()


def test_spread_only_lengthens(clock: Clock) -> None:
    """Many workers do not ask in step, and none asks early."""
    breaker = Breaker(clock)
    breaker.failed(retry_after_s=10)

    assert 10.0 <= breaker.wait_s() <= 11.0
