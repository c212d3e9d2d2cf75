"""Errors counted in this process until a ticker writes them down; no lock in the caller's thread.

Writing lives in `errors.writing`.
"""

from __future__ import annotations

import time
from collections import deque

from proletto_otel.core.conventions import USER
from proletto_otel.errors.tables import MAX_USERS
from proletto_otel.logs.record.record import Record

MAX_RECENT = 50
"""Occurrences that wait to be stored; of a storm the latest, and one of each group."""


class ErrorCounter:
    """Occurrences in this process. `count` only grows, so no addition is lost."""

    __slots__ = ("count", "first", "latest", "stored", "taken", "taken_at", "users")

    def __init__(self, record: Record) -> None:
        self.first = self.latest = record
        self.count = 0
        self.taken = 0
        self.taken_at = time.monotonic()
        self.stored: Record | None = None
        """The latest one of the last write."""
        self.users: set[str] = set()
        """Seen since the last write, at most `MAX_USERS`."""

    @property
    def first_ns(self) -> int:
        """When the first record was made, unix time."""
        return self.first.time_ns


class Recent:
    """The latest occurrences, whatever their group."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque(maxlen=MAX_RECENT)
        self.add = self._records.append
        """Drops the oldest when it is full: it is counted, only its details are not stored."""

    def take(self) -> list[Record]:
        """What waits, oldest first; it waits no more."""
        found: list[Record] = []
        while self._records and len(found) < MAX_RECENT:
            found.append(self._records.popleft())
        return found

    def put_back(self, records: list[Record]) -> None:
        """Let them wait again, as far as newer ones leave room."""
        room = MAX_RECENT - len(self._records)
        self._records.extendleft(reversed(records[-room:] if room > 0 else ()))


def note_user(counter: ErrorCounter, record: Record) -> None:
    """Remember who was affected."""
    user = record.fields.get(USER)
    if user is not None and len(counter.users) < MAX_USERS:
        counter.users.add(str(user))
