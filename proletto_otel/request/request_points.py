"""What the pages show of past requests: a point of a chart, a heat map, a row of a table.

They are made from the store by `request.request_series`, of all hosts by `web.all_hosts`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from proletto_otel.request import durations
from proletto_otel.request.request_totals import RequestSum
from proletto_otel.request.status_codes import CLASSES

HEAT_EDGES_S = tuple(0.002 * 2**i for i in range(14))
"""Between the rows of a heat map: below 2 ms, a row for each doubling, above 16 s; 15 rows."""
_HEAT_ROWS = [sum(durations.middle_s(i) >= edge for edge in HEAT_EDGES_S) for i in
              range(len(durations.EDGES) + 1)]  # fmt: skip
"""The row of each bucket of `request.durations`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPoint:
    """The requests of one bucket. A bucket that nobody watched has no point."""

    time: float
    """Where the bucket begins, unix seconds."""

    seconds: float
    """How long it is; of the one that is under way, how much is over: a rate is count / seconds.
    Of a longer time in one: how much of it somebody watched; 0: nothing of it."""

    count: int
    errors: int
    """Those that failed: 5xx, or an exception nobody handled."""

    by_status: Mapping[str, int] = field(default_factory=dict)
    """By class of status: `2xx`, and `other` where none was sent; only those that occurred."""

    timed: int
    """Those that the durations below are about: no event streams, no WebSockets, and no failed ones
    where it was asked `without_failed`."""

    mean: float | None
    """Seconds, as all of the following; None without a timed request."""
    min: float | None
    """As all of the following right within 4 %."""
    max: float | None
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyHeatmap:
    """How many requests took how long, by time."""

    times: tuple[float, ...]
    """Where each column begins, unix seconds; columns of times that nobody watched are missing."""

    seconds: float
    """How long a column is."""

    edges: tuple[float, ...]
    """Seconds between the rows: one less than there are rows."""

    counts: tuple[tuple[int, ...], ...]
    """By column, then by row, the fastest row first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPoint:
    """One endpoint's requests of a time, and how they were spread over it."""

    method: str
    route: str | None
    """Template; None: no route matched."""
    total: RequestPoint
    """Everything together; `time` and `seconds` are those of the time asked for."""
    points: tuple[tuple[float, int, int], ...]
    """Unix seconds, requests, failures: what a small chart shows; without empty columns."""
    step: float = 0.0
    """Seconds of a column; the first one begins with `total`."""


def point(at: float, seconds: float, total: RequestSum) -> RequestPoint:
    """What a page shows of *total*, which began at the unix time *at*."""
    over_s = min(seconds, max(time.time() - at, 1.0))
    least, most, *quantiles = durations.spread_s(total.fine, (0.5, 0.95, 0.99))
    return RequestPoint(
        time=float(at),
        seconds=float(over_s),
        count=sum(total.classes),
        errors=total.errors,
        by_status={name: n for name, n in zip(CLASSES, total.classes, strict=True) if n},
        timed=total.timed,
        mean=total.seconds / total.timed if total.timed else None,
        min=least,
        max=most,
        p50=quantiles[0],
        p95=quantiles[1],
        p99=quantiles[2],
    )


def heat(total: RequestSum) -> tuple[int, ...]:
    """The column of a heat map: requests by row, the fastest first."""
    rows = [0] * (len(HEAT_EDGES_S) + 1)
    for row, n in zip(_HEAT_ROWS, total.fine, strict=True):
        rows[row] += n
    return tuple(rows)


class EndpointRows:
    """The rows of one endpoint, added up."""

    __slots__ = ("points", "total")

    def __init__(self) -> None:
        self.total = RequestSum()
        self.points: list[tuple[float, int, int]] = []

    def take(self, row: sqlite3.Row) -> None:
        """Add the counts of one column."""
        self.total.add_counts(row)
        count, errors = sum(row[3:9]), row[9]
        if self.points and self.points[-1][0] == row[1]:  # a column of two pieces
            _, earlier, failed = self.points.pop()
            count, errors = count + earlier, errors + failed
        self.points.append((float(row[1]), count, errors))

    def report(
        self, key: tuple[str, str], first: int, watched_s: float, step: int
    ) -> EndpointPoint:
        """What a table shows."""
        return EndpointPoint(
            method=key[0],
            route=key[1] or None,
            total=point(first, watched_s, self.total),
            points=tuple(self.points),
            step=float(step),
        )
