"""Payloads of one signal that could not be delivered: on disk, in memory while the disk refuses.

When they are sent again is decided in `export.signal_exporter`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.export.payload import Payload
from proletto_otel.export.spool.spool import Spool, reason

MAX_MEMORY_BYTES = 8_000_000
"""Payloads held in memory while even the disk refuses them."""
DISK_RETRY_S = 1.0


class Undelivered:
    """Takes payloads, and counts those for which neither disk nor memory has room.

    Args:
        signal: `traces`, `logs` or `metrics`.
        sink: Name in the ledger.
        clock: Monotonic seconds.
    """

    def __init__(
        self, signal: str, sink: str, spool: Spool, ledger: Ledger, clock: Callable[[], float]
    ) -> None:
        self._signal, self._sink = signal, sink
        self._spool, self._ledger, self._clock = spool, ledger, clock
        self.forked()

    def forked(self) -> None:
        """Begin empty in a child."""
        self._in_memory: deque[Payload] = deque()
        self._disk_again_at = 0.0

    @property
    def items(self) -> int:
        """Records in memory."""
        # A copy first, in one call of C: other threads ask while the export thread appends.
        return sum(payload.items for payload in tuple(self._in_memory))

    def store(self, payload: Payload) -> None:
        """Write *payload* to disk, or hold it in memory; the oldest there goes when it is full."""
        why = self._to_disk(payload)
        if why:
            self._in_memory.append(payload)
            self._disk_again_at = self._clock() + DISK_RETRY_S
        # In memory only while the disk is full, read-only or gone; the bytes are bounded because
        # that may last for days, and the oldest goes because it is the least useful.
        while sum(len(p.body) for p in self._in_memory) > MAX_MEMORY_BYTES:
            self._ledger.dropped(self._sink, why, self._in_memory.popleft().items)

    def is_due(self) -> bool:
        """Whether the disk may be asked again for what is in memory."""
        return self._clock() >= self._disk_again_at

    def take(self) -> list[Payload]:
        """What is in memory, the oldest first; the caller has it now."""
        taken, self._in_memory = list(self._in_memory), deque()
        return taken

    def finish(self) -> None:
        """Write to disk what is in memory; count what the disk does not take."""
        while self._in_memory:
            payload = self._in_memory.popleft()
            why = self._to_disk(payload)
            if why:
                self._ledger.dropped(self._sink, why, payload.items)

    def _to_disk(self, payload: Payload) -> str:
        """Spool a payload; the reason in a word if that is not possible."""
        try:
            self._spool.write(self._signal, payload)
        except OSError as error:
            why = reason(error)
            message = "undelivered telemetry cannot be written to %s: %s"
            where = self._spool.directory or "a file"
            log_rate_limited("otlp:spool", message, where, error.strerror or why)
            return why
        return ""
