"""When people are told about an alert: pure functions over its state and the silences.

- It is worse than what they were last told: they are told at once, but not while the alert is
  silenced, or acknowledged at that level.
- It stays as bad as they were told: they are told again after `repeat_s`, if that is set, but not
  while the alert is silenced or acknowledged.
- It gets better, but does not end: nothing is said; the next rise is told again.
- It ends: they are told once, also when it was acknowledged, but not while it is silenced.

What is held back by a silence is told when the silence ends, if it still holds. Repeats of errors
are decided in `notify.error_claims`, those of Grafana in `grafana/provisioning/alerting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from proletto_otel.alerts.silences import ACKNOWLEDGE, SILENCE, Silence, of, quiet
from proletto_otel.alerts.states import AlertState
from proletto_otel.core.severity import OK, RANK
from proletto_otel.notify.notification import FIRING, RESOLVED


@dataclass(frozen=True, slots=True)
class Announcement:
    """What people are to be told about one alert."""

    event: str
    """`firing` or `resolved`."""

    severity: str
    """How bad it is; of a resolved alert, how bad people knew it to be."""


def decide(
    state: AlertState, silences: Sequence[Silence], now: float, repeat_s: float = 0.0
) -> tuple[AlertState, Announcement | None]:
    """Whether people hear of *state* now (unix seconds), and the state with what they know then."""
    if RANK[state.level] > RANK[state.told]:
        if quiet(state.name, state.level, silences):
            return state, None
        return _told(state, now), Announcement(FIRING, state.level)
    if state.level == state.told:
        repeated = _repeats(state, silences, now, repeat_s)
        return (_told(state, now), Announcement(FIRING, state.level)) if repeated else (state, None)
    if state.level != OK or of(state.name, SILENCE, silences) is not None:
        return _told(state, state.told_at), None
    return _told(state, now), Announcement(RESOLVED, state.told)


def _repeats(state: AlertState, silences: Sequence[Silence], now: float, repeat_s: float) -> bool:
    if not repeat_s or state.level == OK or now - state.told_at < repeat_s:
        return False
    silenced = of(state.name, SILENCE, silences) is not None
    return not silenced and of(state.name, ACKNOWLEDGE, silences) is None


def _told(state: AlertState, at: float) -> AlertState:
    return replace(state, told=state.level, told_at=at)
