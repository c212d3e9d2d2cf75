"""How many requests each route ever had, over all workers: what only grows.

`request.request_history` takes the difference between two of these and stores it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from proletto_otel.core.conventions import (
    ERROR_TYPE,
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    HTTP_SERVER_REQUEST_DURATION,
    HTTP_SERVER_STREAM_DURATION,
)
from proletto_otel.core.metrics.registry import Family, Histogram
from proletto_otel.core.record import record
from proletto_otel.request import durations, status_codes
from proletto_otel.request.status_codes import CLASSES

if TYPE_CHECKING:
    from proletto_otel.request.route_stats import RouteSection

Route = tuple[str, str]
"""Method and template; an empty template where no route matched."""


@record(slots=True, kw_only=True)
class RequestTotals:
    """The requests of one route: since ever, or in a time."""

    classes: list[int] = field(default_factory=lambda: [0] * len(CLASSES))
    """Requests by class of status, as `CLASSES`."""
    codes: status_codes.Codes = field(default_factory=dict)
    """Requests by status code."""
    errors: int = 0
    """Those with an `error.type`: 5xx, or an exception nobody handled."""
    timed: int = 0
    """Those that are no event streams or WebSockets."""
    seconds: float = 0.0
    """How long the timed ones took in all."""
    durations: Mapping[str, int] = field(default_factory=dict)
    """The timed ones by `request.durations`."""
    failed: Mapping[str, int] = field(default_factory=dict)
    """Those of them that failed, likewise."""
    start_ns: int = 0
    """Since when they are counted; 0: unknown."""

    @property
    def count(self) -> int:
        """All requests."""
        return sum(self.classes)

    def add(self, other: RequestTotals) -> None:
        """Take in what *other* counted."""
        self.classes = [a + b for a, b in zip(self.classes, other.classes, strict=True)]
        self.codes = status_codes.added((self.codes, other.codes))
        self.errors += other.errors
        self.timed += other.timed
        self.seconds += other.seconds
        self.durations = durations.added((self.durations, other.durations))
        self.failed = durations.added((self.failed, other.failed))
        self.start_ns = min(self.start_ns or other.start_ns, other.start_ns)

    def since(self, before: RequestTotals) -> RequestTotals | None:
        """What was added since *before*; None where less is counted than then."""
        classes = [a - b for a, b in zip(self.classes, before.classes, strict=True)]
        if min(classes) < 0 or self.errors < before.errors or self.timed < before.timed:
            return None
        return RequestTotals(
            classes=classes,
            codes=status_codes.grown(self.codes, before.codes, classes),
            errors=self.errors - before.errors,
            timed=self.timed - before.timed,
            seconds=max(0.0, self.seconds - before.seconds),
            durations=(timed := durations.grown(self.durations, before.durations) or {}),
            # no more than all: another release may have stored those of a while, without these
            failed=durations.at_most(durations.grown(self.failed, before.failed) or {}, timed),
            start_ns=self.start_ns,
        )


class RequestSum:
    """Rows added up; in place, as a page adds up ten thousand of them."""

    __slots__ = ("classes", "errors", "fine", "seconds", "timed")

    def __init__(self) -> None:
        self.classes = [0] * len(CLASSES)
        self.errors = self.timed = 0
        self.seconds = 0.0
        self.fine = durations.empty()

    def take(self, row: sqlite3.Row) -> None:
        """Add one row of `request_points`, its columns in the order of the table."""
        self.add_counts(row)
        durations.add_packed(self.fine, row[12])

    def add_counts(self, row: sqlite3.Row) -> None:
        """Add all of it but the durations."""
        for i in range(len(CLASSES)):
            self.classes[i] += row[3 + i]
        self.errors += row[9]
        self.timed += row[10]
        self.seconds += row[11]

    def add(self, other: RequestSum) -> None:
        """Take in another sum."""
        self.classes = [a + b for a, b in zip(self.classes, other.classes, strict=True)]
        self.errors += other.errors
        self.timed += other.timed
        self.seconds += other.seconds
        self.fine = [a + b for a, b in zip(self.fine, other.fine, strict=True)]

    def leave_out(self, counts: durations.Counts) -> None:
        """Take durations away: those of failed requests."""
        for bucket, n in enumerate(counts):
            gone = min(n, self.fine[bucket])
            if gone:
                self.fine[bucket] -= gone
                self.timed = max(self.timed - gone, 0)
                # no sum of them is stored: their middles are right within 4 %
                self.seconds = max(self.seconds - gone * durations.middle_s(bucket), 0.0)


def totals(
    families: Iterable[Family], sections: Iterable[RouteSection]
) -> dict[Route, RequestTotals]:
    """Every route's totals.

    Args:
        families: Every metric, merged over all workers; exact, whatever ended a worker.
        sections: The routes' statistics, merged likewise: their fine durations may miss the last
            half second of a worker that was killed.
    """
    found: dict[Route, RequestTotals] = {}
    for family in families:
        if family.name in (HTTP_SERVER_REQUEST_DURATION.name, HTTP_SERVER_STREAM_DURATION.name):
            for point in family.points:
                if isinstance(point.value, Histogram):
                    named: dict[str, Any] = dict(point.attributes)
                    timed = family.name == HTTP_SERVER_REQUEST_DURATION.name
                    made = _of_series(named, point.value, point.start_ns, timed)
                    found.setdefault(_route(named), RequestTotals()).add(made)
    for section in sections:
        known = found.get((section["method"], section["route"] or ""))
        if known is not None:
            recent = (counts for _, counts in section.get("recent", ()))
            known.durations = durations.added((section.get("older", {}), *recent))
            known.failed = section.get("failed", {})
    return found


def _of_series(
    named: dict[str, Any], histogram: Histogram, start_ns: int, timed: bool
) -> RequestTotals:
    status = named.get(HTTP_RESPONSE_STATUS_CODE)
    code = status if isinstance(status, int) and 100 <= status < 600 else 0
    return RequestTotals(
        classes=[histogram.count if i == code // 100 else 0 for i in range(len(CLASSES))],
        codes={code: histogram.count} if code else {},
        errors=histogram.count if ERROR_TYPE in named else 0,
        timed=histogram.count if timed else 0,
        seconds=histogram.sum if timed else 0.0,
        start_ns=start_ns,
    )


def _route(named: dict[str, Any]) -> Route:
    return str(named.get(HTTP_REQUEST_METHOD, "_OTHER")), str(named.get(HTTP_ROUTE) or "")
