"""The queue of one signal: request threads put encoded items, the export thread takes batches.

`put` is on the request path: no lock, no wait, no exception. When the queue is full the oldest item
is dropped and counted. Sending lives in `export.signal_exporter`, the thread in
`export.export_thread`.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate, repeat
from typing import cast

from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.delivery import ledger as process_ledger

MAX_BATCH_BYTES = 4_000_000
"""The collector refuses requests over 20 MiB; many vendors over 4 MB."""
MAX_QUEUE_BYTES = 24_000_000
"""With 8,192 spans of 0.5 KB never met; it bounds a queue of 32 KB log records."""
QUEUE_FULL = "queue_full"
AFTER_SHUTDOWN = "after_shutdown"

Queued = bytes | tuple[bytes, bytes]
"""An item, or its scope and the item."""


class ExportQueue:
    """Encoded items of one signal on their way out.

    Args:
        sink: Name in the ledger.
        max_queue: Items; beyond it the oldest is dropped.
        max_items: Items in one batch; so many wake the export thread at once.
        enabled: `False` makes `put` do nothing, so that callers need not ask.
        wake: Called when a batch is full.
    """

    def __init__(
        self,
        sink: str,
        *,
        max_queue: int,
        max_items: int = 512,
        max_bytes: int = MAX_BATCH_BYTES,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
        enabled: bool = True,
        wake: Callable[[], object] = lambda: None,
        ledger: Ledger = process_ledger,
    ) -> None:
        self.sink = sink
        self.enabled = enabled
        self.max_items = max_items
        self.bytes = 0
        self.taken: list[Queued] = []
        """Items between queue and request; put back if the export thread fails there."""
        self._max_queue, self._max_bytes = max_queue, max_bytes
        self._max_queue_bytes = max_queue_bytes
        self.wake_at = max_items
        """Items at which `put` wakes the export thread; 1 when that thread was lost."""
        self._wake = wake
        self._ledger = ledger
        self._emitted = ledger.emitted_cell(sink)
        self._queue: deque[Queued] = deque()
        self._open = enabled

    def __len__(self) -> int:
        return len(self._queue) + len(self.taken)

    def put(self, item: bytes, scope: bytes = b"") -> None:
        """Queue an encoded item; never blocks, never raises.

        Args:
            item: What `encoding.otlp` made of a span or a record.
            scope: What `otlp.scope` gave, unless it is the library's own scope.
        """
        if not self._open:
            if self.enabled:
                self._emitted.add(1)
                self._ledger.dropped(self.sink, AFTER_SHUTDOWN)
            return
        queue = self._queue
        size = len(item)
        if len(queue) >= self._max_queue or self.bytes + size > self._max_queue_bytes:
            self._make_room(size)
        queue.append((scope, item) if scope else item)
        # No lock: `deque.append` is one call of C, and CPython changes threads only at calls and
        # backward jumps, so no thread comes between reading and storing in these additions
        # (`core.metrics.values`). `queue.Queue` dead-locked in a storm of signals (measured).
        self.bytes += size
        self._emitted.value += 1
        if len(queue) >= self.wake_at:
            self._wake()

    def put_many(self, items: Sequence[bytes]) -> None:
        """Queue several encoded items of the library's own scope."""
        size = sum(map(len, items))
        roomy = len(self._queue) + len(items) <= self._max_queue
        if not (self._open and roomy and self.bytes + size <= self._max_queue_bytes):
            for item in items:
                self.put(item)
            return
        self._queue.extend(items)
        self.bytes += size
        self._emitted.add(len(items))
        if len(self._queue) >= self.wake_at:
            self._wake()

    def take(self) -> dict[bytes, list[bytes]]:
        """The next batch, items by scope; empty when there is none. `confirm` ends it."""
        start = len(self.taken)
        # One call of C takes and keeps: no signal handler and no thread runs between the two, so an
        # item is always in the queue or in `taken`. It ends by `IndexError` when fewer items wait.
        with contextlib.suppress(IndexError):
            take = map(deque.popleft, repeat(self._queue, self.max_items - start))
            self.taken.extend(take)
        found = self.taken[start:]
        if set(map(type, found)) == {bytes}:  # most batches
            groups = {b"": cast("list[bytes]", found)}
        else:
            groups = _by_scope(found)
        # Summed over the whole batch in C, and not item by item while taking: this thread holds the
        # interpreter meanwhile, and requests wait.
        size = sum(sum(map(len, items)) for items in groups.values())
        if size >= self._max_bytes and len(found) > 1:
            return self._fewer(found)
        self.bytes -= size
        return groups

    def _fewer(self, found: list[Queued]) -> dict[bytes, list[bytes]]:
        """As many of the items as one request may hold; the others go back."""
        sizes = accumulate(map(_size, found))
        fitting = next(n for n, size in enumerate(sizes, 1) if size >= self._max_bytes)
        del self.taken[len(self.taken) - len(found) + fitting :]
        self._queue.extendleft(reversed(found[fitting:]))
        size = sum(map(_size, found[:fitting]))
        self.bytes -= size
        return _by_scope(found[:fitting])

    def confirm(self) -> None:
        """End the batch: its items are in a request now."""
        self.taken.clear()

    def put_back(self) -> None:
        """Put a batch back that did not become a request."""
        taken, self.taken = self.taken, []
        size = sum(_size(entry) for entry in taken)
        self.bytes += size
        self._queue.extendleft(reversed(taken))

    def open(self) -> None:
        """Accept items (again)."""
        self._open = self.enabled

    def close(self) -> None:
        """Refuse items: nobody will send them."""
        self._open = False

    def forked(self) -> None:
        """Begin empty in a child: what was queued is the parent's to send."""
        self._queue = deque()
        self.taken = []
        self.bytes = 0

    def _make_room(self, size: int) -> None:
        queue = self._queue
        while queue and (
            len(queue) >= self._max_queue or self.bytes + size > self._max_queue_bytes
        ):
            try:
                gone = _size(queue.popleft())
            except IndexError:  # the export thread took the rest
                return
            self.bytes -= gone
            self._ledger.dropped(self.sink, QUEUE_FULL)


def _by_scope(entries: list[Queued]) -> dict[bytes, list[bytes]]:
    groups: dict[bytes, list[bytes]] = {}
    for entry in entries:
        scope, item = (b"", entry) if isinstance(entry, bytes) else entry
        groups.setdefault(scope, []).append(item)
    return groups


def _size(entry: Queued) -> int:
    return len(entry[1] if isinstance(entry, tuple) else entry)
