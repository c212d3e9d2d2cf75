"""The time range of a page, kept in every link: `?range=1h`, `?range=deploy`, `?from=…&to=…`.

Times are ISO 8601 with a zone, or without one: then they are UTC. The script of the pages sends the
viewer's times with their zone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone

DEFAULT = "1h"
DEPLOY = "deploy"
CUSTOM = "custom"
RANGES = {
    "15m": ("15 minutes", 900.0),
    "1h": ("1 hour", 3600.0),
    "6h": ("6 hours", 6 * 3600.0),
    "24h": ("24 hours", 86_400.0),
    "7d": ("7 days", 7 * 86_400.0),
    "30d": ("30 days", 30 * 86_400.0),
}
"""Label and seconds by name."""
PARAMETERS = ("range", "from", "to")
FINE_POINTS, POINTS = 60, 150
"""Points of a line: up to an hour, and beyond."""
LEAST_S = 60.0
MOST_S = 366 * 86_400.0
EXAMPLE = "2026-11-30T14:00Z"


@dataclass(frozen=True, slots=True)
class LastDeploy:
    """When the version that runs was deployed."""

    at: float
    """Unix seconds."""
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What the charts of a page show."""

    name: str
    """One of `RANGES`, `deploy` or `custom`."""
    label: str
    words: str
    """How a heading goes on: `in the last hour`."""
    start: float
    """Unix seconds."""
    end: float
    is_asked: bool = False
    """Whether the address names it."""
    problem: str = ""
    """Why it is not the one that the address asks for; empty when it is."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    @property
    def points(self) -> int:
        """Points that a line has at most."""
        return FINE_POINTS if self.seconds <= 3600 else POINTS

    @property
    def is_over(self) -> bool:
        """Whether it has an end of its own, and does not go on with the clock."""
        return self.name == CUSTOM


def chosen(
    query: Mapping[str, str],
    now: float | None = None,
    last_deploy: Callable[[], LastDeploy | None] = lambda: None,
) -> Range:
    """The range that the address asks for; where it makes no sense the default, and why."""
    end = time.time() if now is None else now
    try:
        found = _asked(query, end, last_deploy)
    except ValueError as error:
        return replace(_named(DEFAULT, end), problem=f"{error} Shown is the last hour.")
    return replace(found, is_asked=any(name in query for name in PARAMETERS))


def _asked(
    query: Mapping[str, str], now: float, last_deploy: Callable[[], LastDeploy | None]
) -> Range:
    if query.get("from") or query.get("to"):
        return _between(query.get("from", ""), query.get("to", ""), now)
    name = query.get("range") or DEFAULT
    if name in RANGES:
        return _named(name, now)
    if name != DEPLOY:
        known = ", ".join((*RANGES, DEPLOY))
        raise ValueError(f"range={name[:40]!r} is not known: it is one of {known}.")
    deploy = last_deploy()
    if deploy is None:
        raise ValueError("No deploy is known: none happened since values are stored.")
    return Range(
        name=DEPLOY, label=f"since {deploy.version}", words=f"since version {deploy.version}",
        start=min(deploy.at, now - LEAST_S), end=now,
    )  # fmt: skip


def _named(name: str, now: float) -> Range:
    label, seconds = RANGES[name]
    words = f"in the last {label.removeprefix('1 ')}"
    return Range(name=name, label=label, words=words, start=now - seconds, end=now)


def _between(begin: str, finish: str, now: float) -> Range:
    if not begin:
        raise ValueError(f"“from” is missing: from={EXAMPLE}.")
    start = _parsed("from", begin)
    end = min(_parsed("to", finish), now) if finish else now
    if start >= now:
        raise ValueError("“from” is not over yet.")
    if start >= end:
        raise ValueError("“from” must be before “to”.")
    if end - start > MOST_S:
        raise ValueError("Longer than a year: nothing is kept so long.")
    return Range(
        name=CUSTOM, label="from – to", words="in the time chosen",
        start=min(start, end - LEAST_S), end=end,
    )  # fmt: skip


def _parsed(name: str, text: str) -> float:
    """Unix seconds of a time as people and browsers write it."""
    try:
        # an address that says `+01:00` arrives with a space
        zoned = re.sub(r"(T\S+) (\d\d:\d\d)$", r"\1+\2", text.strip()).replace("Z", "+00:00")
        found = datetime.fromisoformat(zoned)
        if found.tzinfo is None:
            found = found.replace(tzinfo=timezone.utc)
        return found.timestamp()
    except (ValueError, OverflowError):
        shown = text[:40]
        raise ValueError(f"{name}={shown!r} is no time: {name}={EXAMPLE}.") from None


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of the list of ranges."""

    name: str
    label: str
    is_kept: bool
    """Whether there is something to see that a shorter range does not show."""


def choices(now: float, kept_since: float | None, deploy: LastDeploy | None) -> list[Choice]:
    """All ranges by name; greyed where even a shorter one reaches back to the oldest value."""
    found, shorter = [], 0.0
    for name, (label, seconds) in RANGES.items():
        reached = kept_since is not None and now - shorter < kept_since
        found.append(Choice(name, label, name == DEFAULT or not reached))
        shorter = seconds
    label = f"since {deploy.version}" if deploy else "since the last deploy"
    return [*found, Choice(DEPLOY, label, deploy is not None)]
