"""What is read of the past of requests.

They have a module of their own, so that no program imports them that reads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestExample:
    """One request, and how to find it."""

    time: float
    """When it was over, unix seconds."""
    request_id: str
    method: str
    route: str | None
    """Template; None: no route matched."""
    status: int
    seconds: float
    """How long it took."""
    error: str
    """Type of the exception, or the status; empty for one that did not fail."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCount:
    """How many requests of a time were answered with one status."""

    status: str
    """`404`. `4xx`: further codes of this class, or those that are not stored. `other`: none was
    sent."""
    count: int
    share: float
    """Of all requests of the time, 0 to 1."""
    is_code_stored: bool = True
    """False: an earlier release stored these requests with the class of their status alone."""
