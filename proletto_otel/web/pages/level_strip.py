"""How many lines of each level were written when: the strip above the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proletto_otel.logs.search.query import LEVELS
from proletto_otel.web.charts import draw
from proletto_otel.web.charts.series import Point, Series

if TYPE_CHECKING:
    from proletto_otel.logs.search.level_counts import LevelCounts
    from proletto_otel.web.asked import Asked

BARS = 60
BUDGET_S = 0.1
"""Beside the search itself; a strip that is not ready then says how far back it counted."""
STYLES = dict(zip(LEVELS, ("s6", "s1", "warn", "bad", "s4"), strict=True))


def level_strip(asked: Asked) -> Mapping[str, Any] | None:
    """The chart and the counts of every line of the range, whatever is searched for.

    None where nothing can be counted.
    """
    chosen = asked.range
    counts = asked.site.monitor.logs.level_counts(chosen.start, chosen.end, BARS, BUDGET_S)
    return None if counts.problem or counts.busy else drawn(asked, counts)


def drawn(asked: Asked, counts: LevelCounts) -> Mapping[str, Any]:
    """These counts as a strip."""
    chosen = asked.range
    series = [
        Series(label=level, style=STYLES[level], points=_points(counts, numbers))
        for level, numbers in counts.counts.items()
        if any(numbers)
    ]
    title = f"Lines by level {chosen.words}"
    chart = draw.bar_chart(title, series, chosen.start, chosen.end, width_s=counts.bar_s)
    return {"chart": chart, "counts": counts}


def _points(counts: LevelCounts, numbers: list[int]) -> list[Point]:
    """A bar without lines has a value, too: the read-out says 0."""
    return [
        Point(counts.begin + i * counts.bar_s, number, number, number)
        for i, number in enumerate(numbers)
    ]
