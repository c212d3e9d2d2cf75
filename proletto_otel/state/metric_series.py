"""Reads the past of one metric: samples since a time, or the points of a chart.

Who writes them, and into which tables, lives in `state.history`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proletto_otel.state.history import EARLIER_COARSEST, TIERS
from proletto_otel.state.store import Store

if TYPE_CHECKING:
    from proletto_otel.state.readings import MetricPoint

MAX_POINTS = 2000
"""Points of one chart at most: what a screen of 4K can show."""
_TIERS = (0, *(seconds for seconds, _ in TIERS))
_NEW = (
    "SELECT p.at / :step * :step AS begin, min(p.low) AS low, max(p.high) AS high,"
    " sum(p.total) AS total, sum(p.n) AS n FROM metric_points p"
    " WHERE p.tier = :tier AND p.metric = (SELECT id FROM metric_names WHERE name = :metric)"
    " AND p.at >= :start AND p.at < :end GROUP BY begin"
)
_SAMPLES = (
    "SELECT CAST(at AS INTEGER) / :step * :step AS begin, min(value) AS low, max(value) AS high,"
    " sum(value * n) AS total, sum(n) AS n FROM samples WHERE resolution = :resolution"
    " AND metric = :metric AND at >= :start AND at < :end GROUP BY begin"
)
# One statement for all tiers and both tables: eight of them took twice as long as the points.
_FIRSTS = "SELECT " + ", ".join(
    f"(SELECT min(at) FROM metric_points WHERE tier = {tier}"
    " AND metric = (SELECT id FROM metric_names WHERE name = :metric)),"
    f" (SELECT min(at) FROM samples WHERE resolution = {min(tier, EARLIER_COARSEST)}"
    " AND metric = :metric)"
    for tier in _TIERS
)


class MetricSeries:
    """Reads what `History` wrote; empty where the store cannot be used.

    Args:
        store: The host's store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def samples(self, metric: str, since: float) -> list[tuple[float, float]]:
        """Samples of *metric* since a unix time, oldest first: the finest that reach so far."""
        tier = self._reaching(metric, since, 0)
        if tier:
            found = self._buckets(metric, tier, since, time.time() + tier, tier)
            return [(point.time, point.mean) for point in found]
        rows = self._store.query(
            "SELECT at, value FROM samples WHERE resolution = 0 AND metric = ? AND at >= ?"
            " ORDER BY at",
            (metric, since),
        )
        return [(row["at"], row["value"]) for row in rows]

    def points(
        self, metric: str, start: float, end: float, points: int = 120
    ) -> tuple[MetricPoint, ...]:
        """The points of a chart from *start* to *end*, unix seconds.

        The buckets begin at whole multiples of their length, so that a chart that is drawn again
        a little later shows the same ones.
        """
        wanted_s = max(end - start, 1.0) / min(max(points, 1), MAX_POINTS)
        # the coarsest with buckets that are fine enough: the fewest rows to read
        fits = max(tier for tier in _TIERS if tier <= wanted_s)
        tier = self._reaching(metric, start, fits)
        unit = tier or 1
        step = unit * max(1, -int(-wanted_s // unit))
        return tuple(self._buckets(metric, tier, start, end, step))

    def _buckets(
        self, metric: str, tier: int, start: float, end: float, step: int
    ) -> list[MetricPoint]:
        from proletto_otel.state.readings import MetricPoint

        begin = start // step * step
        asked = {"metric": metric, "start": begin, "end": end, "step": step, "tier": tier}
        rows = self._store.query(_NEW, asked) if tier else []
        # The earlier release wrote no tier coarser than quarter hours: the year is made of those.
        asked["resolution"] = min(tier, EARLIER_COARSEST)
        found: dict[int, tuple[float, float, float, int]] = {}
        for row in (*rows, *self._store.query(_SAMPLES, asked)):
            low, high, total, n = row["low"], row["high"], row["total"], row["n"]
            # Both releases may have taken samples in one bucket, each in its table.
            if row["begin"] in found:
                low_2, high_2, total_2, n_2 = found[row["begin"]]
                low, high = min(low, low_2), max(high, high_2)
                total, n = total + total_2, n + n_2
            found[row["begin"]] = (low, high, total, n)
        return [
            MetricPoint(
                time=float(at), seconds=float(step), min=low, max=high, mean=total / n, count=n
            )
            for at, (low, high, total, n) in sorted(found.items())
        ]

    def _reaching(self, metric: str, since: float, finest: int) -> int:
        """The finest tier, from *finest* on, that goes back to *since*, or as far as any does."""
        firsts = self._firsts(metric)
        for tier, first in firsts:
            # A coarser bucket begins before its first sample: that much is no missing past.
            if tier >= finest and all(
                first <= max(since, coarse_first + coarse)
                for coarse, coarse_first in firsts
                if coarse > tier
            ):
                return tier
        return firsts[-1][0] if firsts else finest

    def _firsts(self, metric: str) -> list[tuple[int, float]]:
        """When each tier begins that has something."""
        rows = self._store.query(_FIRSTS, {"metric": metric})
        found = []
        for place, tier in enumerate(_TIERS if rows else ()):
            both = (rows[0][2 * place], rows[0][2 * place + 1])
            first = min((at for at in both if at is not None), default=None)
            if first is not None:
                found.append((tier, first))
        return found
