"""Silences and acknowledgements: a person asks for no notifications of an alert, for a while."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.record import record
from proletto_otel.core.severity import CRITICAL, RANK

SILENCE = "silence"
"""Say nothing about this alert until the time is over."""
ACKNOWLEDGE = "acknowledge"
"""Somebody works on it: say nothing new unless it gets worse. Its end is still notified."""

EVERYTHING = "*"
"""Name of a silence that holds for all alerts (a maintenance window)."""
MAX_TEXT = 200
"""Characters of a name or a reason that are stored."""
MAX_SECONDS = 30 * 86400.0
"""A silence nobody ends must not be for ever."""


@record(frozen=True, slots=True, kw_only=True)
class Silence:
    """One silence or acknowledgement."""

    name: str
    """The alert state it holds for, or `*`."""

    kind: str
    """`silence` or `acknowledge`."""

    until: float
    """Unix seconds."""

    by: str
    """Who."""

    level: str = CRITICAL
    """The level that was acknowledged."""

    reason: str = ""
    at: float = 0.0
    """When it was set, unix seconds."""


def of(name: str, kind: str, silences: Iterable[Silence]) -> Silence | None:
    """The silence or acknowledgement that holds for the alert *name*."""
    # `*` counts beside the own name: the one that ends last decides.
    found = [s for s in silences if s.kind == kind and s.name in (name, EVERYTHING)]
    return max(found, key=lambda s: s.until, default=None)


def quiet(name: str, level: str, silences: Iterable[Silence]) -> bool:
    """Whether the notification that the alert *name* reached *level* is held back."""
    silences = list(silences)
    if of(name, SILENCE, silences) is not None:
        return True
    # Acknowledged as a warning: that it became critical is still news.
    known = of(name, ACKNOWLEDGE, silences)
    return known is not None and RANK[level] <= RANK[known.level]


def checked(
    name: str, kind: str, seconds: Any, by: Any, reason: str, *, level: str, at: float
) -> Silence:
    """Put a silence together.

    Raises:
        ConfigError: without a person, or for a time that does not fit.
    """
    if not isinstance(by, str) or not by.strip():
        raise ConfigError.of("by", by, "the name of a person")
    # `True` is an int in Python, and would be a silence of one second
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= MAX_SECONDS:
        raise ConfigError.of("seconds", seconds, f"more than 0, at most {MAX_SECONDS:.0f}")
    return Silence(
        name=name, kind=kind, until=at + seconds, by=by.strip()[:MAX_TEXT], level=level,
        reason=str(reason)[:MAX_TEXT], at=at,
    )  # fmt: skip
