"""Notifications about an error: a first message, a summary of what was held back, an end.

When a message is due is the business of `notify.error_claims`; its form, of the receiver.
"""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass, fields
from typing import Any
from urllib.parse import quote

from proletto_otel.core.config import Config
from proletto_otel.core.conventions import COMPONENT
from proletto_otel.core.grafana import trace_link
from proletto_otel.core.texts import human_duration, iso_time
from proletto_otel.logs.record.record import Record
from proletto_otel.notify.notification import ERROR, FIRST, RESOLVED, SUMMARY, Notification

MAX_NAME = 80
"""Characters of a message that may stand in the title."""
MAX_ROW = 300
MAX_SAMPLE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The record that represents all records of its fingerprint, as texts for the host's store."""

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
        """The parts of *record* that messages show."""
        error = record.exception
        return cls(
            fingerprint=record.fingerprint,
            level=record.level_name,
            logger=record.logger,
            message=record.message[:MAX_SAMPLE],
            error=error.type if error else "",
            detail=error.message[:MAX_SAMPLE] if error else "",
            where=(error.where if error else "") or f"{record.module}:{record.function}",
            component=str(record.fields.get(COMPONENT) or "")[:MAX_ROW],
            request_id=record.request_id,
            trace_id=record.trace_id,
            environment=record.environment,
        )

    @property
    def name(self) -> str:
        """What the title calls the error: its type, else a short message, else where it was."""
        if self.error:
            return self.error.rpartition(".")[2]
        fits = len(self.message) <= MAX_NAME and "\n" not in self.message
        return self.message if fits else self.where

    @classmethod
    def load(cls, data: dict[str, Any]) -> Sample:
        """A sample from the store, of this release or another."""
        # Another release may have written fields that this one does not have, and the other way.
        known = {field.name for field in fields(cls)}
        return cls(**{name: str(value) for name, value in data.items() if name in known})

    def dump(self) -> dict[str, str]:
        """Plain data for the store."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorClaim:
    """One message about an error that this worker has to send."""

    event: str
    """`first`, `summary` or `resolved`."""
    sample: Sample
    count: int
    """Records it stands for; of a resolved one, all of them."""
    since: float
    """Unix time of the first record."""
    window_s: float
    """Seconds in which a repeated error is held back."""


class ErrorNotifications:
    """Makes the notification of a claim.

    Args:
        config: Service, and the templates of the links: `PROLETTO_TRACE_URL` and
            `PROLETTO_DASHBOARD_URL` may hold `{trace_id}`, `{request_id}` and `{fingerprint}`.
    """

    def __init__(self, config: Config, host: str = "") -> None:
        self._service = config.service_name
        self._environment = config.environment
        self._host = host or socket.gethostname()
        self._trace_url = trace_link(config)
        self._dashboard_url = config.dashboard_url

    def __call__(self, claim: ErrorClaim) -> Notification:
        """The notification of *claim*."""
        sample = claim.sample
        name = sample.name
        said = "" if name == sample.message else sample.message
        if sample.error:
            said = f"{said}\n{sample.error}: {sample.detail}"
        return Notification(
            kind=ERROR,
            event=claim.event,
            severity=sample.level.lower(),
            title=self._title(claim, name),
            summary=sample.detail or said,
            body="\n".join(part for part in (_repeats(claim), said) if part),
            # Only in the first message: the later ones are about the same error.
            rows=self._rows(claim) if claim.event == FIRST else (),
            links=self._links(sample),
            since=claim.since,
            at=claim.since,
            data={**asdict(sample), "count": claim.count, "service": self._service,
                  "host": self._host,
                  "environment": sample.environment or self._environment},
        )  # fmt: skip

    def _title(self, claim: ErrorClaim, name: str) -> str:
        if claim.event == RESOLVED:
            return f"✅ RESOLVED · {self._service}: {name}"
        times = f" ×{claim.count}" if claim.event == SUMMARY else ""
        return f"🔴 {claim.sample.level}{times} · {self._service}: {name}"

    def _rows(self, claim: ErrorClaim) -> list[tuple[str, str]]:
        sample = claim.sample
        rows = [
            ("service", self._service),
            ("environment", sample.environment or self._environment),
            ("host", self._host),
            ("where", sample.where),
            ("component", sample.component),
            ("request ID", sample.request_id),
            ("trace ID", sample.trace_id),
            ("fingerprint", sample.fingerprint),
            ("at", iso_time(claim.since)),
        ]
        return [(label, value[:MAX_ROW]) for label, value in rows if value]

    def _links(self, sample: Sample) -> dict[str, str]:
        links = {}
        if self._trace_url and sample.trace_id:
            links["trace"] = _filled(self._trace_url, sample)
        if self._dashboard_url:
            links["dashboard"] = _filled(self._dashboard_url, sample)
        return links


def _repeats(claim: ErrorClaim) -> str:
    if claim.event == SUMMARY:
        window = human_duration(claim.window_s)
        return f"{claim.count} more in the last {window}, held back here."
    if claim.event == RESOLVED:
        quiet = f"Quiet for {human_duration(claim.window_s)}; {claim.count} in all since"
        return f"{quiet} {iso_time(claim.since)}."
    return ""


def _filled(template: str, sample: Sample) -> str:
    # quoted: an ID that came from outside must not change the address
    url = template
    for name in ("trace_id", "request_id", "fingerprint"):
        url = url.replace(f"{{{name}}}", quote(getattr(sample, name), safe=""))
    return url
