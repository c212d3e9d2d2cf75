"""Notifications: messages to people, in one form for alerts and for errors.

An alert's notice (`alerts.notices`) and an error that is due (`notify.error_notification`) become
one. Its form is each receiver's business: `notify.slack`, `.email`, `.webhook` and `.log` hold
one rendering each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from typing import Any

from proletto_otel.core.record import record
from proletto_otel.core.texts import iso_time

ALERT, ERROR = "alert", "error"
"""The kinds of notifications."""
FIRING, RESOLVED = "firing", "resolved"
"""Events of an alert; an error ends as `resolved`, too."""
FIRST, SUMMARY = "first", "summary"
"""Events of an error: it is new, or it came again and again."""


@record(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message to people, sent once."""

    kind: str
    """`alert` or `error`."""

    event: str
    """`firing`, `first`, `summary` or `resolved`."""

    severity: str
    """`warning` or `critical`; of an error its level in lower case."""

    title: str
    """One line: mark, severity, what, which service."""

    summary: str
    """One sentence that adds to the title; empty when the title says it all."""

    body: str = ""
    """What is shown below the title; empty: the summary."""

    rows: Sequence[tuple[str, str]] = ()
    """Label and value: since when, service, host, request ID …"""

    links: Mapping[str, str] = field(default_factory=dict)
    """URL by label."""

    since: float
    """When it began, unix seconds."""

    at: float
    """When this was decided, unix seconds."""

    data: Mapping[str, Any] = field(default_factory=dict)
    """What programs read: the fields of the notice or of the error, JSON types."""

    @property
    def text(self) -> str:
        """What stands below the title."""
        return self.body or self.summary

    def as_json(self) -> dict[str, Any]:
        """Plain data for a webhook and for the admin API; times as ISO 8601."""
        return {
            "kind": self.kind,
            "event": self.event,
            "severity": self.severity,
            "title": self.title,
            "summary": self.summary,
            "links": dict(self.links),
            **self.data,
            "since": iso_time(self.since),
            "at": iso_time(self.at),
        }

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> Notification:
        """A notification that was written as JSON.

        Raises:
            TypeError: when another release wrote it, and it lacks a field.
        """
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})
