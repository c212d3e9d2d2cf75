"""Exact status codes of requests, stored beside their classes.

They have tables of their own. A leader of an earlier release knows nothing of them and goes on with
all other tables; of the requests that it stores only the class is known.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from proletto_otel.state.store import Store

if TYPE_CHECKING:
    from proletto_otel.request.readings import StatusCount

DDL = (
    "CREATE TABLE IF NOT EXISTS request_codes (tier INTEGER NOT NULL, at INTEGER NOT NULL,"
    " route INTEGER NOT NULL, codes BLOB NOT NULL, PRIMARY KEY (tier, at, route)) WITHOUT ROWID",
    # As they were stored last, by the number of the route.
    "CREATE TABLE IF NOT EXISTS request_code_totals (route INTEGER PRIMARY KEY,"
    " codes BLOB NOT NULL)",
)
CLASSES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
"""By the first digit of the status; `other`: the server sent none."""
Codes = Mapping[int, int]
"""Requests by status code; 1 to 5 in place of a code: further codes of that class."""
MAX_CODES = 12
"""Codes of one row; what comes beyond them is counted by its class. A row with four codes takes 51
bytes (`python -m bench.history`), one with all of these and the five classes 160: the 352,000 rows
that a store has at most end at 18 MB, and at 55 where every endpoint answers with everything."""
MAX_SHOWN = 40
"""Codes that one answer names, the most frequent ones."""

_COUNT_BITS = 48
"""A code and its count are stored as one number of 64 bits, the count in these lower ones."""
# One look-up of the primary key for each bucket: a scan would read all routes of the time.
_OF_ROUTE = (
    "WITH RECURSIVE times(at) AS (SELECT :first UNION ALL SELECT at + :tier FROM times"
    " WHERE at + :tier < :end) SELECT {} FROM times JOIN {} p ON p.tier = :tier AND p.at = times.at"
    " AND p.route = :number"
)
_CLASSES = _OF_ROUTE.format(
    "sum(other), sum(c1), sum(c2), sum(c3), sum(c4), sum(c5)", "request_points"
)
_CODES = _OF_ROUTE.format("p.codes", "request_codes")


def added(found: Iterable[Codes]) -> dict[int, int]:
    """The sum of several."""
    total: dict[int, int] = {}
    for codes in found:
        for code, n in codes.items():
            total[code] = total.get(code, 0) + n
    return total


def grown(now: Codes, before: Codes, classes: Sequence[int]) -> dict[int, int]:
    """What was added since *before*, while so many requests of each class were added."""
    found = {code: more for code, n in now.items() if (more := n - before.get(code, 0)) > 0}
    for digit in range(1, len(CLASSES)):
        of_class = [code for code in found if _digit(code) == digit]
        if sum(found[code] for code in of_class) > classes[digit]:
            # An earlier release stored a part of them, without their codes. Which part, nobody
            # knows, unless all have the same code.
            for code in of_class:
                del found[code]
            if len(of_class) == 1 and classes[digit]:
                found[of_class[0]] = classes[digit]
    return found


def apportioned(codes: Codes, classes: Sequence[int], part: Sequence[int]) -> dict[int, int]:
    """What *part* of the requests has of *codes*, in the shares that all of them have.

    Args:
        codes: Of all of them.
        classes: All of them by class, as `CLASSES`.
        part: Those of the part by class; no class has more than in *classes*.
    """
    found: dict[int, int] = {}
    for digit in range(1, len(CLASSES)):
        left, wanted = classes[digit], part[digit]
        for code, n in codes.items():
            if _digit(code) == digit and left:
                # of what is left, so that rounding makes no part larger than its class
                found[code] = round(wanted * n / left)
                left, wanted = left - n, wanted - found[code]
    return {code: n for code, n in found.items() if n}


def packed(codes: Codes) -> bytes:
    """The same as bytes for the store."""
    numbers = [code << _COUNT_BITS | n for code, n in codes.items()]
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def unpacked(data: bytes) -> dict[int, int]:
    """What `packed` made; nothing of damaged bytes."""
    if len(data) % 8:
        return {}
    numbers = struct.unpack(f"<{len(data) // 8}Q", data)
    return {number >> _COUNT_BITS: number & (1 << _COUNT_BITS) - 1 for number in numbers}


def totals(db: sqlite3.Connection) -> dict[int, dict[int, int]]:
    """What was stored last, by the number of the route."""
    rows = db.execute("SELECT route, codes FROM request_code_totals")
    return {number: unpacked(data) for number, data in rows}


def remember(db: sqlite3.Connection, number: int, codes: Codes) -> None:
    """Store the *codes* of a route as those that were stored last."""
    db.execute("INSERT OR REPLACE INTO request_code_totals VALUES (?, ?)", (number, packed(codes)))


def add(db: sqlite3.Connection, tier: int, at: int, grown: Mapping[int, Codes]) -> None:
    """Add what came to each row of one bucket."""
    of_bucket = "SELECT route, codes FROM request_codes WHERE tier = ? AND at = ?"
    rows = db.execute(of_bucket, (tier, at))
    there = {number: unpacked(data) for number, data in rows}
    db.executemany(
        "INSERT OR REPLACE INTO request_codes VALUES (?, ?, ?, ?)",
        [
            (tier, at, number, packed(_bounded(there.get(number, {}), more)))
            for number, more in grown.items()
            if more
        ],
    )


def _bounded(there: Codes, more: Codes) -> Codes:
    """Both together; a code that has its count keeps it, so that this one is exact."""
    if not there and len(more) <= MAX_CODES:
        return more
    made = dict(there)
    for code, n in sorted(more.items(), key=lambda item: -item[1]):
        fits = code in made or sum(c >= 100 for c in made) < MAX_CODES
        key = code if fits else _digit(code)
        made[key] = made.get(key, 0) + n
    return made


def prune(store: Store, oldest: Mapping[int, float], most: int) -> None:
    """Delete the buckets of each tier that are older than *oldest*, at most so many."""
    store.write(
        "DELETE FROM request_codes WHERE (tier, at, route) IN (SELECT tier, at, route"
        " FROM request_codes WHERE tier = ? AND at < ? LIMIT ?)",
        [(tier, at, most) for tier, at in oldest.items()],
    )


def read(
    store: Store, time: Mapping[str, object], numbers: Iterable[int]
) -> tuple[StatusCount, ...]:
    """Requests of the rows *numbers* by status.

    Args:
        store: The host's store.
        time: `tier`, `first` and `end` of the buckets.
        numbers: Of the routes.
    """
    classes, codes = [0] * len(CLASSES), []
    for number in numbers:
        asked = {name: time[name] for name in ("tier", "first", "end")} | {"number": number}
        for row in store.query(_CLASSES, asked):
            classes = [n + (more or 0) for n, more in zip(classes, row, strict=True)]
        codes += [unpacked(data) for (data,) in store.query(_CODES, asked)]
    return counted(classes, added(codes))


def counted(classes: Sequence[int], codes: Codes) -> tuple[StatusCount, ...]:
    """Everything as a table shows it: by code, what has none after the codes of its class.

    Args:
        classes: Requests by class, as `CLASSES`.
        codes: Requests by code, where it is stored.
    """
    from proletto_otel.request.readings import StatusCount

    every = sum(classes)
    named = sorted((c for c in codes if c >= 100), key=lambda c: -codes[c])[:MAX_SHOWN]
    return tuple(
        StatusCount(status=status, count=n, share=n / every, is_code_stored=is_stored)
        for digit, name in enumerate(CLASSES)
        for status, n, is_stored in _of_class(digit, name, classes[digit], codes, named)
        if n > 0 and every
    )


def _of_class(
    digit: int, name: str, count: int, codes: Codes, named: Iterable[int]
) -> Iterator[tuple[str, int, bool]]:
    if not digit:
        yield name, count, True
        return
    shown = [code for code in sorted(named) if _digit(code) == digit]
    yield from ((str(code), codes[code], True) for code in shown)
    known = sum(n for code, n in codes.items() if _digit(code) == digit)
    yield name, known - sum(codes[code] for code in shown), True
    yield name, count - known, False


def _digit(code: int) -> int:
    """The first digit of a code, or the class itself."""
    return code // 100 or code
