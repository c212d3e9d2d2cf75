"""When people are notified: each rule of the policy on its own."""

from __future__ import annotations

import pytest

from proletto_otel.alerts.notify_policy import Announcement, decide
from proletto_otel.alerts.silences import ACKNOWLEDGE, SILENCE, Silence
from proletto_otel.alerts.states import AlertState

NOW = 1_800_000_000.0
HOUR = 3600.0


def held(kind: str, level: str = "critical") -> list[Silence]:
    """One silence or acknowledgement that holds."""
    return [Silence(name="cpu", kind=kind, until=NOW + HOUR, by="ada", level=level)]


def state(level: str, notified: str, notified_at: float = NOW - HOUR) -> AlertState:
    """An alert at *level*, last notified at the level *notified*."""
    return AlertState(name="cpu", level=level, notified=notified, notified_at=notified_at)


@pytest.mark.parametrize(
    ("level", "notified", "announced"),
    [
        ("ok", "ok", None),
        ("warning", "ok", Announcement("firing", "warning")),
        ("critical", "ok", Announcement("firing", "critical")),
        ("critical", "warning", Announcement("firing", "critical")),
        ("warning", "warning", None),
        ("warning", "critical", None),
        ("ok", "warning", Announcement("resolved", "warning")),
        ("ok", "critical", Announcement("resolved", "critical")),
    ],
)
def test_people_hear_what_is_worse_and_what_ends(
    level: str, notified: str, announced: Announcement | None
) -> None:
    """Once each; a small improvement is quiet, and forgotten: the next rise is notified again."""
    after, said = decide(state(level, notified), [], NOW)

    assert announced == said
    assert level == after.notified


@pytest.mark.parametrize(
    ("kind", "level", "notified", "said"),
    [
        (SILENCE, "critical", "ok", None),
        (SILENCE, "ok", "critical", None),
        (ACKNOWLEDGE, "warning", "ok", None),
        (ACKNOWLEDGE, "critical", "warning", Announcement("firing", "critical")),
        (ACKNOWLEDGE, "ok", "warning", Announcement("resolved", "warning")),
    ],
)
def test_what_somebody_asked_for_holds_back(
    kind: str, level: str, notified: str, said: Announcement | None
) -> None:
    """A silence holds everything back; an acknowledgement only what is known already."""
    assert said == decide(state(level, notified), held(kind, "warning"), NOW)[1]


def test_held_back_alert_is_not_taken_for_told() -> None:
    """It is notified when the silence ends."""
    after, _ = decide(state("critical", "ok"), held(SILENCE), NOW)

    assert Announcement("firing", "critical") == decide(after, [], NOW)[1]


@pytest.mark.parametrize(
    ("notified_at", "repeat_s", "again"),
    [(NOW - HOUR, 0.0, False), (NOW - HOUR, HOUR, True), (NOW - HOUR + 1, HOUR, False)],
)
def test_alert_that_goes_on_repeats(notified_at: float, repeat_s: float, again: bool) -> None:
    """After so many seconds, counted from the last time; never unless it is set."""
    after, said = decide(state("warning", "warning", notified_at), [], NOW, repeat_s)

    assert (Announcement("firing", "warning") if again else None) == said
    assert (NOW if again else notified_at) == after.notified_at


@pytest.mark.parametrize("kind", [SILENCE, ACKNOWLEDGE])
def test_nothing_repeats_while_somebody_knows(kind: str) -> None:
    """Neither silenced nor acknowledged alerts, nor what is over, are notified again."""
    assert decide(state("warning", "warning"), held(kind), NOW, 60.0)[1] is None
    assert decide(state("ok", "ok"), [], NOW, 60.0)[1] is None
