"""How single outcomes become healthy, degraded, unhealthy and unknown."""

from __future__ import annotations

import pytest

from proletto_otel.health.results import DEGRADED, HEALTHY, UNHEALTHY, UNKNOWN, Outcome
from proletto_otel.health.states import CheckState, Rules, Transition, advance, uptime

RULES = Rules(failures=3, stale_after_s=130)


def run(*statuses: str, step: float = 60.0) -> list[str]:
    """The states after each outcome."""
    state: CheckState | None = None
    seen = []
    for n, status in enumerate(statuses):
        outcome = Outcome(name="db", status=status)
        state, _ = advance(state, outcome, 1000 + n * step, RULES, critical=True)
        seen.append(state.status)
    return seen


def test_service_is_unhealthy_after_three_failures() -> None:
    """MONITOR_UNHEALTHY_THRESHOLD failures in a row; until then it is degraded."""
    assert [HEALTHY, DEGRADED, DEGRADED, UNHEALTHY, UNHEALTHY] == run(
        HEALTHY, UNHEALTHY, UNHEALTHY, UNHEALTHY, UNHEALTHY
    )


def test_one_success_recovers() -> None:
    """… and the count of failures begins anew."""
    assert [UNKNOWN, UNKNOWN, UNHEALTHY, HEALTHY, DEGRADED] == run(
        UNHEALTHY, UNHEALTHY, UNHEALTHY, HEALTHY, UNHEALTHY
    )


def test_service_that_never_worked_is_unknown_before_it_is_unhealthy() -> None:
    """What is not known is not shown as healthy."""
    assert [UNKNOWN, UNKNOWN, UNHEALTHY] == run(UNHEALTHY, UNHEALTHY, UNHEALTHY)


def test_check_may_say_degraded_or_unknown_itself() -> None:
    """Its own word is taken at once."""
    assert [DEGRADED, UNKNOWN, HEALTHY] == run(DEGRADED, UNKNOWN, HEALTHY)


def test_state_nobody_checked_becomes_unknown() -> None:
    """After an hour of nobody looking, one failure is one failure, and the gap is unknown."""
    state, _ = advance(None, Outcome(name="db", status=HEALTHY), 1000.0, RULES, True)
    state, changes = advance(state, Outcome(name="db", status=UNHEALTHY), 4600.0, RULES, True)

    assert (UNKNOWN, 1) == (state.status, state.failures)
    assert [(HEALTHY, UNKNOWN, 1130.0)] == [(c.previous, c.status, c.at) for c in changes]


@pytest.mark.parametrize(
    ("window", "share", "known_s"),
    [(100.0, 0.75, 80.0), (20.0, 0.0, 20.0), (60.0, pytest.approx(2 / 3), 60.0),
     (10_000.0, 0.8, 100.0)],
)  # fmt: skip
def test_uptime_is_the_share_of_the_known_time(window: float, share: float, known_s: float) -> None:
    """80 s up and 20 s down; unknown stretches do not count, and it says how much is known."""
    changes = [
        Transition(name="db", at=800.0, previous="unknown", status=HEALTHY),
        Transition(name="db", at=820.0, previous=HEALTHY, status=UNKNOWN),
        Transition(name="db", at=920.0, previous=UNKNOWN, status=HEALTHY),
        Transition(name="db", at=980.0, previous=HEALTHY, status=UNHEALTHY),
    ]
    state = CheckState(name="db", status=UNHEALTHY, since=980.0, checked_at=1000.0)

    found = uptime(changes, state, 1000.0 - window, 1000.0)
    assert (share, known_s) == (found.share, found.known_s)


def test_uptime_of_the_unknown_is_not_a_number() -> None:
    """Nothing known is neither 0 nor 100 per cent."""
    found = uptime([], CheckState(name="db"), 0.0, 1000.0)
    assert (None, 0.0) == (found.share, found.known_s)
