"""Alerts as log entries: a warning is a WARNING, a critical alert an ERROR, an end an INFO line.

Critical alerts are no CRITICAL records: those go to Slack by the log pipeline, and an alert that
goes there by itself would be told twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from proletto_otel.core.severity import CRITICAL
from proletto_otel.core.texts import iso_time
from proletto_otel.notify.notification import Notice

Log = Callable[[int, str, Mapping[str, Any]], None]
"""Writes one record: level, message, facts."""

LOGGER = "proletto.alerts"


class LogChannel:
    """Writes every notice into the log."""

    name = "alert_log"

    def __init__(self, log: Log) -> None:
        self._log = log

    def wants(self, notice: Notice) -> bool:
        """Every notice."""
        return True

    def send(self, notice: Notice) -> None:
        """Write one record."""
        self._log(_level(notice), f"{notice.alert}: {notice.summary}", _facts(notice))


def _level(notice: Notice) -> int:
    if notice.event == "resolved":
        return logging.INFO
    return logging.ERROR if notice.severity == CRITICAL else logging.WARNING


def _facts(notice: Notice) -> dict[str, Any]:
    return {
        "component": "alerts",
        "alert": notice.alert,
        "alert_name": notice.name,
        "alert_event": notice.event,
        "severity": notice.severity,
        "value": notice.value,
        "unit": notice.unit,
        "threshold": notice.limit,
        "since": iso_time(notice.since),
        "runbook": notice.links.get("runbook", ""),
        **notice.facts,
    }
