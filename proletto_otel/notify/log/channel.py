"""Alerts as log entries: a warning is a WARNING, a critical alert an ERROR, an end an INFO line.

Critical alerts are no CRITICAL records: those go to Slack by the log pipeline, and an alert that
goes there by itself would be sent twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from proletto_otel.core.severity import CRITICAL
from proletto_otel.core.texts import iso_time
from proletto_otel.notify.notification import RESOLVED, Notification

if TYPE_CHECKING:
    from proletto_otel.notify.channels import Needs

Log = Callable[[int, str, Mapping[str, Any]], None]
"""Writes one record: level, message, facts."""

LOGGER = "proletto.alerts"
"""Name of the logger; its records are not sent to Slack once more as errors."""


class LogChannel:
    """Writes every notification into the log."""

    name = "alert_log"

    def __init__(self, log: Log) -> None:
        self._log = log

    @classmethod
    def of(cls, needs: Needs) -> LogChannel | None:
        """Always, where there is a log."""
        return cls(needs.log) if needs.log is not None else None

    def wants(self, notification: Notification) -> bool:
        """Every notification."""
        return True

    def send(self, notification: Notification) -> None:
        """Write one record."""
        alert = notification.data.get("alert", notification.kind)
        level = logging.ERROR if notification.severity == CRITICAL else logging.WARNING
        if notification.event == RESOLVED:
            level = logging.INFO
        # An ERROR at most: CRITICAL records are sent to Slack, which has a channel of its own here.
        self._log(level, f"{alert}: {notification.text}", facts(notification))


def facts(notification: Notification) -> dict[str, Any]:
    """The facts of the record."""
    data = notification.data
    return {
        "component": "alerts",
        "alert": data.get("alert"),
        "alert_name": data.get("name"),
        "alert_event": notification.event,
        "severity": notification.severity,
        "value": data.get("value"),
        "unit": data.get("unit"),
        "threshold": data.get("limit"),
        "since": iso_time(notification.since),
        "runbook": notification.links.get("runbook", ""),
        **data.get("facts", {}),
    }
