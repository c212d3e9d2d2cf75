"""What may follow a moment later, done by one thread, many at a time.

The structured file has every line before the log call returns. The other sinks' copies of DEBUG and
INFO lines follow within `DELAY_S`, many with one call: a request with three lines costs a tenth
less. WARNING and above are written everywhere at once, after what waits. What a killed process
still owed them is in the structured file.

What a finished request leaves (span, access line) is made here too, as a promise: code that runs
thirty times in a row costs half of what it costs between the application's own code, which has
taken its place in the processor's caches.

Without the structured file, without its thread, and under a server that runs no threads, nothing
waits.
"""

from __future__ import annotations

import contextlib
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
Ways = tuple[WriteMany, ...]
Make = Callable[[Any], tuple[Record | None, Ways]]
Owed = tuple[Any, Ways | Make]
"""A record and where it goes, or a thing and what makes a record of it."""


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
            self._owe((record, ways))

        return wait

    def promise(self, thing: Any, make: Make) -> bool:
        """Call *make* with *thing* in a moment and write what it gives; whether that can wait."""
        if not self.running:
            return False
        self._owe((thing, make))
        return True

    def _owe(self, entry: Owed) -> None:
        owed = self._owed
        owed.append(entry)
        if len(owed) >= BATCH:
            self.write()
        elif len(owed) == 1:
            self._wake.set()

    def first(self, record: Record) -> None:
        """A way for records that cannot wait: what was logged before comes before."""
        if self._owed:
            self.write()

    def write(self) -> None:
        """Write everything that waits, in the caller's thread, unless another thread does."""
        # the main thread never waits: it may be in a signal handler, and whoever holds it writes
        in_main = threading.get_ident() == threading.main_thread().ident
        self._write(0 if in_main else LOCK_WAIT_S)

    def _write(self, wait_s: float) -> bool:
        if not self.gate.acquire(timeout=wait_s):
            return False
        try:
            while self._owed:
                self._batch()
        finally:
            self.gate.release()
        return True

    def _batch(self) -> None:
        """Write what came first: every sink gets its records with one call."""
        batch: list[Owed] = []
        with contextlib.suppress(IndexError):  # a signal handler may take the rest at any moment
            while len(batch) < BATCH:
                batch.append(self._owed.popleft())
        shares: dict[WriteMany, list[Record]] = {}
        known: dict[int, list[list[Record]]] = {}
        for record, ways in batch:
            if type(ways) is not tuple:
                record, ways = self._made(record, ways)
            lists = known.get(id(ways))
            if lists is None:
                lists = known[id(ways)] = [shares.setdefault(way, []) for way in ways]
            for share in lists:
                share.append(record)
        for way, records in shares.items():
            try:
                way(records)
            except Exception as error:
                failed("logs.sink", error)

    @staticmethod
    def _made(thing: Any, make: Any) -> tuple[Any, Ways]:
        try:
            record, ways = make(thing)
        except Exception as error:
            failed("logs.promise", error)
            return None, ()
        return record, (ways if record is not None else ())

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
        """Write what waits now, and wait for who writes already; whether nothing is left."""
        return self._write(LOCK_WAIT_S) and not self._owed

    def stop(self) -> None:
        """Write what waits, and let nothing wait any more."""
        self.running = False
        self._wake.set()
        self.flush()

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
