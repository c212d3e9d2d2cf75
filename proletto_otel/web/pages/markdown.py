"""Everything about an error as Markdown, to paste into an issue."""

from __future__ import annotations

from proletto_otel.core.texts import iso_time
from proletto_otel.errors.group_rows import ErrorGroup

MAX_CRUMBS = 20


def error_as_markdown(group: ErrorGroup, service: str) -> str:
    """Heading, numbers, traceback, the log lines before it."""
    sample = group.sample or {}
    exception = sample.get("exception") or {}
    lines = [
        f"## {group.type or group.level}: {_line(group.message)}",
        "",
        f"- Service: {service}",
        f"- Where: `{group.location}`",
        f"- Occurrences: {group.count}, from {iso_time(group.first_seen)} to"
        f" {iso_time(group.last_seen)}",
        f"- State: {group.status}",
        f"- Fingerprint: `{group.fingerprint}`",
        f"- Latest request ID: `{group.request_id or '–'}`",
    ]
    traceback = "\n".join(exception.get("traceback") or ())
    if traceback:
        fence = _fence(traceback)
        lines += ["", fence, traceback, fence]
    crumbs = list(sample.get("breadcrumbs") or ())[-MAX_CRUMBS:]
    if crumbs:
        lines += ["", "Before it:", ""]
        lines += [
            f"- {c.get('timestamp', '')} {c.get('level', '')} {_line(str(c.get('message', '')))}"
            for c in crumbs
        ]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def _fence(text: str) -> str:
    """A fence that the text does not contain."""
    fence = "```"
    while fence in text:
        fence += "`"
    return fence
