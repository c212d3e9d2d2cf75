"""What a health check may answer, and how an answer is read.

How answers become a state over time lives in `health.states`.
"""

from __future__ import annotations

from collections.abc import Mapping

from proletto_otel.core.record import record

HEALTHY = "healthy"
DEGRADED = "degraded"
UNHEALTHY = "unhealthy"
UNKNOWN = "unknown"

STATUSES = (HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN)
"""Best first, `unknown` last."""

_WORDS = {word: word for word in STATUSES}
_WORDS |= {"ok": HEALTHY, "pass": HEALTHY, "up": HEALTHY, "warn": DEGRADED}
_WORDS |= {"fail": UNHEALTHY, "down": UNHEALTHY, "error": UNHEALTHY}

MAX_MESSAGE = 500
"""Characters of a check's message that are stored."""


@record(frozen=True, slots=True)
class HealthResult:
    """What a check found out.

    A check may also return True or None (healthy), False (unhealthy), a status word, or raise.
    """

    status: str
    """`healthy`, `degraded`, `unhealthy` or `unknown`."""

    message: str = ""
    """One line for people with access; anonymous callers never see it."""


@record(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run of a check."""

    name: str
    """The check."""

    status: str
    """One of `STATUSES`."""

    message: str = ""
    """Why, in one line."""

    duration_s: float = 0.0
    """How long it took, seconds; the deadline when it did not come back."""

    timed_out: bool = False
    """Whether the deadline passed."""


def read(answer: object) -> HealthResult:
    """Turn whatever a check returned into a result; what cannot be read is unhealthy."""
    # By identity: a 1 or a client object that a check returns by mistake is no "all is well".
    if answer is None or answer is True:
        return HealthResult(HEALTHY)
    if answer is False:
        return HealthResult(UNHEALTHY, "the check returned False")
    if isinstance(answer, HealthResult):
        return _checked(answer.status, answer.message)
    if isinstance(answer, Mapping):
        return _checked(answer.get("status"), answer.get("message", ""))
    return _checked(answer, "")


def _checked(status: object, message: object) -> HealthResult:
    word = _WORDS.get(status.strip().lower()) if isinstance(status, str) else None
    if word is None:
        kind = type(status).__name__
        return HealthResult(
            UNHEALTHY, f"the check returned {kind}; expected a bool, None, HealthResult or a status"
        )
    return HealthResult(word, message if isinstance(message, str) else "")
