"""One occurrence of an error: what is known of it, and how it is found again.

How occurrences are packed and which ones stay is decided in `errors.occurrence_rows`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proletto_otel.core import conventions as c
from proletto_otel.errors import stack_trace
from proletto_otel.errors.occurrence_rows import BREADCRUMBS, LOCALS, VERSION, compact, unpack
from proletto_otel.errors.stack_trace import Raised
from proletto_otel.logs.record.stored import StoredRecord
from proletto_otel.state.store import Store

_SELECT = (
    "SELECT o.id, o.number, o.at, o.body, d.fingerprint FROM error_occurrences o"
    " JOIN error_group_details d ON d.number = o.number"
)
_BESIDE = frozenset((BREADCRUMBS, LOCALS, VERSION))


@dataclass(frozen=True, kw_only=True)
class Breadcrumb:
    """A log event of the same request before the error."""

    at: str
    """ISO 8601, UTC."""
    level: str
    logger: str
    message: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Occurrence(StoredRecord):
    """One time that an error happened."""

    id: int
    """Of the host's store; the next page of a list begins before it. 0: of an older release."""
    group: str
    """Fingerprint of its group."""

    @property
    def version(self) -> str:
        """Of the application; empty where it is not set."""
        return self._text(VERSION)

    @property
    def raised(self) -> tuple[Raised, ...]:
        """The chain of exceptions with their frames, the error itself last; empty without one."""
        lines = self.traceback
        return stack_trace.parse(lines) if lines else ()

    @property
    def breadcrumbs(self) -> tuple[Breadcrumb, ...]:
        """What the request logged before, oldest first."""
        found = self.record.get(BREADCRUMBS) or ()
        return tuple(
            Breadcrumb(
                at=str(entry.get(c.TIMESTAMP, "")),
                level=str(entry.get(c.LEVEL, "")),
                logger=str(entry.get(c.LOGGER_NAME, "")),
                message=str(entry.get(c.MESSAGE, "")),
                facts=entry.get("facts") or {},
            )
            for entry in found
            if isinstance(entry, dict)
        )

    @property
    def facts(self) -> dict[str, Any]:
        """The caller's facts, beside those of the request."""
        return {k: v for k, v in super().facts.items() if k not in _BESIDE}

    @property
    def locals(self) -> Mapping[str, Any]:
        """Local variables of the failing function, when they are captured."""
        found = self.record.get(LOCALS)
        return found if isinstance(found, Mapping) else {}

    @property
    def truncated(self) -> bool:
        """Whether it was too large to be stored whole."""
        return bool(self.record.get("truncated"))


def of_group(store: Store, fingerprint: str, before: int | None, limit: int) -> list[Occurrence]:
    """Occurrences of a group that can be read, newest first."""
    rows = store.select(
        f"{_SELECT} WHERE o.number = (SELECT number FROM error_group_details WHERE fingerprint = ?)"
        " AND o.id < ? ORDER BY o.id DESC LIMIT ?",
        (fingerprint, before if before is not None else 1 << 62, limit),
    )
    return _read(store, rows)


def first(store: Store, fingerprint: str) -> Occurrence | None:
    """The first occurrence of a group that was stored."""
    rows = store.select(
        f"{_SELECT} WHERE o.number = (SELECT number FROM error_group_details WHERE fingerprint = ?)"
        " ORDER BY o.id LIMIT 1",
        (fingerprint,),
    )
    return next(iter(_read(store, rows)), None)


def by_id(store: Store, identifier: int) -> Occurrence | None:
    """One occurrence."""
    found = _read(store, store.select(f"{_SELECT} WHERE o.id = ?", (identifier,)))
    return next(iter(found), None)


def of_request(store: Store, identifier: str, limit: int) -> list[Occurrence]:
    """Occurrences with this request ID or trace ID, oldest first."""
    key = compact(identifier)
    if key is None:
        return []
    rows = store.select(
        f"{_SELECT} WHERE o.request = ?1 OR o.trace = ?1 ORDER BY o.id LIMIT ?2", (key, limit)
    )
    return _read(store, rows)


def _read(store: Store, rows: Sequence[Any]) -> list[Occurrence]:
    firsts: dict[int, bytes | None] = {}
    for number in {row["number"] for row in rows}:
        found = store.select(
            "SELECT body FROM error_occurrences WHERE number = ? ORDER BY id LIMIT 1", (number,)
        )
        firsts[number] = unpack(found[0]["body"], None) if found else None
    made = (_occurrence(row, unpack(row["body"], firsts[row["number"]])) for row in rows)
    return [occurrence for occurrence in made if occurrence is not None]


def _occurrence(row: Any, body: bytes | None) -> Occurrence | None:
    try:
        record = json.loads(body or b"")  # and not orjson: it refuses NaN
    except ValueError:  # damaged: counted, but there is nothing to show
        return None
    return Occurrence(id=row["id"], group=row["fingerprint"], at=row["at"] / 1000, record=record)
