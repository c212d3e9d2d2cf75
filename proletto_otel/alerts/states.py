"""Alert states: how one threshold and its values over time become ok, warning or critical.

Pure functions on a monotonic clock. Notifications are decided in `alerts.notify_policy`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.record import record
from proletto_otel.core.severity import CRITICAL, OK, WARNING

GAP_S = 60.0
"""A value may be missing this long (a restart, a failed reading) before windows start again."""
NO_DATA_RESOLVES_S = 900.0
"""An alert without a value for so long ends: its state is no longer known."""


@record(frozen=True, slots=True, kw_only=True)
class AlertState:
    """What is known about one threshold. Times called `…_mono` are monotonic seconds."""

    name: str
    level: str = OK
    """`ok`, `warning` or `critical`: what holds."""

    notified: str = OK
    """The level of the last notification. The name is stored in the host's database."""

    notified_at: float = 0.0
    """When the last notification was made, unix seconds."""

    evaluated_at: float = 0.0
    """When somebody last evaluated it, unix seconds."""

    value: float | None = None
    """The last value, in the indicator's unit; None: no data."""

    since: float = 0.0
    """When the present stretch beyond a limit began, unix seconds; 0: there is none."""

    changed: float = 0.0
    """When the level last changed, unix seconds."""

    seen_mono: float | None = None
    """When there was a value."""

    warning_mono: float | None = None
    """Beyond the warning limit since …"""

    critical_mono: float | None = None
    """Beyond the critical limit since …"""

    warning_clear_mono: float | None = None
    """Clear of the warning limit since …"""

    critical_clear_mono: float | None = None

    @property
    def pending(self) -> bool:
        """Whether a limit is passed that did not last long enough yet."""
        return self.level == OK and (self.warning_mono, self.critical_mono) != (None, None)

    def since_of(self, level: str, mono: float, wall: float) -> float:
        """Unix time since when the value is beyond the limit of *level*.

        `since` is when the first limit was passed; a critical one is mostly passed later.
        """
        # the age on the monotonic clock, because the wall clock may have been set meanwhile
        began = self.critical_mono if level == CRITICAL else self.warning_mono
        return self.since if began is None else max(self.since, wall - (mono - began))


def advance(
    state: AlertState, threshold: Threshold, value: float | None, mono: float, wall: float
) -> AlertState:
    """Apply one reading: *value* (None or NaN: no data) at *mono*, which is *wall* in unix time."""
    if value is None or not math.isfinite(value):
        return _no_data(state, mono, wall)
    last = state.seen_mono
    # A negative age: the state is of another boot. Too old: nobody knows what the value did
    # meanwhile, so "above the limit for five minutes" has to be observed again.
    if last is not None and not 0 <= mono - last <= GAP_S:
        state = _new_window(state)
    state = replace(
        state,
        value=value,
        seen_mono=mono,
        warning_mono=_start(threshold.beyond(WARNING, value), state.warning_mono, mono),
        critical_mono=_start(threshold.beyond(CRITICAL, value), state.critical_mono, mono),
        warning_clear_mono=_start(threshold.clear(WARNING, value), state.warning_clear_mono, mono),
        critical_clear_mono=_start(
            threshold.clear(CRITICAL, value), state.critical_clear_mono, mono
        ),
    )
    state = _dated(state, wall)
    level = _level_now(state, threshold, mono)
    if level == state.level:
        return state
    # Cleared with the alert, so that the next stretch gets a start of its own.
    since = 0.0 if level == OK else state.since
    return replace(state, level=level, changed=wall, since=since)


def rebooted(state: AlertState) -> AlertState:
    """The state after a restart of the monotonic clock: the same level, no windows."""
    return replace(_new_window(state), seen_mono=None)


def _start(holds: bool, since: float | None, mono: float) -> float | None:
    if not holds:
        return None
    return mono if since is None else since


def _new_window(state: AlertState) -> AlertState:
    return replace(
        state, warning_mono=None, critical_mono=None, warning_clear_mono=None,
        critical_clear_mono=None,
    )  # fmt: skip


def _dated(state: AlertState, wall: float) -> AlertState:
    """Set or clear the unix time of the stretch beyond a limit; a firing alert holds it."""
    beyond = (state.warning_mono, state.critical_mono) != (None, None)
    if beyond and not state.since:
        return replace(state, since=wall)
    if not beyond and state.level == OK and state.since:
        return replace(state, since=0.0)
    return state


def _level_now(state: AlertState, threshold: Threshold, mono: float) -> str:
    # Rising is asked first: it needs no wait for the hysteresis.
    if _lasted(state.critical_mono, threshold.hold_s(CRITICAL), mono):
        return CRITICAL
    if state.level == OK and _lasted(state.warning_mono, threshold.hold_s(WARNING), mono):
        return WARNING
    hold = threshold.recover_s
    clear_of_warning = _lasted(state.warning_clear_mono, hold, mono)
    clear_of_critical = _lasted(state.critical_clear_mono, hold, mono)
    # From critical straight to ok only when the value is clear of both limits long enough.
    if state.level == CRITICAL and clear_of_critical:
        return OK if clear_of_warning else WARNING
    if state.level == WARNING and clear_of_warning:
        return OK
    return state.level


def _lasted(since: float | None, seconds: float, mono: float) -> bool:
    return since is not None and mono - since >= seconds


def _no_data(state: AlertState, mono: float, wall: float) -> AlertState:
    state = replace(state, value=None)
    last = state.seen_mono
    # Never a value: start the clock now, or a fired state would wait for ever for its end.
    if last is None:
        return replace(state, seen_mono=mono)
    if mono - last < 0:  # of another boot
        return replace(_new_window(state), seen_mono=mono)
    if state.level != OK and mono - last >= NO_DATA_RESOLVES_S:
        return replace(_new_window(state), level=OK, changed=wall, since=0.0)
    return state
