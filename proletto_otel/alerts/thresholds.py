"""Thresholds: the numbers that decide when a person is notified.

How a value over time becomes an alert lives in `alerts.states`; how a threshold becomes a Grafana
rule in `stack`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from proletto_otel.alerts.indicators import ABOVE, BELOW
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.severity import CRITICAL, WARNING

HYSTERESIS = 0.02
"""A firing alert is clear 2 % inside its limit: 80 % clears at 78.4 %, so noise cannot flap it."""
RECOVER_AFTER_S = 120.0
"""… for as long as the duration, at most two minutes (as `keep_firing_for` in the stack)."""
MAX_DURATION_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Limits on one indicator, and how long they must be passed."""

    metric: str
    """Name of the indicator or gauge."""

    warning: float | None = None
    """A warning while the value is strictly beyond this, in the indicator's unit."""

    critical: float | None = None
    """Critical while the value is strictly beyond this."""

    duration: float = 0.0
    """Seconds without a break that the value must stay beyond a limit."""

    critical_duration: float | None = None
    """The same for the critical limit; None: the same number."""

    recover_after: float | None = None
    """Seconds the value must stay clear before the alert ends; None: the duration, at most 120."""

    direction: str = ABOVE
    """`above`: high values are bad. `below`: low ones are."""

    name: str = ""
    """Name of the alert state; a second threshold on one metric needs its own."""

    min_requests: int = 0
    """Request metrics: no verdict with fewer requests in the last five minutes."""

    reason: str = ""
    """Why these numbers."""

    def __post_init__(self) -> None:
        if not self.metric or not isinstance(self.metric, str):
            raise ConfigError.of("metric", self.metric, "the name of a metric")
        if self.warning is None and self.critical is None:
            raise ConfigError(
                f"threshold on {self.metric}: expected warning_threshold, critical_threshold or "
                "both"
            )
        _limit("warning_threshold", self.warning)
        _limit("critical_threshold", self.critical)
        _duration("duration", self.duration)
        for name in ("critical_duration", "recover_after"):
            if getattr(self, name) is not None:
                _duration(name, getattr(self, name))
        least = self.min_requests
        if isinstance(least, bool) or not isinstance(least, int) or least < 0:
            raise ConfigError.of("min_requests", least, "a whole number, 0 or more")
        if self.direction not in (ABOVE, BELOW):
            raise ConfigError.of("direction", self.direction, f"{ABOVE} or {BELOW}")
        self._ordered()
        if not self.name:
            # the way a frozen dataclass fills in a default that depends on another field
            object.__setattr__(self, "name", self.metric)

    def _ordered(self) -> None:
        if self.warning is None or self.critical is None:
            return
        fits = self.warning < self.critical if self.direction == ABOVE else (
            self.warning > self.critical
        )  # fmt: skip
        if not fits:
            side = "greater" if self.direction == ABOVE else "less"
            raise ConfigError(
                f"critical_threshold={self.critical!r}: expected a number {side} than "
                f"warning_threshold={self.warning!r} (direction {self.direction})"
            )

    @property
    def looks_like_ratio(self) -> bool:
        """Whether all limits are shares, 0 to 1 (a limit of exactly 0 or 1 is no such slip)."""
        limits = [x for x in (self.warning, self.critical) if x is not None]
        return self.direction == ABOVE and all(0 < x < 1 for x in limits)

    def limit(self, level: str) -> float | None:
        """The limit of *level*."""
        return self.critical if level == CRITICAL else self.warning

    def beyond(self, level: str, value: float) -> bool:
        """Whether *value* is strictly beyond the limit of *level*, or of a worse one."""
        # The warning's window runs on while the value is critical: after a fall below the critical
        # limit it does not have to wait again.
        if level == WARNING and self.critical is not None and self.beyond(CRITICAL, value):
            return self.warning is not None
        limit = self.limit(level)
        if limit is None:
            return False
        return value > limit if self.direction == ABOVE else value < limit

    def clear(self, level: str, value: float) -> bool:
        """Whether *value* is clearly inside the limit of *level*, hysteresis included."""
        limit = self.limit(level)
        if limit is None:
            return True
        # A share of the limit, not of the value: the edge stays in place while the value moves.
        # A limit of 0 has no margin.
        margin = abs(limit) * HYSTERESIS
        inside = limit - margin if self.direction == ABOVE else limit + margin
        return value <= inside if self.direction == ABOVE else value >= inside

    def hold_s(self, level: str) -> float:
        """Seconds the value must stay beyond the limit of *level*."""
        if level == CRITICAL and self.critical_duration is not None:
            return self.critical_duration
        return self.duration

    @property
    def recover_s(self) -> float:
        """Seconds the value must stay clear before the alert ends."""
        if self.recover_after is not None:
            return self.recover_after
        return min(self.duration, RECOVER_AFTER_S)

    def named(self, name: str) -> Threshold:
        """The same limits under another name."""
        return replace(self, name=name)


def _limit(name: str, value: Any) -> None:
    if value is None:
        return
    # NaN compares as false with everything: a limit of NaN would never fire and never fail
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ConfigError.of(name, value, "a finite number or None")


def _duration(name: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= MAX_DURATION_S:
        raise ConfigError.of(name, value, f"seconds from 0 to {MAX_DURATION_S:.0f}")
