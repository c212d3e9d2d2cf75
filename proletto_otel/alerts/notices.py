"""Notices: the content of one message about an alert, made of threshold, value and origin.

How a notice is shown in Slack, in an email and in the log lives in `notify`.
"""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Any

from proletto_otel.alerts.indicators import (
    HEALTH_ALERT,
    UNEVALUATED_ALERT,
    Indicator,
    anchor,
)
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.record import record
from proletto_otel.core.severity import CRITICAL, OK, WARNING
from proletto_otel.core.texts import human_duration, iso_time
from proletto_otel.notify.notification import ALERT, FIRING, RESOLVED, Notification

RUNBOOK = "docs/runbook.md"
MAX_DETAIL = 300

_MARK = {OK: "✅", WARNING: "⚠️", CRITICAL: "🔴"}
_TRACE_ID = lazy_pattern(r"[0-9a-f]{32}")


@record(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message about an alert, sent once through each channel."""

    event: str
    """`firing` or `resolved`."""

    severity: str
    """`warning` or `critical`; of a resolved alert, what it was."""

    alert: str
    """CamelCase name; the heading in the runbook."""

    name: str
    """The threshold's name: `cpu_percent`, `health:database`."""

    summary: str
    """One sentence with value, unit, limit and time."""

    value: float | None
    unit: str
    limit: float | None
    """The limit that was passed, in `unit`."""

    since: float
    """When the limit was first passed, unix seconds."""

    at: float
    """When this was decided, unix seconds."""

    host: str
    service: str
    environment: str
    links: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    """More to know: the last error's request ID, what a check said."""

    subject: str = ""
    """What the title names; empty: `alert`."""

    @property
    def title(self) -> str:
        """One line: mark, severity, alert and service."""
        resolved = self.event == RESOLVED
        subject = self.subject or self.alert
        word = "RESOLVED" if resolved else self.severity.upper()
        return f"{_MARK[OK if resolved else self.severity]} {word} {subject} · {self.service}"

    def as_notification(self) -> Notification:
        """The form that channels send."""
        rows = [
            ("since", iso_time(self.since)),
            ("service", self.service),
            ("environment", self.environment),
            ("host", self.host),
            *((label.replace("_", " "), value) for label, value in self.facts.items()),
        ]
        return Notification(
            kind=ALERT, event=self.event, severity=self.severity, title=self.title,
            summary=self.summary, rows=rows, links=self.links, since=self.since, at=self.at,
            data=asdict(self),
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Plain data; times as ISO 8601."""
        return self.as_notification().as_json()


@record(frozen=True, slots=True, kw_only=True)
class PastNotice(Notice):
    """A notice as it is stored, with who got it."""

    channels: tuple[str, ...] = ()
    """Channels that it was handed to; empty: an earlier release stored it."""


@record(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where alerts come from, the same for all of a process."""

    service: str
    environment: str
    host: str
    dashboard_url: str = ""
    """Public address of the admin pages."""
    runbook_url: str = ""
    """Base of runbook links; empty: the file in this project."""
    trace_url: str = ""
    """Link to a trace, with `{trace_id}` in it."""

    def links(self, alert: str, facts: dict[str, str]) -> dict[str, str]:
        """The links of an alert's message; a request ID of ours is a trace ID as well."""
        links = {"runbook": f"{self.runbook_url or RUNBOOK}#{anchor(alert)}"}
        if self.dashboard_url:
            links["dashboard"] = self.dashboard_url
        # Without an incoming ID the request ID is the trace ID; a caller may send any text as one.
        request_id = facts.get("error_request_id") or facts.get("slow_request_id") or ""
        if self.trace_url and _TRACE_ID.fullmatch(request_id):
            links["trace"] = self.trace_url.replace("{trace_id}", request_id)
        return links


def notice(
    threshold: Threshold, indicator: Indicator, origin: Origin, *,
    severity: str, resolved: bool, value: float | None, since: float, at: float,
    facts: dict[str, str] | None = None,
) -> Notice:  # fmt: skip
    """Put a notice together."""
    limit = threshold.limit(severity)
    # A critical alert that fell to warning may end at a level without a limit of its own.
    if limit is None:
        limit = threshold.warning if threshold.warning is not None else threshold.critical
    # An empty fact would be an empty row. The limit protects Slack's 3,000 characters per block.
    facts = {k: v[:MAX_DETAIL] for k, v in (facts or {}).items() if v}
    return Notice(
        event=RESOLVED if resolved else FIRING,
        severity=severity,
        alert=indicator.alert,
        name=threshold.name,
        summary=_summary(threshold, indicator, resolved, value, limit, at - (since or at), facts),
        value=value,
        unit=indicator.unit,
        limit=limit,
        since=since or at,
        at=at,
        host=origin.host,
        service=origin.service,
        environment=origin.environment,
        links=origin.links(indicator.alert, facts),
        facts=facts,
        subject=indicator.subject,
    )


def _summary(
    threshold: Threshold, indicator: Indicator, resolved: bool, value: float | None,
    limit: float | None, lasted_s: float, facts: dict[str, str],
) -> str:  # fmt: skip
    # A check's value is a state, not a quantity: "2, above 1.5" would mean nothing to a reader.
    if indicator.alert == HEALTH_ALERT:
        state = {0.0: "healthy", 1.0: "degraded", 2.0: "unhealthy"}.get(value or 0.0, "unknown")
        text = f"{indicator.title} is {state}"
        if resolved:
            return f"{text} again after {human_duration(lasted_s)}"
        return f"{text}: {facts['message']}" if facts.get("message") else text
    if indicator.alert == UNEVALUATED_ALERT:
        if resolved:
            return "Everything that is registered is evaluated again"
        return f"No process evaluates {facts.get('not_evaluated', 'some registrations')}"
    shown = "no data" if value is None else indicator.show(value)
    bound = "" if limit is None else indicator.show(limit)
    if resolved:
        return (
            f"{indicator.title} is back to {shown} after {human_duration(lasted_s)} (limit {bound})"
        )
    # a threshold without duration fires in its first second: "for 0 s" would only be noise
    lasted = f" for {human_duration(lasted_s)}" if lasted_s >= 1 else ""
    return f"{indicator.title} is {shown}, {threshold.direction} {bound}{lasted}"
