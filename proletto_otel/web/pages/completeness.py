"""What a page stands on: since when, which workers, what was dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proletto_otel.core.conventions import TELEMETRY_DROPPED

if TYPE_CHECKING:
    from proletto_otel.web.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """The last line of every page."""

    since: float | None
    """The oldest value that is stored, unix seconds."""

    workers: int
    """Processes whose numbers are in what the page shows."""

    dropped: int
    """Records and spans that telemetry dropped since the workers began."""

    store_error: str
    """Why values of the past may be missing; empty: they are not."""


def completeness(site: Site) -> Completeness:
    """What every page stands on now."""
    from proletto_otel.web.pages.workers import workers

    past = site.monitor.history("cpu_percent", 7 * 86_400.0)
    store = site.status().get("store", {})
    error = str(store.get("last_error", ""))
    if not error and not store.get("shared", True):
        error = "this worker has no store of its own host: it shows what it measured itself"
    return Completeness(
        since=past[0][0] if past else None,
        workers=len(workers(site)),
        dropped=sum(dropped(site).values()),
        store_error=error,
    )


def dropped(site: Site) -> dict[tuple[str, str], int]:
    """What telemetry dropped, by sink and reason, over all workers."""
    found: dict[tuple[str, str], int] = {}
    for family in site.families():
        if family.name == TELEMETRY_DROPPED.name:
            for point in family.points:
                named = dict(point.attributes)
                key = (str(named.get("sink", "")), str(named.get("reason", "")))
                found[key] = found.get(key, 0) + int(point.value)  # type: ignore[arg-type]  # a counter
    return {key: count for key, count in found.items() if count}
