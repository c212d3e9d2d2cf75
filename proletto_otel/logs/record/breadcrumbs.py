"""Breadcrumbs: the log events of a request before its error, as they are stored with it.

They are collected by `logs.record.builder`.
"""

from __future__ import annotations

import datetime
from typing import Any

from proletto_otel.core.conventions import LEVEL, LOGGER_NAME, MESSAGE, TIMESTAMP
from proletto_otel.logs.record.record import Record

MAX_MESSAGE = 1000


def crumb(record: Record) -> dict[str, Any]:
    """A breadcrumb as it is stored with an error."""
    when = datetime.datetime.fromtimestamp(record.time_ns / 1e9, datetime.timezone.utc)
    return {
        TIMESTAMP: when.isoformat(timespec="milliseconds"),
        LEVEL: record.level_name,
        LOGGER_NAME: record.logger,
        # Cut: ten of them are stored with each error.
        MESSAGE: record.message[:MAX_MESSAGE],
        "facts": record.fields,
    }
