"""The worker processes of the host: what each uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proletto_otel.core.conventions import (
    PROCESS_CPU_UTILIZATION,
    PROCESS_MEMORY_USAGE,
    PROCESS_OPEN_FILES,
    PROCESS_PID,
    PROCESS_THREAD_COUNT,
)
from proletto_otel.state.alive import ALIVE_S
from proletto_otel.state.worker_lives import ENDED
from proletto_otel.web.pages.ages import Age, age

if TYPE_CHECKING:
    from proletto_otel.state.readings import Annotation
    from proletto_otel.web.site import Site

COLUMNS = {
    PROCESS_CPU_UTILIZATION.name: "cpu",
    PROCESS_MEMORY_USAGE.name: "memory",
    PROCESS_OPEN_FILES.name: "files",
    PROCESS_THREAD_COUNT.name: "threads",
}


@dataclass(slots=True, kw_only=True)
class Worker:
    """One process."""

    pid: int
    version: str = ""
    """Of the application; empty where it is not set."""
    started: float | None = None
    """Unix seconds."""
    cpu: float | None = None
    """Share of one core, 0 to 1 and above."""
    memory: float | None = None
    """Resident bytes."""
    files: float | None = None
    threads: float | None = None
    age: Age | None = None
    """Of its values; None: not known."""


MAX_ENDED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedWorkers:
    """Workers that ended in a time: replaced, killed, or gone with a deploy."""

    count: int
    latest: Sequence[Annotation]
    """The last of them, newest first."""


def ended(site: Site, start: float, end: float) -> EndedWorkers:
    """Those of the time from *start* to *end*, unix seconds."""
    found = site.monitor.annotations(start, end, kind=ENDED)
    return EndedWorkers(count=len(found), latest=found[::-1][:MAX_ENDED])


def workers(site: Site) -> list[Worker]:
    """Every process that publishes, in order of its ID."""
    found: dict[int, Worker] = {}
    for family in site.recent_families():
        column = COLUMNS.get(family.name)
        if column is None:
            continue
        for point in family.points:
            pid = dict(point.attributes).get(PROCESS_PID)
            if isinstance(pid, int):
                worker = found.setdefault(pid, Worker(pid=pid))
                setattr(worker, column, point.value)
    for life in site.monitor.get_workers():
        if life.pid in found:
            found[life.pid].started, found[life.pid].version = life.started, life.version
    for pid, at in site.published().items():
        if pid in found:
            found[pid].age = age(at, ALIVE_S)
    return [found[pid] for pid in sorted(found)]
