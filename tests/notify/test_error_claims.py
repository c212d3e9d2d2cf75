"""All workers of a host post to Slack once a second together, and wait when it asks them to."""

from __future__ import annotations

from pathlib import Path

import pytest

from proletto_otel.notify.error_claims import ErrorClaims
from proletto_otel.state.store import Store


class Host:
    """Two workers with a store and a clock."""

    def __init__(self, directory: Path) -> None:
        self.now = 1_700_000_000.0
        self.one, self.other = (
            ErrorClaims(Store(directory), 300.0, lambda: self.now) for _ in range(2)
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "state")


def test_workers_take_turns_a_second_apart(host: Host) -> None:
    """Slack allows a channel one message a second, whoever sends it."""
    assert [0, 1, 2, 3] == [worker.turn() for worker in (host.one, host.other) * 2]


def test_turn_after_a_quiet_time_is_at_once(host: Host) -> None:
    """What nobody used is not saved up: no burst follows it."""
    host.one.turn()
    host.now += 60

    assert [0, 1] == [host.one.turn(), host.other.turn()]


def test_nobody_posts_before_slack_asked_to(host: Host) -> None:
    """Retry-After counts for the channel, so for every worker."""
    host.one.pause(30.0)

    assert [30, 31] == [host.other.turn(), host.one.turn()]


def test_clock_set_back_by_a_day_stops_nobody(host: Host) -> None:
    """The next turn is not a day away."""
    host.one.turn()
    host.now -= 86_400

    assert [0, 1] == [host.one.turn(), host.other.turn()]
