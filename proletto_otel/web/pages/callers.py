"""Users and clients with the most requests, failures and time, of all workers of this host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proletto_otel.request.top_callers import HOUR_S, KINDS, add, empty_table, merge

if TYPE_CHECKING:
    from proletto_otel.request.top_callers import HourSection, Kind, TableSection
    from proletto_otel.web.asked import Asked

SHOWN = 10
ORDERS = {"requests": 0, "errors": 1, "slowness": 2}
"""What callers can be sorted by, and its place among their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One user or client; each number is at least so high."""

    name: str
    requests: int
    errors: int
    seconds: float
    """All its requests together."""

    @property
    def mean(self) -> float:
        """Seconds of one request."""
        return self.seconds / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopCallers:
    """The largest of one kind."""

    callers: Sequence[Caller]
    missed: int
    """So many requests more each of them may have made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallersPage:
    """Who asked most."""

    since: float | None
    """Unix seconds, the beginning of an hour; None: nobody asked."""
    until: float | None
    by: str
    users: TopCallers
    clients: TopCallers


def callers(asked: Asked) -> CallersPage | None:
    """Those of the hours that the range touches; None where nobody counts them."""
    if not asked.site.config.top_callers_days:
        return None
    chosen, by = asked.range, asked.query.get("callers", "")
    by = by if by in ORDERS else "requests"
    hours = {hour["hour"]: hour for hour in asked.site.stored_callers(chosen.start, chosen.end)}
    # what the workers tell is newer than what was stored of it
    hours |= {
        hour["hour"]: hour
        for hour in merge(asked.site.callers())
        if chosen.start // HOUR_S <= hour["hour"] <= chosen.end // HOUR_S
    }
    return CallersPage(
        since=min(hours) * HOUR_S if hours else None,
        until=min((max(hours) + 1) * HOUR_S, chosen.end) if hours else None,
        by=by,
        **{kind: _top(_total(list(hours.values()), kind), ORDERS[by]) for kind in KINDS},
    )


def _total(hours: Sequence[HourSection], kind: Kind) -> TableSection:
    total = empty_table()
    for hour in hours:
        table = hour[kind]
        add(total, table["entries"])
        total["missed"] = [a + b for a, b in zip(total["missed"], table["missed"], strict=True)]
    return total


def _top(table: TableSection, order: int) -> TopCallers:
    entries: Mapping[str, list[float]] = table["entries"]
    largest = sorted(entries.items(), key=lambda item: -item[1][order])[:SHOWN]
    return TopCallers(
        callers=[
            Caller(name=name, requests=int(n), errors=int(errors), seconds=seconds)
            for name, (n, errors, seconds) in largest
            if (n, errors, seconds)[order]
        ],
        missed=int(table["missed"][0]),
    )
