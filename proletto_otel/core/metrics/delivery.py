"""What became of every record: emitted = delivered + spooled + dropped by reason + still queued.

The counts are cells of the process registry, so `/metrics` and OTLP show them as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proletto_otel.core.conventions import (
    TELEMETRY_DELIVERED,
    TELEMETRY_DROPPED,
    TELEMETRY_EMITTED,
    TELEMETRY_SPOOLED,
)
from proletto_otel.core.metrics.registry import Cell, Registry, registry

if TYPE_CHECKING:
    from typing import TypedDict

    class SinkTotals(TypedDict):
        """One sink's counts, in records."""

        emitted: int
        delivered: int
        spooled: int
        dropped: dict[str, int]


class Ledger:
    """Counts records by sink; a call is one addition, safe in signal handlers and threads."""

    def __init__(self, source: Registry) -> None:
        self._emitted = source.counter(TELEMETRY_EMITTED)
        self._delivered = source.counter(TELEMETRY_DELIVERED)
        self._spooled = source.updown(TELEMETRY_SPOOLED)
        self._dropped = source.counter(TELEMETRY_DROPPED)

    def emitted_cell(self, sink: str) -> Cell:
        """The counter of *sink* for a hot path that keeps it."""
        return self._emitted.cell((sink,))

    def delivered_cell(self, sink: str) -> Cell:
        """The counter of *sink* for a hot path that keeps it."""
        return self._delivered.cell((sink,))

    def emitted(self, sink: str, n: int = 1) -> None:
        """*n* records were handed to *sink*."""
        self._emitted.cell((sink,)).add(n)

    def delivered(self, sink: str, n: int = 1) -> None:
        """*n* records arrived where *sink* sends them."""
        self._delivered.cell((sink,)).add(n)

    def spooled(self, sink: str, n: int) -> None:
        """*n* records went to disk; negative when they were taken out again."""
        self._spooled.cell((sink,)).add(n)

    def dropped(self, sink: str, reason: str, n: int = 1) -> None:
        """*n* records of *sink* are lost, and why."""
        self._dropped.cell((sink, reason)).add(n)

    def totals(self) -> dict[str, SinkTotals]:
        """This process's counts by sink."""
        totals: dict[str, SinkTotals] = {}

        def of(sink: object) -> SinkTotals:
            empty: SinkTotals = {"emitted": 0, "delivered": 0, "spooled": 0, "dropped": {}}
            return totals.setdefault(str(sink), empty)

        # One cell after the other, without a lock: a record on its way between two of them makes
        # the sums differ for as long as it is under way.
        for values, cell in self._emitted.items():
            of(values[0])["emitted"] = int(cell.value)
        for values, cell in self._delivered.items():
            of(values[0])["delivered"] = int(cell.value)
        for values, cell in self._spooled.items():
            of(values[0])["spooled"] = int(cell.value)
        for values, cell in self._dropped.items():
            of(values[0])["dropped"][str(values[1])] = int(cell.value)
        return totals


ledger = Ledger(registry)
"""The process's ledger."""
