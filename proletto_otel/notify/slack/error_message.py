"""What Slack shows of an error: a first message, a summary of what was held back, an end.

Everything that came from outside is escaped: nothing in it becomes a mention or a link. When a
message is due is the business of `notify.error_notifier`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any
from urllib.parse import quote

from proletto_otel.core.config import Config
from proletto_otel.core.conventions import COMPONENT
from proletto_otel.core.texts import human_duration, iso_time
from proletto_otel.logs.record.record import Record

FIRST, SUMMARY, RESOLVED = "first", "summary", "resolved"

MAX_BLOCK = 2900
"""Slack refuses blocks of more than 3,000 characters."""
MAX_HEADER = 150
MAX_NAME = 80
MAX_FIELD = 300
MAX_SAMPLE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The record that stands for all of its fingerprint; plain texts, kept in the host's store."""

    fingerprint: str = ""
    level: str = ""
    logger: str = ""
    message: str = ""
    error: str = ""
    """Type of the exception."""
    detail: str = ""
    """Its message."""
    where: str = ""
    component: str = ""
    request_id: str = ""
    trace_id: str = ""
    environment: str = ""

    @classmethod
    def of(cls, record: Record) -> Sample:
        """What is kept of *record*."""
        error = record.exception
        return cls(
            fingerprint=record.fingerprint,
            level=record.level_name,
            logger=record.logger,
            message=record.message[:MAX_SAMPLE],
            error=error.type if error else "",
            detail=error.message[:MAX_SAMPLE] if error else "",
            where=(error.where if error else "") or f"{record.module}:{record.function}",
            component=str(record.fields.get(COMPONENT) or "")[:MAX_FIELD],
            request_id=record.request_id,
            trace_id=record.trace_id,
            environment=record.environment,
        )

    @classmethod
    def load(cls, data: dict[str, Any]) -> Sample:
        """A sample from the store, of this release or another."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: str(value) for name, value in data.items() if name in known})

    def dump(self) -> dict[str, str]:
        """Plain data for the store."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorNotification:
    """One message that is due."""

    kind: str
    """`first`, `summary` or `resolved`."""
    sample: Sample
    count: int
    """Records it stands for; of a resolved one, all of them."""
    since: float
    """Unix time of the first record."""
    window_s: float


Render = Callable[[ErrorNotification], tuple[str, list[dict[str, Any]]]]
"""Makes text and blocks of a note; the text is escaped by whoever makes it."""


class ErrorMessage:
    """The default rendering.

    Args:
        config: Service, and the templates of the links: `PROLETTO_TRACE_URL` and
            `PROLETTO_DASHBOARD_URL` may hold `{trace_id}`, `{request_id}` and `{fingerprint}`.
    """

    def __init__(self, config: Config, host: str = "") -> None:
        self._service = config.service_name
        self._environment = config.environment
        self._host = host or socket.gethostname()
        self._trace_url = config.trace_url
        self._dashboard_url = config.dashboard_url

    def __call__(self, note: ErrorNotification) -> tuple[str, list[dict[str, Any]]]:
        """Text for notifications, and the blocks."""
        sample = note.sample
        title = self.title(note)
        said = f"{sample.detail or sample.message}"
        text = inert(f"{title}: {said}"[:MAX_FIELD])
        blocks: list[dict[str, Any]] = [
            {"type": "header", "text": _plain(title, MAX_HEADER)},
            {"type": "section", "text": _plain(self._body(note), MAX_BLOCK)},
        ]
        if note.kind == FIRST:
            rows = [_plain(f"{k}: {v}", MAX_FIELD) for k, v in self._rows(note) if v]
            blocks.append({"type": "section", "fields": rows[:10]})
        links = self._links(sample)
        if links:
            context = {"type": "mrkdwn", "text": links, "verbatim": True}
            blocks.append({"type": "context", "elements": [context]})
        return text, blocks

    def title(self, note: ErrorNotification) -> str:
        """One line: mark, level, service and error."""
        sample = note.sample
        name = sample.error.rpartition(".")[2] or sample.message[:MAX_NAME]
        if note.kind == RESOLVED:
            return f"✅ RESOLVED · {self._service}: {name}"
        times = f" ×{note.count}" if note.kind == SUMMARY else ""
        return f"🔴 {sample.level}{times} · {self._service}: {name}"

    def _body(self, note: ErrorNotification) -> str:
        sample = note.sample
        said = sample.message + (f"\n{sample.error}: {sample.detail}" if sample.error else "")
        if note.kind == SUMMARY:
            more = f"{note.count} more in the last {human_duration(note.window_s)}"
            return f"{more}, held back here.\n{said}"
        if note.kind == RESOLVED:
            quiet = f"Quiet for {human_duration(note.window_s)}; {note.count} in all since"
            return f"{quiet} {iso_time(note.since)}.\n{said}"
        return said

    def _rows(self, note: ErrorNotification) -> list[tuple[str, str]]:
        sample = note.sample
        return [
            ("service", self._service),
            ("environment", sample.environment or self._environment),
            ("host", self._host),
            ("where", sample.where),
            ("component", sample.component),
            ("request ID", sample.request_id),
            ("trace ID", sample.trace_id),
            ("fingerprint", sample.fingerprint),
            ("at", iso_time(note.since)),
        ]

    def _links(self, sample: Sample) -> str:
        links = []
        if self._trace_url and sample.trace_id:
            links.append(_link(self._trace_url, "trace", sample))
        if self._dashboard_url:
            links.append(_link(self._dashboard_url, "dashboard", sample))
        return " · ".join(links)


def escape(text: str) -> str:
    """*text* so that Slack reads no mention, link or entity in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def inert(text: str) -> str:
    """As `escape`, for texts in which Slack makes links of bare addresses and names, too."""
    return escape(text).replace("://", ":\u200b//").replace("@", "@\u200b")


def _plain(text: str, limit: int) -> dict[str, Any]:
    """A plain text object: no markup is read in it; entities are, so they are escaped."""
    shown = escape(text[:limit])
    while len(shown) > limit:
        text = text[: -max((len(shown) - limit) // 5, 1)]
        shown = escape(text[:limit])
    return {"type": "plain_text", "text": shown or " ", "emoji": False}


def _link(template: str, label: str, sample: Sample) -> str:
    url = template
    for name in ("trace_id", "request_id", "fingerprint"):
        url = url.replace(f"{{{name}}}", quote(getattr(sample, name), safe=""))
    return f"<{escape(url).replace('|', '%7C')}|{label}>"
