"""Occurrences as they are stored: packed, the first and the last fifty of a group, some between.

Bodies of a group are nearly equal (the same traceback), so each is compressed with the group's
first one as dictionary: 1.9 KB become about 0.25 KB instead of 0.75 (measured, 18 frames).
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from proletto_otel.core.conventions import (
    EXCEPTION,
    FUNCTION,
    LEVEL,
    LINE,
    LOGGER_NAME,
    MESSAGE,
    MODULE,
    REQUEST_ID,
    TIMESTAMP,
    TRACE_ID,
    TRUNCATED,
)
from proletto_otel.errors import tables
from proletto_otel.logs.record.breadcrumbs import crumb
from proletto_otel.logs.record.record import Record

MAX_BODY = 65_536
"""Bytes of one occurrence before it is compressed: tracebacks and locals can be megabytes."""
MAX_LINES = 200
"""Lines of a traceback that stay when a body has to be cut, the last ones."""
BREADCRUMBS, LOCALS, VERSION = "breadcrumbs", "locals", "service_version"
KEPT = (
    TIMESTAMP, LEVEL, LOGGER_NAME, MODULE, FUNCTION, LINE, REQUEST_ID, TRACE_ID, EXCEPTION, VERSION,
)  # fmt: skip
"""Fields that stay when a body has to be cut."""
_ALONE, _LIKE_FIRST = b"\x00", b"\x01"
"""First byte of a stored body: compressed by itself, or with the group's first as dictionary."""
_LEAST_BITS = 9
"""Of the windows that zlib has. It clears tables of a window's size for each body."""
_REACH = 262
"""How much nearer than its window zlib looks for what repeats (MIN_LOOKAHEAD in its deflate.h)."""
_ROW = 60
"""Bytes a row takes beside its body, indexes included."""


def body_of(record: Record, version: str) -> bytes:
    """The record as its JSON line has it, and what else is known of the error."""
    more: dict[str, Any] = {BREADCRUMBS: [crumb(entry) for entry in record.breadcrumbs]}
    if record.exception is not None and record.exception.locals:
        more[LOCALS] = record.exception.locals
    if version:
        more[VERSION] = version
    # The line is joined with what follows instead of being parsed and rendered again.
    body = record.json.rstrip()[:-1] + b"," + json.dumps(more, default=str).encode()[1:]
    return body if len(body) <= MAX_BODY else _cut(body)


def _cut(body: bytes) -> bytes:
    """A body over the limit without what is largest in it."""
    data = json.loads(body)
    data = {name: data[name] for name in KEPT if name in data} | {
        MESSAGE: str(data.get(MESSAGE))[:2000],
        TRUNCATED: True,
    }
    error = data.get(EXCEPTION)
    if isinstance(error, dict):
        lines = [str(line)[:200] for line in error.get("traceback", ())][-MAX_LINES:]
        data[EXCEPTION] = {
            "type": error.get("type"),
            "message": str(error.get("message"))[:2000],
            "traceback": lines,
        }
    return json.dumps(data).encode()


def pack(body: bytes, first: bytes | None) -> bytes:
    """*body* compressed; *first* is the uncompressed body of the group's first occurrence."""
    if first is None:
        return _ALONE + zlib.compress(body)
    # as far back as the first one begins: for 2 KB a fifth of the time that 32 KB take
    reach = len(first) + len(body) + _REACH
    bits = min(max(reach.bit_length(), _LEAST_BITS), zlib.MAX_WBITS)
    packer = zlib.compressobj(wbits=bits, memLevel=bits - 7, zdict=first)
    return _LIKE_FIRST + packer.compress(body) + packer.flush()


def unpack(packed: bytes, first: bytes | None) -> bytes | None:
    """What `pack` was given; None when it is damaged or its first one is gone."""
    try:
        if packed[:1] == _ALONE:
            return zlib.decompressobj().decompress(packed[1:], MAX_BODY)
        if first is None:
            return None
        return zlib.decompressobj(zdict=first).decompress(packed[1:], MAX_BODY)
    except zlib.error:
        return None


def compact(identifier: str) -> bytes | None:
    """An ID as bytes: 16 for 32 hex digits; None for an empty one."""
    if not identifier:
        return None
    if len(identifier) == 32 and all(char in "0123456789abcdef" for char in identifier):
        return bytes.fromhex(identifier)
    return identifier.encode("utf-8", "replace")[:128]


def first_body(db: sqlite3.Connection, number: int) -> bytes | None:
    """The uncompressed body of the group's first occurrence."""
    row = db.execute(
        "SELECT body FROM error_occurrences WHERE number = ? ORDER BY id LIMIT 1", (number,)
    ).fetchone()
    return unpack(row[0], None) if row is not None else None


def store(
    db: sqlite3.Connection, number: int, occurrences: Iterable[tuple[int, str, str, bytes]]
) -> None:
    """Store occurrences of a group: (unix milliseconds, request ID, trace ID, body), then thin."""
    first = first_body(db, number)
    stored, size = 0, 0
    for at, request_id, trace_id, body in occurrences:
        packed = pack(body, first)
        if first is None:
            first = body
        trace = compact(trace_id) if trace_id != request_id else None
        db.execute(
            "INSERT INTO error_occurrences (number, at, request, trace, body)"
            " VALUES (?, ?, ?, ?, ?)",
            (number, at, compact(request_id), trace, packed),
        )
        stored, size = stored + 1, size + len(packed) + _ROW
    _account(db, number, stored, size)
    thin(db, number, tables.LAST, tables.SAMPLED)


def thin(db: sqlite3.Connection, number: int, last: int, sampled: int) -> int:
    """Delete occurrences beyond the first, the *last* ones and *sampled* of the rest.

    Returns:
        How many were deleted.
    """
    found = [
        row[0]
        for row in db.execute(
            "SELECT id FROM error_occurrences WHERE number = ? ORDER BY id", (number,)
        )
    ]
    middle = found[1 : max(len(found) - last, 1)]
    if len(middle) <= sampled:
        return 0
    # Each has a rank that only its ID decides, so what stays is a fair sample however often this
    # runs, and nothing has to be stored for it.
    gone = sorted(middle, key=_rank)[sampled:][: tables.DELETE_ROWS]
    delete(db, number, gone)
    return len(gone)


def delete(db: sqlite3.Connection, number: int, ids: Sequence[int]) -> None:
    """Delete occurrences of a group by their IDs."""
    size = 0
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        marks = ",".join("?" * len(some))
        size += db.execute(
            f"SELECT sum(length(body) + {_ROW}) FROM error_occurrences WHERE id IN ({marks})", some
        ).fetchone()[0]
        db.execute(f"DELETE FROM error_occurrences WHERE id IN ({marks})", some)
    _account(db, number, -len(ids), -size)


def _account(db: sqlite3.Connection, number: int, stored: int, size: int) -> None:
    db.execute(
        "UPDATE error_group_details SET stored = stored + ?, stored_bytes = stored_bytes + ?"
        " WHERE number = ?",
        (stored, size, number),
    )


def _rank(identifier: int) -> int:
    """A number that looks random and is always the same: Knuth's multiplicative hash."""
    return (identifier * 2_654_435_761) & 0xFFFF_FFFF


def number_of(user: str) -> int:
    """64 bits for a user's ID, as SQLite stores integers; the ID itself is in the occurrences."""
    digest = blake2b(user.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
