"""Health: is it a dependency? Every check, its state, its history, its uptime."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proletto_otel.health.states import Transition
from proletto_otel.web.charts import small
from proletto_otel.web.pages import AdminPage, ages

if TYPE_CHECKING:
    from proletto_otel.monitoring.report import CheckReport
    from proletto_otel.web.asked import Asked

CELLS = 90
"""Cells of a history strip."""
MAX_CHANGES = 30


def read(asked: Asked) -> Mapping[str, Any]:
    """Every check."""
    health, chosen = asked.site.monitor.get_health(), asked.range
    rows, changes = [], []
    for check in health.checks:
        past = asked.site.monitor.health_history(check.name)
        cells = history(past, check, chosen.start, chosen.end)
        rows.append((check, small.strip(cells, f"{check.name} {chosen.words}")))
        changes += [t for t in past if t.at >= chosen.start]
    changes.sort(key=lambda t: -t.at)
    return {
        "health": health,
        "ages": {check.name: ages.of_check(asked.site, check) for check in health.checks},
        "rows": rows,
        "changes": _lasting(changes[:MAX_CHANGES]),
    }


def history(past: Sequence[Transition], check: CheckReport, start: float, end: float) -> list[str]:
    """The status of a check in each cell of the time from *start* to *end*: the worst in it."""
    worst = ("unhealthy", "degraded", "healthy", "unknown")
    now = time.time()
    spans = [(t.status, t.at) for t in past]
    if not spans and check.since:
        spans = [(check.status, check.since)]
    ends = [at for _, at in spans[1:]] + [now]
    width = (end - start) / CELLS
    cells = []
    for index in range(CELLS):
        left, right = start + index * width, start + (index + 1) * width
        here = {
            status
            for (status, begin), finish in zip(spans, ends, strict=True)
            if begin < right and finish > left
        }
        cells.append(next((status for status in worst if status in here), "unknown"))
    return cells


def _lasting(changes: Sequence[Transition]) -> list[dict[str, Any]]:
    """Changes, newest first, with how long the state before had lasted."""
    rows = []
    for index, change in enumerate(changes):
        before = next((c for c in changes[index + 1 :] if c.name == change.name), None)
        rows.append({
            "name": change.name, "at": change.at, "previous": change.previous,
            "status": change.status, "message": change.message,
            "lasted_s": change.at - before.at if before else None,
        })  # fmt: skip
    return rows


PAGE = AdminPage(
    path="/health", name="health", label="Health", key="h",
    description="Is it a dependency? Checks, their states and their history.",
    read=read, template="health.html",
)  # fmt: skip
