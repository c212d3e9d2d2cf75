"""Makes one payload of what waits in a signal's queue.

What becomes of the payload is decided in `export.signal_exporter`.
"""

from __future__ import annotations

from typing import Protocol

from proletto_otel.core.internal_errors import count_failure
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.export.encoding import envelope
from proletto_otel.export.payload import Payload
from proletto_otel.export.queue import ExportQueue


class ResourceBytes(Protocol):
    """The resource's bytes; *instance_id* stands for the host's series instead of this process."""

    def __call__(self, instance_id: str = "") -> bytes: ...


class BatchReader:
    """Reads batches out of the queue; used by the export thread alone.

    Args:
        resource: The resource's bytes in this process.
        scope: The scope of items that name none.
        encoding: `gzip`, or empty.
    """

    def __init__(
        self,
        queue: ExportQueue,
        ledger: Ledger,
        *,
        resource: ResourceBytes,
        scope: bytes,
        encoding: str,
    ) -> None:
        self._queue, self._ledger = queue, ledger
        self._resource, self._scope, self._encoding = resource, scope, encoding

    def next(self) -> Payload | None:
        """The next payload; `None` when nothing waits. `ExportQueue.confirm` ends its batch."""
        while groups := self._queue.take():
            try:
                return self._payload(groups)
            except Exception:  # find out which item it is
                groups = self._without_bad_items(groups)
            if groups:
                return self._payload(groups)
            self._queue.confirm()
        return None

    def _payload(self, groups: dict[bytes, list[bytes]]) -> Payload:
        named = [(scope or self._scope, items) for scope, items in groups.items()]
        request = envelope.request(self._resource(), named)
        return Payload.of(request, sum(map(len, groups.values())), self._encoding)

    def _without_bad_items(self, groups: dict[bytes, list[bytes]]) -> dict[bytes, list[bytes]]:
        # One item that is no bytes fails the whole request: each is tried alone, the bad ones are
        # counted, and the others go out in this batch.
        good: dict[bytes, list[bytes]] = {}
        for scope, items in groups.items():
            for item in items:
                try:
                    self._payload({scope: [item]})
                except Exception as error:
                    count_failure("export.encode", error)
                    self._ledger.dropped(self._queue.sink, "encode_error")
                else:
                    good.setdefault(scope, []).append(item)
        return good
