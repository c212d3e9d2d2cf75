"""Copies of ordinary lines, written a moment later by one thread.

The structured file has every line before the log call returns. The other sinks' copies of DEBUG and
INFO lines follow within `DELAY_S`, many with one call: a request with three lines costs a tenth
less. WARNING and above are written everywhere at once, after what waits. What a killed process
still owed them is in the structured file.

Without the structured file, without its thread, and under a server that runs no threads, nothing
waits.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from proletto_otel.core.silence import failed
from proletto_otel.export.wake import Wake
from proletto_otel.logs.record import Record

DELAY_S = 0.05
"""How far copies may be behind: short for a person who watches, long enough for a batch."""
BATCH = 32
"""So many waiting records are written by the caller: under load nothing waits for a thread, which
would only fight for the interpreter, and memory stays bounded without dropping anything."""
LOCK_WAIT_S = 0.5

Write = Callable[[Record], None]
WriteMany = Callable[[Sequence[Record]], None]
Owed = tuple[Record, tuple[WriteMany, ...]]


class Behind:
    """The queue of copies and its thread; a component of the lifecycle by way of `Logs`."""

    def __init__(self) -> None:
        self.running = False
        """Whether records may wait; otherwise everything is written at once."""
        self.forked()

    def forked(self) -> None:
        """Begin empty in a child: the parent writes what it owes."""
        self.running = False
        self.gate = threading.RLock()
        self._owed: deque[Owed] = deque()
        self._wake = Wake()
        self._thread: threading.Thread | None = None

    def later(self, ways: tuple[WriteMany, ...]) -> Write:
        """A way that hands records to *ways* in a moment."""

        def wait(record: Record) -> None:
            if not self.running:
                self.first(record)
                for way in ways:
                    way((record,))
                return
            owed = self._owed
            owed.append((record, ways))
            if len(owed) >= BATCH:
                self.write()
            elif len(owed) == 1:
                self._wake.set()

        return wait

    def first(self, record: Record) -> None:
        """A way for records that cannot wait: what was logged before comes before."""
        if self._owed:
            self.write()

    def write(self) -> None:
        """Write everything that waits, in the caller's thread."""
        # the main thread never waits: it may be in a signal handler, and whoever holds it writes
        in_main = threading.get_ident() == threading.main_thread().ident
        if not self.gate.acquire(timeout=0 if in_main else LOCK_WAIT_S):
            return
        try:
            while self._owed:
                self._batch()
        finally:
            self.gate.release()

    def _batch(self) -> None:
        """Write neighbours that go the same ways together."""
        owed = self._owed
        records: list[Record] = []
        ways: tuple[WriteMany, ...] = ()
        try:
            ways = owed[0][1]
            while len(records) < BATCH and owed[0][1] is ways:
                records.append(owed.popleft()[0])
        except IndexError:  # empty; below a signal handler the rest may go at any moment
            pass
        if not records:
            return
        for way in ways:
            try:
                way(records)
            except Exception as error:
                failed("logs.sink", error)

    # --- life ----------------------------------------------------------------------------------
    def start(self) -> None:
        """Let records wait, if a thread can write them."""
        if self.running or not _threads_run():
            return
        # a clock of its own: a thread that was just stopped may still be waking up
        self._wake = Wake()
        self._thread = threading.Thread(
            target=self._run, args=(self._wake,), name="proletto-logs", daemon=True
        )
        self.running = True  # before the thread looks: it ends where nothing may wait
        try:
            self._thread.start()
        except RuntimeError:  # no thread to be had
            self.running = False

    def flush(self) -> bool:
        """Write what waits now; whether nothing is left."""
        self.write()
        return not self._owed

    def stop(self) -> None:
        """Write what waits, and let nothing wait any more."""
        self.running = False
        self._wake.set()
        self.write()

    def _run(self, wake: Wake) -> None:
        while self.running and wake is self._wake:
            if wake.wait(1.0):
                time.sleep(DELAY_S)
            if self._owed:
                self.write()


def _threads_run() -> bool:
    """Whether threads run between requests: uWSGI stops them unless told otherwise."""
    uwsgi: Any = sys.modules.get("uwsgi")
    return uwsgi is None or "enable-threads" in getattr(uwsgi, "opt", {})
