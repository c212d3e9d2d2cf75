"""When people are notified about an alert: pure functions over its state and the silences.

- It is worse than in the last notification: people are notified at once, but not while the alert
  is silenced, or acknowledged at that level.
- It stays at the level of the last notification: people are notified again after `repeat_s`, if
  that is set, but not while the alert is silenced or acknowledged.
- It gets better, but does not end: no notification; the next rise is notified again.
- It ends: people are notified once, also when it was acknowledged, but not while it is silenced.

What a silence held back is sent when the silence ends, if it still holds. Repeats of errors
are decided in `notify.error_claims`, those of Grafana in `grafana/provisioning/alerting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from proletto_otel.alerts.silences import ACKNOWLEDGE, SILENCE, Silence, of, quiet
from proletto_otel.alerts.states import AlertState
from proletto_otel.core.record import record
from proletto_otel.core.severity import OK, RANK
from proletto_otel.notify.notification import FIRING, RESOLVED


@record(frozen=True, slots=True)
class Announcement:
    """The notification that is due for one alert."""

    event: str
    """`firing` or `resolved`."""

    severity: str
    """How bad it is; of a resolved alert, how bad people knew it to be."""


def decide(
    state: AlertState, silences: Sequence[Silence], now: float, repeat_s: float = 0.0
) -> tuple[AlertState, Announcement | None]:
    """The announcement due at *now* (unix seconds), if any, and the state that records it."""
    if RANK[state.level] > RANK[state.notified]:
        if quiet(state.name, state.level, silences):
            # `notified` stays, so the rise is announced when the silence ends and it still holds
            return state, None
        return _announced(state, now), Announcement(FIRING, state.level)
    if state.level == state.notified:
        # `OK` on both sides comes here too, and never repeats
        due = repeat_s and state.level != OK and now - state.notified_at >= repeat_s
        if not due or any(of(state.name, kind, silences) for kind in (SILENCE, ACKNOWLEDGE)):
            return state, None
        return _announced(state, now), Announcement(FIRING, state.level)
    # Better but not over: lower the known level without a message, so that the next rise is news.
    # A silenced end likewise: what began before the silence must not be announced as over after it.
    if state.level != OK or of(state.name, SILENCE, silences) is not None:
        return _announced(state, state.notified_at), None
    return _announced(state, now), Announcement(RESOLVED, state.notified)


def _announced(state: AlertState, at: float) -> AlertState:
    return replace(state, notified=state.level, notified_at=at)
