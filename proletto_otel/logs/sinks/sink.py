"""Base class of sinks: where log records go.

Counting: for an ordinary sink the pipeline counts each record as emitted, and as delivered when
`write` returns or dropped (`error`) when it raises. A sink with a queue of its own sets `queued`
and counts what it delivers and drops itself; the pipeline still counts what it is handed.

The pipeline that calls sinks lives in `logs.pipeline`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from proletto_otel.core.internal_errors import count_failure
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.record.record import Record


class Sink:
    """Base of all sinks; one's own needs a name and `write`, and is added by `add_sink`.

    >>> class Kafka(Sink):
    ...     name = "kafka"
    ...     level = logging.WARNING
    ...     def write(self, record):
    ...         producer.send("logs", record.json)
    """

    name: str = "sink"
    """Under which its counts appear."""

    level: int = logging.NOTSET
    """Records below it never reach `write`."""

    queued: bool = False
    """Whether `write` only queues: then the sink counts what it delivers and drops."""

    counts: bool = False
    """Whether the sink makes every count itself, *emitted* too; the built-in fast ones do."""

    console: bool = False
    """Whether records that may go nowhere else (our own, the exporters') go to this sink."""

    may_wait: bool = False
    """Whether its copies of DEBUG and INFO lines may come a little later; see
    `runtime.deferred_writer`."""

    safe_copy: bool = False
    """Whether a line is safe from a crash of the process once `write` returned."""

    last_error: str = ""
    """The latest failure in words, without secrets; empty when the latest write was well."""

    def write(self, record: Record) -> None:
        """Take one record; runs in the caller's thread, so it must neither wait nor lock long."""
        raise NotImplementedError

    def write_many(self, records: Sequence[Record]) -> None:
        """Take several records at once; only sinks that `may_wait` are asked to."""
        for record in records:
            try:
                self.write(record)
            except Exception as error:  # the others still have to be written
                count_failure("logs.sink", error)

    def start(self) -> None:
        """Begin, in the process that serves; threads and sockets may start here."""

    def stop(self, deadline: float) -> None:
        """Deliver what can be delivered until *deadline* (`time.monotonic()`), count the rest."""

    def flush(self, deadline: float) -> bool:
        """Deliver what is queued until *deadline*; whether all of it was."""
        return True

    def forked(self) -> None:
        """In a child right after a fork: fresh locks, empty queues, no inherited connection."""

    def status(self) -> dict[str, Any]:
        """Health for people: sent, dropped by reason, last error."""
        totals = ledger.totals().get(self.name)
        return {
            "sent": totals["delivered"] if totals else 0,
            "dropped": dict(totals["dropped"]) if totals else {},
            "last_error": self.last_error,
            "healthy": not self.last_error,
        }
