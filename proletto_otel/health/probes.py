"""The answers to probes: data only; the routes live in `monitoring_routes`.

`/livez` asks nothing, `/readyz` and `/health` look at the checks. The JSON follows
draft-inadarei-api-health-check (`application/health+json`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from proletto_otel.health.results import DEGRADED, HEALTHY, UNHEALTHY, UNKNOWN
from proletto_otel.health.states import CheckState

MEDIA_TYPE = "application/health+json"
LIVE: dict[str, Any] = {"status": "pass"}
"""A process that can answer is alive; dependencies belong to readiness."""

_WORD = {HEALTHY: "pass", DEGRADED: "warn", UNKNOWN: "warn", UNHEALTHY: "fail"}


def ready(states: Sequence[CheckState]) -> bool:
    """Whether requests should be sent here: every critical check works, as far as one can tell.

    A critical check that failed and never worked (its state is still unknown) is not ready.
    """
    # Unknown without a failure is ready: a new process must get traffic before its first check.
    return not any(
        s.critical and (s.status == UNHEALTHY or (s.status == UNKNOWN and s.failures > 0))
        for s in states
    )


def overall(states: Sequence[CheckState]) -> str:
    """One status for the service; a check that is not critical can only degrade it."""
    if not ready(states):
        return UNHEALTHY
    if any(s.status != HEALTHY for s in states):
        return DEGRADED
    return HEALTHY


def readiness(states: Sequence[CheckState], detailed: bool) -> tuple[int, dict[str, Any]]:
    """Status code and body of `/readyz`: 503 while a critical check fails."""
    return (200 if ready(states) else 503), body(states, detailed)


def body(states: Sequence[CheckState], detailed: bool) -> dict[str, Any]:
    """Body of `/health` and `/readyz`; without *detailed* the status and nothing else."""
    answer: dict[str, Any] = {"status": _WORD[overall(states)]}
    # Without access only the status: names and messages tell what the service is made of.
    if detailed:
        answer["checks"] = {state.name: [_entry(state)] for state in states}
    return answer


def _entry(state: CheckState) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "status": _WORD[state.status],
        "state": state.status,
        "critical": state.critical,
        "failures": state.failures,
        "observedValue": round(state.duration_s * 1000, 3),
        "observedUnit": "ms",
    }
    if state.checked_at:
        entry["time"] = iso(state.checked_at)
        entry["since"] = iso(state.since)
    if state.message:
        entry["output"] = state.message
    return entry


def iso(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC, to the millisecond."""
    text = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
