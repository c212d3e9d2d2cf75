"""The past of users and clients: the largest of each hour, for `PROLETTO_TOP_CALLERS_DAYS`.

The leader stores what all workers counted of this hour and the one before, once a minute. An hour
is one compressed text of at most 120 callers; 30 days with 40 callers each are read and added up in
44 ms (`python -m bench.top_callers`). How they are counted lives in `request.top_callers`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import orjson

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.request.top_callers import HOUR_S, KINDS, shortened
from proletto_otel.state.store import Store

if TYPE_CHECKING:
    from proletto_otel.request.top_callers import HourSection, TableSection

DDL = ("CREATE TABLE IF NOT EXISTS caller_hours (hour INTEGER PRIMARY KEY, callers BLOB NOT NULL)",)
DAY_S = 86_400
STORED = 20
"""Callers by each of the three numbers that are stored of an hour."""


class CallerHistory:
    """Stores and reads hours.

    Args:
        store: The host's store.
        days: How long an hour is stored; 0: none is, and what was stored goes.
    """

    def __init__(self, store: Store, days: float) -> None:
        self._store = store
        self.kept_s = days * DAY_S
        store.define(*DDL)

    def record(self, hours: Iterable[HourSection]) -> None:
        """Store these hours, added up over all workers; called by the leader."""
        if not self.kept_s:  # a worker with another setting may still count
            return
        rows = []
        for hour in hours:
            made: HourSection = {
                "hour": hour["hour"],
                "users": shortened(hour["users"], STORED),
                "clients": shortened(hour["clients"], STORED),
            }
            for stored in self.read(hour["hour"] * HOUR_S, hour["hour"] * HOUR_S):
                made = _largest(made, stored)
            rows.append((made["hour"], zlib.compress(orjson.dumps(made))))
        if rows:
            self._store.write("INSERT OR REPLACE INTO caller_hours VALUES (?, ?)", rows)

    def prune(self, now: float) -> None:
        """Delete hours that are too old."""
        oldest = (now - self.kept_s) // HOUR_S if self.kept_s else math.inf
        self._store.write("DELETE FROM caller_hours WHERE hour < ?", [(oldest,)])

    def read(self, start: float, end: float) -> list[HourSection]:
        """The hours that these unix seconds touch, oldest first."""
        rows = self._store.query(
            "SELECT callers FROM caller_hours WHERE hour BETWEEN ? AND ? ORDER BY hour",
            (start // HOUR_S, end // HOUR_S),
        )
        found: list[HourSection] = []
        for row in rows:
            with suppressed("request.callers.read"):  # damaged bytes
                found.append(orjson.loads(zlib.decompress(row["callers"])))
        return found


def _largest(now: HourSection, stored: HourSection) -> HourSection:
    """Both together: the workers' files may have been removed since, then they counted anew."""
    made: HourSection = {"hour": now["hour"], "users": now["users"], "clients": now["clients"]}
    for kind in KINDS:
        entries = dict(now[kind]["entries"])
        for name, numbers in stored[kind]["entries"].items():
            known = entries.get(name, numbers)
            entries[name] = [max(a, b) for a, b in zip(known, numbers, strict=True)]
        missed = [
            max(a, b) for a, b in zip(now[kind]["missed"], stored[kind]["missed"], strict=True)
        ]
        # what does not fit is smaller than what stays: `missed` has it already
        fitting: TableSection = shortened({"entries": entries, "missed": missed}, STORED)
        made[kind] = {"entries": fitting["entries"], "missed": missed}
    return made
