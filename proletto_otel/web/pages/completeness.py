"""What a page stands on: since when, which workers, what was dropped."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proletto_otel.core.conventions import TELEMETRY_DROPPED
from proletto_otel.web.pages.workers import ended, workers

if TYPE_CHECKING:
    from proletto_otel.web.site import Site

SHOWN_S = 7 * 86_400.0
"""How long pages tell of a store that was lost."""
ENDED_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """The last line of every page."""

    since: float | None
    """The oldest value that is stored, unix seconds."""

    workers: int
    """Processes with numbers in what the page shows."""

    ended: int
    """Workers that ended in the last five minutes: some values begin anew."""

    dropped: int
    """Records and spans that telemetry dropped since the workers began."""

    store_error: str
    """Why values of the past may be missing; empty: they are not."""

    lost_before: float | None
    """When a corrupt store was set aside and a new one begun, unix seconds; None: not lately."""


def completeness(site: Site) -> Completeness:
    """What every page stands on now."""
    status = site.status()
    store = status.get("store", {})
    error = str(store.get("last_error", ""))
    if not error and not store.get("shared", True):
        error = "no store is shared by the workers: this is what one of them measured itself"
    return Completeness(
        since=site.past.since(),
        workers=len(workers(site)),
        ended=ended(site, time.time() - ENDED_S, time.time()).count,
        dropped=sum(dropped(site).values()),
        store_error=error,
        lost_before=_set_aside(status.get("state_dir"), time.time()),
    )


def _set_aside(state: Any, now: float) -> float | None:
    """When `state.store` set a corrupt store aside; it names the file after the time."""
    if not state:
        return None
    times = [
        float(path.name.rpartition("-")[2])
        for path in Path(str(state)).glob("store.sqlite.corrupt-*")
        if path.name.rpartition("-")[2].isdecimal()
    ]
    newest = max(times, default=0.0)
    return newest if newest > now - SHOWN_S else None


def dropped(site: Site) -> dict[tuple[str, str], int]:
    """What telemetry dropped, by sink and reason, over all workers."""
    found: dict[tuple[str, str], int] = {}
    for family in site.recent_families():
        if family.name == TELEMETRY_DROPPED.name:
            for point in family.points:
                named = dict(point.attributes)
                key = (str(named.get("sink", "")), str(named.get("reason", "")))
                found[key] = found.get(key, 0) + int(point.value)  # type: ignore[arg-type]  # a counter
    return {key: count for key, count in found.items() if count}
