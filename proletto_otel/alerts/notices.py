"""Notices: what people are told about an alert, put together from threshold, value and origin.

How a notice looks as text, as Slack blocks and as JSON lives in `notify.notification`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proletto_otel.alerts.indicators import HEALTH_ALERT, Indicator, anchor
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.texts import human_duration
from proletto_otel.notify.notification import Notice

RUNBOOK = "docs/runbook.md"
MAX_DETAIL = 300

_TRACE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
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
    if limit is None:
        limit = threshold.warning if threshold.warning is not None else threshold.critical
    facts = {k: v[:MAX_DETAIL] for k, v in (facts or {}).items() if v}
    return Notice(
        event="resolved" if resolved else "firing",
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
    )


def _summary(
    threshold: Threshold, indicator: Indicator, resolved: bool, value: float | None,
    limit: float | None, lasted_s: float, facts: dict[str, str],
) -> str:  # fmt: skip
    if indicator.alert == HEALTH_ALERT:
        state = {0.0: "healthy", 1.0: "degraded", 2.0: "unhealthy"}.get(value or 0.0, "unknown")
        text = f"{indicator.title} is {state}"
        if resolved:
            return f"{text} again after {human_duration(lasted_s)}"
        return f"{text}: {facts['message']}" if facts.get("message") else text
    shown = "no data" if value is None else indicator.show(value)
    bound = "" if limit is None else indicator.show(limit)
    if resolved:
        return (
            f"{indicator.title} is back to {shown} after {human_duration(lasted_s)} (limit {bound})"
        )
    lasted = f" for {human_duration(lasted_s)}" if lasted_s >= 1 else ""
    return f"{indicator.title} is {shown}, {threshold.direction} {bound}{lasted}"
