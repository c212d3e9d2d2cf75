"""A search of the log over the stored occurrences: newest first, some hundred at a time.

Bodies are compressed, so what they hold is compared here and not in SQL: unpacking one takes about
10 µs, and only those that have the bytes looked for are parsed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from proletto_otel.core.conventions import TIMESTAMP
from proletto_otel.errors.occurrence_rows import BREADCRUMBS, LOCALS, VERSION, compact, unpack
from proletto_otel.logs.search.query import Matcher
from proletto_otel.logs.search.results import ERRORS, LogLine
from proletto_otel.logs.search.stored_errors import FoundErrors

CHUNK = 200
"""Rows of one query: reading them holds the store for a millisecond."""
MAX_FIRST_BODIES = 256
"""First bodies of groups that are held: 64 KB each at most, mostly 2 KB."""
_BESIDE = (BREADCRUMBS, LOCALS, VERSION)
"""What an occurrence has beside its line."""
_LINE = b'{"%s":"' % TIMESTAMP.encode()
"""How a body begins that was not cut: as the line does."""

Rows = Sequence[Mapping[str, Any]]
Select = Callable[[str, Mapping[str, Any]], Rows | None]
"""Rows of a query; None when the store cannot be read."""


@dataclass(slots=True)
class OccurrenceSearch:
    """One search; `run` does it.

    Args:
        select: Reads the store.
        matcher: What is looked for.
        is_over: Whether the time is.
    """

    select: Select
    matcher: Matcher
    is_over: Callable[[], bool]
    _firsts: dict[int, bytes | None] = field(default_factory=dict)

    def run(self, low: int, high: int, limit: int) -> FoundErrors:
        """Occurrences from *low* to before *high*, unix milliseconds; of more the newest."""
        condition, values = self._condition()
        found: list[LogLine] = []
        at, before = high, 0
        while True:
            rows = self.select(
                "SELECT o.id, o.number, o.at, o.body, d.fingerprint FROM error_occurrences o"
                f" JOIN error_group_details d ON d.number = o.number WHERE {condition}"
                f" ORDER BY o.at DESC, o.id DESC LIMIT {CHUNK}",
                {**values, "low": low, "at": at, "before": before},
            )
            if rows is None or not self._learn_firsts(rows):
                return FoundErrors(lines=found, problem="stored errors could not be read now")
            for row in rows:
                if len(found) >= limit and row["at"] < round(found[-1].at * 1000):
                    return FoundErrors(lines=found, reached=round(found[-1].at * 1000))
                line = self._wanted(row)
                if line is not None:
                    found.append(line)
            if len(rows) < CHUNK:
                return FoundErrors(lines=found)
            at, before = rows[-1]["at"], rows[-1]["id"]
            # Others of the same millisecond may follow: a call ends before it, not within it.
            if self.is_over() and at + 1 < high:
                return FoundErrors(
                    lines=[line for line in found if line.at * 1000 > at + 0.5], reached=at + 1
                )

    def _condition(self) -> tuple[str, dict[str, Any]]:
        query = self.matcher.query
        # what has an index is left to SQL; `+` keeps it from the index by time
        parts: list[str] = []
        values: dict[str, Any] = {}
        plus = ""
        wanted = (
            ("identifier", query.identifier, True, True),
            ("request_id", query.request_id, True, False),
            ("trace_id", query.trace_id, True, False),
            ("fingerprint", query.fingerprint, False, True),
        )
        for name, text, is_id, is_group in wanted:
            if not text:
                continue
            either = [f"o.request = :{name}_key OR o.trace = :{name}_key"] if is_id else []
            if is_group:
                either.append(
                    "o.number = (SELECT number FROM error_group_details"
                    f" WHERE fingerprint = :{name})"
                )
            parts.append(f"({' OR '.join(either)})")
            values |= {f"{name}_key": compact(text), name: text}
            plus = "+"
        parts += [
            f"{plus}o.at >= :low",
            f"({plus}o.at < :at OR ({plus}o.at = :at AND o.id < :before))",
        ]
        return " AND ".join(parts), values

    def _learn_firsts(self, rows: Rows) -> bool:
        """Read the first bodies of the groups, with which the others are unpacked."""
        numbers = {row["number"] for row in rows} - self._firsts.keys()
        if not numbers:
            return True
        if len(self._firsts) + len(numbers) > MAX_FIRST_BODIES:
            self._firsts.clear()
            numbers = {row["number"] for row in rows}
        marks = ",".join(map(str, numbers))  # integers of our own
        found = self.select(
            "SELECT number, body FROM error_occurrences WHERE id IN (SELECT min(id)"
            f" FROM error_occurrences WHERE number IN ({marks}) GROUP BY number)",
            {},
        )
        if found is None:
            return False
        self._firsts.update(dict.fromkeys(numbers))
        self._firsts.update((row["number"], unpack(row["body"], None)) for row in found)
        return True

    def _wanted(self, row: Mapping[str, Any]) -> LogLine | None:
        """The occurrence as a line, if it is looked for."""
        body = unpack(row["body"], self._firsts[row["number"]])
        if body is None:  # damaged
            return None
        # one that was cut is written with other spaces, so it is parsed in any case
        if body.startswith(_LINE) and not all(n.within(body) for n in self.matcher.needles):
            return None
        record = _parsed(body)
        if not isinstance(record, dict):
            return None
        line = LogLine(
            at=row["at"] / 1000,
            # as its line has it: what the error has beside that was not in the file either
            record={name: value for name, value in record.items() if name not in _BESIDE},
            cursor=f"error-{row['id']}",
            file="",
            source=ERRORS,
            group=row["fingerprint"],
            occurrence=row["id"],
        )
        return line if self.matcher.matches(line) else None


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:  # NaN
        try:
            return json.loads(body)
        except ValueError:
            return None
