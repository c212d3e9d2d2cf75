"""The requests behind one cell of a latency heat map: `?at=1764510000&during=60&least=0.064`.

Stored with their IDs are the five slowest and the five latest failed requests of each endpoint and
hour; of the others a cell has the number.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proletto_otel.logs.search.took import shown
from proletto_otel.request.durations import bounds_s

if TYPE_CHECKING:
    from proletto_otel.request.readings import RequestExample
    from proletto_otel.request.request_points import LatencyHeatmap
    from proletto_otel.web.asked import Asked

PARAMETERS = ("at", "during", "least")
MOST_S = 90 * 86_400.0
"""The longest column: as long as requests are stored."""
LATE_S = 3.0
"""A request is counted when the leader records it: so long before its column it may have ended."""
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """One cell and the requests of it that are stored."""

    start: float
    """Unix seconds, as the next one."""
    end: float
    least: float
    """Seconds that a request took at least."""
    most: float | None
    """Seconds that it took less than; None: of the slowest row."""
    count: int | None
    """Requests in the cell; None: the map does not show this time now."""
    requests: Sequence[RequestExample]
    """The latest first."""
    log_from: float
    """Since when the log may have lines of these requests, unix seconds."""
    duration_min: str
    """Milliseconds that they took at least, as the log is asked; empty: no bound."""
    duration_max: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatChoice:
    """What a form offers: times and durations of which there are requests."""

    during: float
    """Seconds of a column."""
    times: Sequence[float]
    """Unix seconds, the latest first."""
    bands: Sequence[tuple[float, float | None]]
    """From how many seconds to below how many, the slowest first."""


def choice(heat: LatencyHeatmap) -> HeatChoice:
    """The columns and rows of *heat* that are not empty."""
    columns = zip(heat.times, heat.counts, strict=True)
    rows = [row for row in range(len(heat.edges) + 1) if any(c[row] for c in heat.counts)]
    return HeatChoice(
        during=heat.seconds,
        times=[at for at, column in columns if any(column)][::-1],
        bands=[_band(heat, row) for row in reversed(rows)],
    )


def place(asked: Asked, heat: LatencyHeatmap) -> tuple[float, float, int] | None:
    """Where the cell that the address asks for begins, how long it is, and its row."""
    found = [_number(asked.query.get(name, "")) for name in PARAMETERS]
    at, during, least = found
    if at is None or during is None or least is None or not 1 <= during <= MOST_S or at < 0:
        return None
    return at, during, bisect_right(heat.edges, least)


def cell(
    asked: Asked, heat: LatencyHeatmap, route: str, method: str | None,
    fresh: Iterable[RequestExample],
) -> HeatCell | None:  # fmt: skip
    """The cell that the address asks for; None: it asks for none.

    Args:
        asked: The request for the page.
        heat: The map of the endpoint.
        route: The endpoint's template.
        method: Its method; None: every one.
        fresh: Requests that the workers remember and that may not be stored yet.
    """
    where = place(asked, heat)
    if where is None:
        return None
    at, during, row = where
    least, most = _band(heat, row)
    begin, end, monitor = at - LATE_S, at + during, asked.site.monitor
    asked_for = (begin, end, route, method, SHOWN)
    over, up_to = bounds_s(least, math.inf if most is None else most)
    remembered = (r for r in fresh if begin <= r.time < end and over < r.seconds <= up_to)
    found = {
        example.request_id: example
        # of one that is both slow and failed the last one stays, which has its error
        for example in (
            *remembered,
            *monitor.slowest_requests(*asked_for, least=least, most=most),
            *monitor.failed_requests(*asked_for, least=least, most=most),
        )
        if not (asked.without_failed and (example.error or example.status >= 500))
    }
    return HeatCell(
        start=at, end=end, least=least, most=most, count=_count(heat, *where),
        requests=sorted(found.values(), key=lambda r: -r.time)[:SHOWN], log_from=begin,
        duration_min=_milliseconds(over, math.floor), duration_max=_milliseconds(up_to, math.ceil),
    )  # fmt: skip


def _milliseconds(seconds: float, whole: Callable[[float], int]) -> str:
    """A bound in whole microseconds, which is what an access line names."""
    return shown(whole(seconds * 1e6) / 1000) if 0 < seconds < math.inf else ""


def _band(heat: LatencyHeatmap, row: int) -> tuple[float, float | None]:
    edges = (0.0, *heat.edges)
    return edges[row], edges[row + 1] if row + 1 < len(edges) else None


def _count(heat: LatencyHeatmap, at: float, during: float, row: int) -> int | None:
    if during != heat.seconds or at not in heat.times:
        return None
    return heat.counts[heat.times.index(at)][row]


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
