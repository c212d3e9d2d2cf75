"""What may follow a moment later, done by one thread, many at a time.

The structured file has every line before the log call returns. The other sinks' copies of DEBUG and
INFO lines follow within `DELAY_S`, many with one call: a request with three lines costs a tenth
less. WARNING and above are written everywhere at once, after what waits. What a killed process
still owed them is in the structured file.

What a finished request leaves (span, access line) is made here too, as a promise: code that runs
hundreds of times in a row costs half of what it costs between the application's own code, which has
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
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any

from proletto_otel.core.internal_errors import count_failure
from proletto_otel.logs.record.record import Record
from proletto_otel.runtime.waker import Waker

DELAY_S = 0.05
"""How far copies may be behind: short for a person who watches, long enough for a batch."""
BATCH = 256
"""So many waiting records are written by the caller: under load nothing waits for a thread, which
would only fight for the interpreter, and memory stays bounded without dropping anything."""
LOCK_WAIT_S = 0.5

Write = Callable[[Record], None]
WriteMany = Callable[[Sequence[Record]], None]
Ways = tuple[WriteMany, ...]
Made = tuple[Sequence[Record | None], Ways]
Make = Callable[[list[Any]], Made]
"""Makes a record, or none, of each of several things, and says where they go."""
Owed = tuple[Any, Ways | Make]
"""A record and where it goes, or a thing and what makes a record of it and others."""


class DeferredWriter:
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
        self._wake = Waker()
        self._thread: threading.Thread | None = None

    def later(self, ways: tuple[WriteMany, ...]) -> Write:
        """A way that hands records to *ways* in a moment."""

        def wait(record: Record) -> None:
            if not self.running:
                self.first(record)
                for way in ways:
                    way((record,))
                return
            # as `owe`, without the call: every line pays for it
            owed = self._owed
            owed.append((record, ways))
            if not 1 < len(owed) < BATCH:
                self._due()

        return wait

    def owe(self, thing: Any, how: Ways | Make) -> bool:
        """Write a record, or what is made of *thing*, in a moment; whether that can wait.

        Args:
            thing: A record, or something of which one is made.
            how: Where the record goes, or what makes records of such things.
        """
        if not self.running:
            return False
        owed = self._owed
        owed.append((thing, how))
        if not 1 < len(owed) < BATCH:
            self._due()
        return True

    def _due(self) -> None:
        if len(self._owed) >= BATCH:
            self.write()
        else:
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
        with contextlib.suppress(IndexError):  # fewer than that wait
            # in C: neither a thread nor a signal handler comes between what is taken and kept
            batch.extend(map(deque.popleft, repeat(self._owed, BATCH)))
        for way, records in _shares(batch):
            try:
                way(records)
            except Exception as error:
                count_failure("logs.sink", error)

    # --- life ----------------------------------------------------------------------------------
    def start(self) -> None:
        """Let records wait, if a thread can write them."""
        if self.running or not _threads_run():
            return
        # a clock of its own: a thread that was just stopped may still be waking up
        self._wake = Waker()
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

    def _run(self, wake: Waker) -> None:
        while self.running and wake is self._wake:
            if wake.wait(1.0):
                time.sleep(DELAY_S)
            if self._owed:
                self.write()


def _shares(batch: list[Owed]) -> Iterator[tuple[WriteMany, list[Record]]]:
    """Every way, and its records of *batch* in order; there are few kinds of debts in one."""
    hows = {id(how): how for _, how in batch}
    if len(hows) == 1:
        yield from _share_of_one_kind(batch)
        return
    ways_of: dict[int, Ways] = {}
    records_of: dict[int, Iterator[Record | None]] = {}
    for kind, how in hows.items():
        records, ways_of[kind] = _kept(how, [thing for thing, other in batch if other is how])
        records_of[kind] = chain(records, repeat(None))
    kinds = [id(how) for _, how in batch]
    order = list(map(next, map(records_of.__getitem__, kinds)))
    shares: dict[frozenset[int], list[Record]] = {}
    for way in dict.fromkeys(chain.from_iterable(ways_of.values())):
        takes = frozenset(kind for kind, ways in ways_of.items() if way in ways)
        if takes not in shares:
            pairs = zip(order, kinds, strict=True)
            shares[takes] = [r for r, kind in pairs if r is not None and kind in takes]
        if shares[takes]:
            yield way, shares[takes]


def _share_of_one_kind(batch: list[Owed]) -> Iterator[tuple[WriteMany, list[Record]]]:
    """As `_shares`, where all goes the same ways: most batches."""
    records, ways = _kept(batch[0][1], [thing for thing, _ in batch])
    share = [record for record in records if record is not None]
    for way in ways if share else ():
        yield way, share


def _kept(how: Ways | Make, things: list[Any]) -> Made:
    """Records as they are, promises kept with one call."""
    if isinstance(how, tuple):
        return things, how
    try:
        return how(things)
    except Exception as error:
        count_failure("logs.promise", error)
        return (), ()


def _threads_run() -> bool:
    """Whether threads run between requests: uWSGI stops them unless told otherwise."""
    uwsgi: Any = sys.modules.get("uwsgi")
    return uwsgi is None or "enable-threads" in getattr(uwsgi, "opt", {})
