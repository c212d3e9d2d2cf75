"""Error groups: every error once, with how often, since when, and what people decided about it.

Records of level ERROR and above are counted by fingerprint as they come; a ticker writes the
counts to the host's store, where they survive restarts. The metric `proletto.errors` lives in
`errors.counter`, messages to people in `notify.error_notifier`.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.redaction.sanitise import get as sanitiser
from proletto_otel.errors.group_rows import (
    COLUMNS,
    DDL,
    IGNORED,
    MAX_CHANGES,
    OPEN,
    RESOLVED,
    STATUSES,
    UPSERT,
    Change,
    ErrorGroup,
    make_room,
    remember,
    row,
)
from proletto_otel.logs.record.record import Record
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state.store import Store, StoreUnavailable

FLUSH_S = 1.0
"""Interval of the ticker's job: what a killed process had not written yet."""
MAX_WAITING = 1000
"""Different errors counted between two writes; further ones go uncounted here (`lost`)."""
MAX_ROWS = 200
FORGET_S = 60.0
"""An error that was quiet so long is forgotten here; no caller is that long in `count`."""


class ErrorCounter:
    """Occurrences in this process. `count` only grows, so no addition is lost."""

    __slots__ = ("count", "first_ns", "latest", "taken", "taken_at")

    def __init__(self, record: Record) -> None:
        self.latest = record
        self.first_ns = record.time_ns
        self.count = 0
        self.taken = 0
        self.taken_at = time.monotonic()


class ErrorGroups(Component):
    """The host's error groups; a component of the lifecycle.

    Args:
        store: The host's store.
        now: Unix time.
    """

    name = "error_groups"

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        store.define(*DDL)
        self.forked()

    # --- counting, in the caller's thread ------------------------------------------------------
    def count(self, record: Record) -> None:
        """Count *record*: a listener of the pipeline for ERROR and above."""
        key = record.fingerprint
        counter = self._counters.get(key)
        if counter is None:
            if len(self._counters) >= MAX_WAITING:
                self.lost += 1
                return
            counter = self._counters.setdefault(key, ErrorCounter(record))
        counter.latest = record
        counter.count += 1  # one addition on an attribute: see core.metrics.values.Cell

    # --- component -----------------------------------------------------------------------------
    def start(self) -> None:
        """Does nothing: a ticker calls `write_down`."""

    def stop(self, deadline: float) -> None:
        """Write what was counted."""
        self.write_down()

    def flush(self, deadline: float) -> bool:
        """Write what was counted."""
        return self.write_down()

    def forked(self) -> None:
        """Start at zero in a child process: the parent writes what it counted."""
        self._counters: dict[str, ErrorCounter] = {}
        self._writing = threading.Lock()
        self.lost = 0
        """Records that were not counted because too many different errors were waiting."""

    def write_down(self) -> bool:
        """Add what was counted to the store; False when it must wait: for a ticker job."""
        with self._writing:
            waiting = [
                (counter, count, counter.latest)
                for counter in tuple(self._counters.values())
                if (count := counter.count - counter.taken)
            ]
            # `taken` grows only after the commit: what could not be written is tried again.
            if waiting:
                try:
                    with self._store.transaction() as db:
                        for counter, count, latest in waiting:
                            self._add(db, counter, count, latest)
                        make_room(db)
                except StoreUnavailable:
                    return False
            now = time.monotonic()
            for counter, count, _ in waiting:
                counter.taken += count
                counter.taken_at = now
            for key, counter in tuple(self._counters.items()):
                # A thread may hold the counter between finding it and adding one: the delay makes
                # sure that nobody adds to a counter that is no longer in the table.
                if counter.count == counter.taken and now - counter.taken_at > FORGET_S:
                    self._counters.pop(key, None)
            return True

    def _add(
        self, db: sqlite3.Connection, counter: ErrorCounter, count: int, latest: Record
    ) -> None:
        # After the first write the start of the group is in the store. Should that be replaced by
        # an empty one, the group starts there with its latest record.
        first = counter.first_ns if not counter.taken else latest.time_ns
        db.execute(UPSERT, row(latest, count, first / 1e9))
        # By the time of the record, not of this write: a record from before the decision does not
        # reopen the group.
        recurred = db.execute(
            "UPDATE error_groups SET status = 'open', changed_by = 'recurrence', changed_at = ?"
            " WHERE fingerprint = ? AND status = 'resolved' AND last_seen > changed_at",
            (self._now(), latest.fingerprint),
        )
        if recurred.rowcount:
            remember(db, latest.fingerprint, self._now(), "recurrence", OPEN)

    # --- reading -------------------------------------------------------------------------------
    def groups(
        self,
        *,
        status: str | None = None,
        search: str = "",
        since: float = 0.0,
        limit: int = 50,
        offset: int = 0,
    ) -> list[ErrorGroup]:
        """Groups, the latest first.

        Args:
            status: Only `open`, `resolved` or `ignored` ones.
            search: Only groups with this text in type, message, location or fingerprint.
            since: Only groups seen after this unix time.
            limit: At most 200.
            offset: Groups to leave out first.

        Raises:
            ConfigError: for an unknown status.
        """
        if status is not None:
            _check(status)
        self.write_down()
        # `%` and `_` of what a person typed are searched for as they are.
        literal = re.sub(r"([\\%_])", r"\\\1", search)[:200]
        rows = self._store.query(
            f"SELECT {COLUMNS} FROM error_groups WHERE (:status IS NULL OR status = :status)"
            " AND last_seen >= :since AND (type LIKE :like ESCAPE '\\'"
            " OR message LIKE :like ESCAPE '\\'"
            " OR location LIKE :like ESCAPE '\\' OR fingerprint LIKE :like ESCAPE '\\')"
            " ORDER BY last_seen DESC, fingerprint LIMIT :limit OFFSET :offset",
            {
                "status": status,
                "since": since,
                "like": f"%{literal}%",
                "limit": min(max(limit, 1), MAX_ROWS),
                "offset": max(offset, 0),
            },
        )
        return [ErrorGroup(**dict(found)) for found in rows]

    def latest(self, limit: int = 50) -> list[dict[str, Any]]:
        """The latest groups that nobody ignores, as plain data."""
        shown = [g for g in self.groups(limit=min(limit * 2, MAX_ROWS)) if g.status != IGNORED]
        return [group.summary() for group in shown[:limit]]

    def get(self, fingerprint: str) -> ErrorGroup | None:
        """One group with its sample and its history; None when there is none."""
        self.write_down()
        rows = self._store.query(
            f"SELECT {COLUMNS}, sample FROM error_groups WHERE fingerprint = ?", (fingerprint,)
        )
        if not rows:
            return None
        data = dict(rows[0])
        changes = self._store.query(
            "SELECT at, by, status FROM error_group_changes WHERE fingerprint = ?"
            f" ORDER BY at DESC, rowid DESC LIMIT {MAX_CHANGES}",
            (fingerprint,),
        )
        data["sample"] = json.loads(data["sample"])
        return ErrorGroup(**data, changes=tuple(Change(**dict(c)) for c in changes))

    # --- deciding ------------------------------------------------------------------------------
    def resolve(self, fingerprint: str, by: str) -> bool:
        """The error is fixed; it opens by itself when it comes again. Whether there is one."""
        return self.change(fingerprint, RESOLVED, by)

    def ignore(self, fingerprint: str, by: str) -> bool:
        """The error is known and may go on; it stays counted. Whether there is one."""
        return self.change(fingerprint, IGNORED, by)

    def reopen(self, fingerprint: str, by: str) -> bool:
        """The error needs somebody after all. Whether there is one."""
        return self.change(fingerprint, OPEN, by)

    def change(self, fingerprint: str, status: str, by: str) -> bool:
        """Set the status of a group; who and when are stored.

        Returns:
            Whether there is such a group and the store could be written.

        Raises:
            ConfigError: for an unknown status.
        """
        _check(status)
        self.write_down()  # what came before the decision does not reopen the group
        who, now = sanitiser().text(str(by))[:200], self._now()
        try:
            with self._store.transaction() as db:
                changed = db.execute(
                    "UPDATE error_groups SET status = ?, changed_by = ?, changed_at = ?"
                    " WHERE fingerprint = ?",
                    (status, who, now, fingerprint),
                )
                if changed.rowcount:
                    remember(db, fingerprint, now, who, status)
                return bool(changed.rowcount)
        except StoreUnavailable:
            return False


def _check(status: str) -> None:
    if status not in STATUSES:
        raise ConfigError.of("status", status, f"one of {', '.join(STATUSES)}")
