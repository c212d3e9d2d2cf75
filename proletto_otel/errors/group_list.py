"""Reading error groups: the queries of lists, filters and trends.

Rollups answer them (counts by hour and minute, users by group), so no page counts occurrences.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from proletto_otel.core.errors import ConfigError
from proletto_otel.errors.group_rows import RECURRENCE, STATES, ErrorGroup
from proletto_otel.errors.tables import MINUTES_S
from proletto_otel.state.store import Store

BARS = 24
COLUMNS = (
    "g.fingerprint, type, message, location, level, logger, component, first_seen, last_seen,"
    " g.count, status, changed_by, changed_at, request_id, trace_id,"
    " coalesce(users, 0) AS users, coalesce(first_version, '') AS first_version,"
    " coalesce(last_version, '') AS last_version, coalesce(stored, 0) AS stored, number"
)
_RECENT = (
    "(SELECT coalesce(sum(h.count), 0) FROM error_hours h"
    " WHERE h.number = d.number AND h.hour >= :hour)"
)
SORTS = {
    "last": "last_seen DESC",
    "first": "first_seen DESC",
    "count": "g.count DESC",
    "users": "users DESC, last_seen DESC",
    "recent": f"{_RECENT} DESC, last_seen DESC",
}
"""Orders of a list: latest first, newest first, most first, most users first, most in the trend's
span first."""
_FROM = "FROM error_groups g LEFT JOIN error_group_details d ON d.fingerprint = g.fingerprint"
_STATES = {
    "open": "status = 'open'",
    "regressed": f"status = 'open' AND changed_by = '{RECURRENCE}'",
    "resolved": "status = 'resolved'",
    "ignored": "status = 'ignored'",
}
"""`open` has the regressed ones, too: both need somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTotals:
    """Figures of all error groups, and what they stand on."""

    groups: dict[str, int]
    """Groups by state; `open` without the regressed ones."""
    since: float | None
    """Unix time of the oldest group; None without one."""
    stored: int
    """Occurrences that can be read."""
    stored_bytes: int
    max_bytes: int
    """Beyond it the occurrences of the largest groups are thinned; counts stay exact."""
    max_groups: int
    """Beyond it the quietest groups are deleted."""
    lost: int
    """Records of this process that were not counted: too many different ones in a second."""
    problem: str
    """Why figures are missing; empty when they are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which groups a list shows."""

    state: str | None = None
    query: str = ""
    since: float = 0.0
    first_version: str | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """The condition and its values."""
        parts, values = ["last_seen >= :since"], {"since": self.since}
        found: dict[str, Any] = dict(values)
        if self.state is not None:
            parts.append(_STATES[check(self.state)])
        if self.query:
            columns = ("type", "message", "location", "g.fingerprint", "component")
            parts.append("(" + " OR ".join(f"{c} LIKE :like ESCAPE '\\'" for c in columns) + ")")
            found["like"] = f"%{_literally(self.query)}%"
        if self.first_version is not None:
            parts.append("first_version = :version")
            found["version"] = self.first_version
        return " AND ".join(parts), found


def read(
    store: Store, wanted: Wanted, sort: str, limit: int, offset: int, span_s: float, now: float
) -> list[ErrorGroup]:
    """The groups that are wanted, with their trend over *span_s* up to *now*.

    Raises:
        ConfigError: for an unknown state or order.
        StoreUnavailable: the store cannot be read.
    """
    if sort not in SORTS:
        raise ConfigError.of("sort", sort, f"one of {', '.join(SORTS)}")
    where, values = wanted.where()
    rows = store.select(
        f"SELECT {COLUMNS} {_FROM} WHERE {where}"
        f" ORDER BY {SORTS[sort]}, g.fingerprint LIMIT :limit OFFSET :offset",
        {**values, "hour": int((now - span_s) // 3600), "limit": limit, "offset": offset},
    )
    return _groups(store, rows, span_s, now)


def one(store: Store, fingerprint: str, span_s: float, now: float) -> tuple[ErrorGroup, str] | None:
    """One group, and the sample that the first release stored in its row."""
    rows = store.select(f"SELECT {COLUMNS}, sample {_FROM} WHERE g.fingerprint = ?", (fingerprint,))
    if not rows:
        return None
    return _groups(store, rows, span_s, now)[0], rows[0]["sample"]


def count(store: Store, wanted: Wanted) -> dict[str, int]:
    """How many groups are wanted, by state."""
    where, values = wanted.where()
    tables = "FROM error_groups g" if wanted.first_version is None else _FROM
    rows = store.select(
        f"SELECT CASE WHEN status = 'open' AND changed_by = '{RECURRENCE}' THEN 'regressed'"
        f" ELSE status END AS state, count(*) AS n {tables} WHERE {where} GROUP BY 1",
        values,
    )
    return dict.fromkeys(STATES, 0) | {row["state"]: row["n"] for row in rows}


def count_new(store: Store, since: float) -> int:
    """How many groups that nobody ignores were first seen since a unix time."""
    # seen last since then as well: for that there is an index
    rows = store.select(
        "SELECT count(*) FROM error_groups"
        " WHERE last_seen >= :since AND first_seen >= :since AND status <> 'ignored'",
        {"since": since},
    )
    return int(rows[0][0])


def _groups(store: Store, rows: Sequence[Any], span_s: float, now: float) -> list[ErrorGroup]:
    found = [dict(row) for row in rows]
    numbers = [row.pop("number") for row in found]
    trends = trend(store, [number for number in numbers if number], span_s, now)
    bar_s = bar_seconds(span_s)
    for row in found:
        row.pop("sample", None)
        if row["location"] == ":":  # of an earlier release: no code of the application's
            row["location"] = ""
    return [
        ErrorGroup(**row, bar_s=bar_s, trend=tuple(trends.get(number) or [0] * BARS))
        for row, number in zip(found, numbers, strict=True)
    ]


def bar_seconds(span_s: float) -> float:
    """Seconds of one bar: whole minutes up to six hours, whole hours beyond."""
    unit = 60 if span_s <= MINUTES_S else 3600
    return max(math.ceil(span_s / BARS / unit), 1) * unit


def trend(store: Store, numbers: Sequence[int], span_s: float, now: float) -> dict[int, list[int]]:
    """Counts in 24 bars up to *now*, by number of the group."""
    bar_s = bar_seconds(span_s)
    table, column, unit = ("error_minutes", "minute", 60)
    if span_s > MINUTES_S:
        table, column, unit = ("error_hours", "hour", 3600)
    # whole bars: the last one has begun and is not over
    end = (now // bar_s + 1) * bar_s
    begin = end - BARS * bar_s
    marks = ",".join("?" * len(numbers))
    rows = store.select(
        f"SELECT number, {column} AS at, count FROM {table}"
        f" WHERE number IN ({marks}) AND {column} >= ? AND {column} < ?",
        (*numbers, begin / unit, end / unit),
    )
    return _bars(((row["number"], row["at"] * unit, row["count"]) for row in rows), begin, bar_s)


def _bars(
    rows: Iterable[tuple[int, float, int]], begin: float, bar_s: float
) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for number, at, counted in rows:
        bars = found.setdefault(number, [0] * BARS)
        bar = int((at - begin) // bar_s)
        bars[bar] += counted
    return found


def per_minute(store: Store, since: float) -> list[tuple[float, int]]:
    """Errors of all groups by minute: (unix time of its start, count), oldest first."""
    rows = store.select(
        "SELECT minute * 60.0 AS at, sum(count) AS n FROM error_minutes WHERE minute >= ?"
        " GROUP BY minute ORDER BY minute",
        (int(since // 60),),
    )
    return [(row["at"], row["n"]) for row in rows]


def check(state: str, known: Sequence[str] = STATES) -> str:
    """*state* if there is one of the name.

    Raises:
        ConfigError: there is none.
    """
    if state not in known:
        raise ConfigError.of("status", state, f"one of {', '.join(known)}")
    return state


def _literally(text: str) -> str:
    for char in ("\\", "%", "_"):
        text = text.replace(char, f"\\{char}")
    return text[:200]
