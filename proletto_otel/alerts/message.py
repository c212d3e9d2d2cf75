"""Messages: what a person is told about an alert, as text, as Slack blocks and as JSON."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from proletto_otel.alerts.indicators import HEALTH_ALERT, Indicator, anchor
from proletto_otel.alerts.thresholds import CRITICAL, OK, Threshold

RUNBOOK = "docs/runbook.md"
MAX_BLOCK = 2900
"""Slack refuses blocks of more than 3,000 characters."""
MAX_DETAIL = 300

_TRACE_ID = re.compile(r"[0-9a-f]{32}")

_MARK = {OK: "✅", "warning": "⚠️", CRITICAL: "🔴"}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that people are told once."""

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

    @property
    def title(self) -> str:
        """One line: mark, severity, alert and service."""
        word = "RESOLVED" if self.event == "resolved" else self.severity.upper()
        mark = _MARK[OK if self.event == "resolved" else self.severity]
        return f"{mark} {word} {self.alert} · {self.service}"

    def as_json(self) -> dict[str, Any]:
        """Plain data for a webhook; times as ISO 8601."""
        data = asdict(self)
        data.update(title=self.title, since=moment(self.since), at=moment(self.at))
        return data


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
            return f"{text} again after {span(lasted_s)}"
        return f"{text}: {facts['message']}" if facts.get("message") else text
    shown = "no data" if value is None else indicator.show(value)
    bound = "" if limit is None else indicator.show(limit)
    if resolved:
        return f"{indicator.title} is back to {shown} after {span(lasted_s)} (limit {bound})"
    lasted = f" for {span(lasted_s)}" if lasted_s >= 1 else ""
    return f"{indicator.title} is {shown}, {threshold.direction} {bound}{lasted}"


def text(notice: Notice) -> str:
    """Plain text for an email or a terminal."""
    lines = [notice.title, "", notice.summary, ""]
    lines += [f"{label}: {value}" for label, value in _rows(notice)]
    lines += [f"{label}: {url}" for label, url in notice.links.items()]
    return "\n".join(lines) + "\n"


def slack_blocks(notice: Notice) -> list[dict[str, Any]]:
    """Slack blocks: values as plain text, so that nothing in them is a mention or a link."""
    rows = "\n".join(f"{label}: {value}" for label, value in _rows(notice))
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(notice.title[:150])},
        {"type": "section", "text": _plain(notice.summary[:MAX_BLOCK])},
        {"type": "section", "text": _plain(rows[:MAX_BLOCK])},
    ]
    urls = {k: u for k, u in notice.links.items() if u.startswith(("https://", "http://"))}
    if urls:
        links = " · ".join(f"<{_escape(url)}|{_escape(label)}>" for label, url in urls.items())
        blocks.append(
            {"type": "context", "elements": [{"type": "mrkdwn", "text": links[:MAX_BLOCK]}]}
        )
    return blocks


def slack_text(notice: Notice) -> str:
    """The line Slack shows in notifications."""
    return _escape(f"{notice.title}: {notice.summary}")[:MAX_BLOCK]


def _rows(notice: Notice) -> list[tuple[str, str]]:
    rows = [
        ("since", moment(notice.since)),
        ("service", notice.service),
        ("environment", notice.environment),
        ("host", notice.host),
    ]
    return rows + [(label.replace("_", " "), value) for label, value in notice.facts.items()]


def _plain(value: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": value, "emoji": True}


def _escape(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def moment(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC."""
    made = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")
    return made.replace("+00:00", "Z")


def span(seconds: float) -> str:
    """Seconds as a person says them: `45 s`, `5 min`, `2 h 10 min`, `3 d`."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    if whole < 86400:
        hours, rest = divmod(whole, 3600)
        return f"{hours} h {rest // 60} min" if rest >= 60 else f"{hours} h"
    return f"{whole // 86400} d"
