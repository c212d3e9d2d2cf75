"""Who looks at the admin pages, and what they may do there."""

from __future__ import annotations

from proletto_otel.core.record import record

VIEWER = "viewer"
"""Reads everything, changes nothing."""
OPERATOR = "operator"
"""May change what pages offer to change."""


@record(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A person or a program that was let in."""

    name: str
    """What the audit and the history of an error call them."""

    role: str
    """`viewer` or `operator`."""

    way: str
    """What let them in: `bearer`, `basic`, `session`, `authorize`, `login`, `local`."""

    @property
    def may_change(self) -> bool:
        """Whether actions are offered and carried out."""
        return self.role == OPERATOR

    @property
    def is_ambient(self) -> bool:
        """Whether a browser adds the credentials by itself, so that forms need a token."""
        return self.way != "bearer"
