"""Messages: what a person is told about an alert, as text, as Slack blocks and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from proletto_otel.core.severity import CRITICAL, OK
from proletto_otel.core.texts import iso_time

MAX_BLOCK = 2900
"""Slack refuses blocks of more than 3,000 characters."""

_MARK = {OK: "✅", "warning": "⚠️", CRITICAL: "🔴"}


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
        data.update(title=self.title, since=iso_time(self.since), at=iso_time(self.at))
        return data


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
        ("since", iso_time(notice.since)),
        ("service", notice.service),
        ("environment", notice.environment),
        ("host", notice.host),
    ]
    return rows + [(label.replace("_", " "), value) for label, value in notice.facts.items()]


def _plain(value: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": value, "emoji": True}


def _escape(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
