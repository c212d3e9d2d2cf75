"""States: how single outcomes become healthy, degraded, unhealthy or unknown. Pure functions.

N failures in a row make a check unhealthy; one success makes it healthy again. Before the Nth
failure a check that worked is degraded, and one that never worked stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from proletto_otel.core.record import record
from proletto_otel.health.results import DEGRADED, HEALTHY, UNHEALTHY, UNKNOWN, Outcome

UP = (HEALTHY, DEGRADED)
"""States in which a service works; uptime counts them."""


@record(frozen=True, slots=True, kw_only=True)
class CheckState:
    """What is known about one check."""

    name: str
    status: str = UNKNOWN
    since: float = 0.0
    """When it took this status, unix time in seconds."""

    checked_at: float = 0.0
    """When it last ran, unix time in seconds; 0: never."""

    duration_s: float = 0.0
    """How long that took, seconds."""

    failures: int = 0
    """Failures in a row."""

    message: str = ""
    critical: bool = True


@record(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of status."""

    name: str
    at: float
    """Unix time in seconds."""
    previous: str
    status: str
    message: str = ""


@record(frozen=True, slots=True, kw_only=True)
class Uptime:
    """How much of a time a check was up."""

    share: float | None
    """Of the part in which its state is known, 0 to 1; None when nothing is known."""
    known_s: float
    """Seconds of that part."""


@record(frozen=True, slots=True, kw_only=True)
class Rules:
    """The limits by which states change."""

    failures: int = 3
    """Failures in a row until unhealthy (`MONITOR_UNHEALTHY_THRESHOLD`)."""

    stale_after_s: float = 130.0
    """Age from which a result is no longer used, seconds."""


def advance(
    before: CheckState | None, outcome: Outcome, at: float, rules: Rules, critical: bool
) -> tuple[CheckState, list[Transition]]:
    """Apply *outcome* to the state *before*; return the new state and what changed."""
    known, changes = _aged(before or CheckState(name=outcome.name, since=at), at, rules)
    failed = outcome.status == UNHEALTHY
    failures = known.failures + 1 if failed else 0
    status = outcome.status
    if failed:
        # Unhealthy stays unhealthy also when a state was loaded under another number of failures.
        if failures >= rules.failures or known.status == UNHEALTHY:
            status = UNHEALTHY
        else:
            status = DEGRADED if known.status in UP else UNKNOWN
    after = CheckState(
        name=outcome.name, status=status, since=known.since, checked_at=at, failures=failures,
        duration_s=outcome.duration_s, message=outcome.message, critical=critical,
    )  # fmt: skip
    if status == known.status:
        return after, changes
    change = Transition(
        name=outcome.name, at=at, previous=known.status, status=status, message=outcome.message
    )
    return replace(after, since=at), [*changes, change]


def _aged(state: CheckState, at: float, rules: Rules) -> tuple[CheckState, list[Transition]]:
    """Turn a state into unknown, dated to when its last result became too old."""
    # The change is dated back to the expiry: the time since then was unknown, not healthy.
    expiry = state.checked_at + rules.stale_after_s
    if not state.checked_at or at <= expiry or state.status == UNKNOWN:
        return state, []
    change = Transition(
        name=state.name, at=expiry, previous=state.status, status=UNKNOWN, message="not checked"
    )
    return replace(state, status=UNKNOWN, since=expiry, failures=0), [change]


def uptime(
    transitions: Iterable[Transition], current: CheckState, since: float, now: float
) -> Uptime:
    """How much of the time from *since* to *now* the check was up.

    *transitions* are those of this check, oldest first.
    """
    spans = _spans(list(transitions), current, now)
    known = up = 0.0
    for status, begin, end in spans:
        # The first stretch may have begun before the window; unknown time counts for neither side.
        length = max(end - max(begin, since), 0.0)
        if status != UNKNOWN:
            known += length
            up += length if status in UP else 0.0
    return Uptime(share=up / known if known else None, known_s=known)


def _spans(
    transitions: Sequence[Transition], current: CheckState, now: float
) -> list[tuple[str, float, float]]:
    """(status, from, to) of each stretch; before the first transition nothing is known."""
    if not transitions:
        return [(current.status, current.since, now)] if current.checked_at else []
    ends = [t.at for t in transitions[1:]] + [now]
    return [(t.status, t.at, end) for t, end in zip(transitions, ends, strict=True)]
