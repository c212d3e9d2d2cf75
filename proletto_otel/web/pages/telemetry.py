"""Telemetry: can these pages be believed? Sinks, queues, losses, store, settings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from proletto_otel.logs.level_overrides import known_loggers
from proletto_otel.logs.shared_levels import LEVELS
from proletto_otel.web.pages import AdminPage
from proletto_otel.web.pages.completeness import dropped
from proletto_otel.web.pages.findings import findings
from proletto_otel.web.pages.retention import retention
from proletto_otel.web.pages.settings import settings
from proletto_otel.web.pages.workers import workers

if TYPE_CHECKING:
    from proletto_otel.state.thread_dumps import ThreadDump
    from proletto_otel.web.asked import Asked

CHANGES = 50
MAX_LOGGERS = 500
"""Names that the form completes; any other one can be typed."""
DURATIONS = {"30 minutes": 1800, "2 hours": 7200, "8 hours": 28_800, "24 hours": 86_400}
"""For how long a logger may have another level, seconds."""


def read(asked: Asked) -> Mapping[str, Any]:
    """What telemetry says about itself."""
    status = asked.site.status()
    store = asked.site.store
    return {
        "status": status,
        "records": status.get("records", {}),
        "signals": status.get("exporter", {}).get("signals", {}),
        "sinks": status.get("sinks", {}),
        "findings": findings(status),
        "dropped": [
            {"sink": sink, "reason": reason, "count": count}
            for (sink, reason), count in dropped(asked.site).items()
        ],
        "store_bytes": store.size_bytes() if store is not None else None,
        "workers": workers(asked.site),
        "retention": retention(asked.site),
        "settings": settings(asked.site.config),
        "audit": asked.site.audit.latest(CHANGES),
        **_levels(asked),
        "thread_dumps": _dumps(asked),
    }


def _levels(asked: Asked) -> dict[str, Any]:
    """Loggers with another level for a while, and what the form offers."""
    shared, now = asked.site.monitor.log_levels, time.time()
    held = shared.current() if shared is not None else []
    return {
        "log_levels": [{**asdict(level), "left_s": level.until - now} for level in held],
        "levels": LEVELS,
        "durations": DURATIONS,
        "loggers": known_loggers()[:MAX_LOGGERS],
    }


def _dumps(asked: Asked) -> list[dict[str, Any]]:
    """What was asked of workers; one that is gone does not answer any more."""
    dumps = asked.site.monitor.thread_dumps
    living = {life.pid for life in asked.site.monitor.get_workers() if life.ended is None}
    living |= {worker.pid for worker in workers(asked.site)}
    return [
        {"dump": dump, "state": _state(dump, dump.pid in living)}
        for dump in (dumps.latest() if dumps is not None else ())
    ]


def _state(dump: ThreadDump, lives: bool) -> str:
    if dump.answered is not None:
        return "answered"
    if not lives:
        return "worker gone"
    return "no answer" if dump.overdue else "waiting"


PAGE = AdminPage(
    path="/telemetry", name="telemetry", label="Telemetry", key="t",
    description="Can these pages be believed? What was written, what waits, what was lost.",
    read=read, template="telemetry.html", interval_s=5,
)  # fmt: skip
