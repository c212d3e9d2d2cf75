"""Error groups: every error once, with how often, since when, and what people decided about it.

Records of level ERROR and above are counted by fingerprint as they come; a ticker writes the
counts to the host's store, where they survive restarts. What pages read is in `errors.reading`, the
metric `proletto.errors` in `errors.counter`, messages to people in `notify.error_notifier`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from proletto_otel.core.redaction.sanitise import get as sanitiser
from proletto_otel.errors.counting import ErrorCounter, Recent, note_user
from proletto_otel.errors.reading import ErrorReading
from proletto_otel.errors.tables import DDL
from proletto_otel.logs.record.record import Record
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state.store import Store, StoreUnavailable

if TYPE_CHECKING:
    import sqlite3

UPKEEP_S = 10.0
"""Interval of `keep_within_limits`."""
FLUSH_S = 1.0
"""Interval of the ticker's job: what a killed process had not written yet."""
MAX_WAITING = 1000
"""Different errors counted between two writes; further ones go uncounted here (`lost`)."""
FORGET_S = 60.0
"""An error that was quiet so long is forgotten here; no caller is that long in `count`."""


class ErrorGroups(ErrorReading, Component):
    """The host's error groups; a component of the lifecycle.

    Args:
        store: The host's store.
        now: Unix time.
        version: Of the application, for "new since the deploy"; empty when it is not set.
    """

    name = "error_groups"

    def __init__(
        self, store: Store, now: Callable[[], float] = time.time, version: str = ""
    ) -> None:
        self._store = store
        self._now = now
        self.version = version
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
        note_user(counter, record)
        counter.latest = record
        counter.count += 1  # one addition on an attribute: see core.metrics.values.Cell
        # After it is counted: who takes it from here to the store finds its group there.
        self._recent.add(record)

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
        self._recent = Recent()
        self._writing = threading.Lock()
        self.lost = 0
        """Records that were not counted because too many different errors were waiting."""

    def write_down(self) -> bool:
        """Add what was counted to the store; False when it must wait: for a ticker job."""
        # With the ticker's first call, not with the first error and not when the process ends.
        from proletto_otel.errors import writing  # noqa: F401

        with self._writing:
            written = self._write()
            self._forget_quiet()
            return written

    def write_within(self, wait_s: float) -> None:
        """As `write_down`, unless others keep it waiting longer: for pages."""
        # `_writing` is always taken before the store's lock: the other way round, a page and the
        # ticker would wait for each other.
        if self._writing.acquire(timeout=wait_s):
            try:
                with suppress(StoreUnavailable), self._store.hurried(wait_s):
                    self._write()
            finally:
                self._writing.release()

    def _write(self) -> bool:
        recent = self._recent.take()
        waiting = [
            (counter, count, counter.latest)
            for counter in tuple(self._counters.values())
            if (count := counter.count - counter.taken)
        ]
        # `taken` grows only after the commit: what could not be written is tried again.
        if waiting or recent:
            users = [tuple(counter.users) for counter, _, _ in waiting]
            try:
                with self._store.transaction() as db:
                    self._add_all(db, waiting, recent)
            except StoreUnavailable:
                self._recent.put_back(recent)
                return False
            for (counter, _, _), written in zip(waiting, users, strict=True):
                counter.users.difference_update(written)
        self._taken(waiting)
        return True

    def _add_all(
        self,
        db: sqlite3.Connection,
        waiting: list[tuple[ErrorCounter, int, Record]],
        recent: list[Record],
    ) -> None:
        from proletto_otel.errors import group_rows, writing

        for counter, count, latest in waiting:
            self._add(db, counter, count, latest)
        # of each group at least its first and its latest one, however many others came between
        some = {id(record): record for record in recent if not self._is_stored(record)}
        for counter, _, latest in waiting:
            some[id(latest)] = latest
            if not counter.taken:
                some[id(counter.first)] = counter.first
        in_order = sorted(some.values(), key=lambda record: record.time_ns)
        writing.add_occurrences(db, in_order, self.version)
        group_rows.make_room(db)

    def _is_stored(self, record: Record) -> bool:
        """Whether it was the latest of its group when a write came between counting and adding."""
        counter = self._counters.get(record.fingerprint)
        return counter is not None and counter.stored is record

    def _taken(self, waiting: list[tuple[ErrorCounter, int, Record]]) -> None:
        """Remember what was written."""
        now = time.monotonic()
        for counter, count, latest in waiting:
            counter.taken += count
            counter.taken_at = now
            counter.stored = latest

    def _forget_quiet(self) -> None:
        now = time.monotonic()
        for key, counter in tuple(self._counters.items()):
            # A thread may hold the counter between finding it and adding one: the delay makes
            # sure that nobody adds to a counter that is no longer in the table.
            if counter.count == counter.taken and now - counter.taken_at > FORGET_S:
                self._counters.pop(key, None)

    def _add(
        self, db: sqlite3.Connection, counter: ErrorCounter, count: int, latest: Record
    ) -> None:
        from proletto_otel.errors import writing

        writing.add_group(db, counter, count, latest, self.version)
        writing.reopen_recurred(db, latest.fingerprint, self._now())

    def keep_within_limits(self) -> None:
        """Delete what is too old or too much, a thousand rows a time: for the leader's ticker."""
        from proletto_otel.errors import upkeep

        try:
            with self._store.transaction() as db:
                upkeep.run(db, self._now())
        except StoreUnavailable:
            return

    # --- deciding ------------------------------------------------------------------------------
    def resolve(self, fingerprint: str, by: str) -> bool:
        """The error is fixed; it opens by itself when it comes again. Whether there is one."""
        return self.change(fingerprint, "resolved", by)

    def ignore(self, fingerprint: str, by: str) -> bool:
        """The error is known and may go on; it stays counted. Whether there is one."""
        return self.change(fingerprint, "ignored", by)

    def reopen(self, fingerprint: str, by: str) -> bool:
        """The error needs somebody after all. Whether there is one."""
        return self.change(fingerprint, "open", by)

    def change(self, fingerprint: str, status: str, by: str) -> bool:
        """Set the status of a group; who and when are stored.

        Returns:
            Whether there is such a group and the store could be written.

        Raises:
            ConfigError: for an unknown status.
        """
        from proletto_otel.errors import group_list, group_rows

        group_list.check(status, group_rows.STATUSES)
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
                    group_rows.remember(db, fingerprint, now, who, status)
                return bool(changed.rowcount)
        except StoreUnavailable:
            return False
