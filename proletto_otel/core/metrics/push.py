"""What is sent of the metrics at one time, and who is asked for it.

`state.host_totals` is the source where processes share a directory; `export.metric_reader` sends.
"""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from proletto_otel.core.metrics.values import Family
from proletto_otel.core.record import record


@record(frozen=True, slots=True)
class Push:
    """What is sent now."""

    instance_id: str
    """`service.instance.id` of the host's series; empty: this process speaks for itself."""

    families: list[Family]

    time_ns: int
    """Before they were read, unix time in nanoseconds: should two processes send at once, the
    older numbers also have the older time, whichever arrives first."""

    zeros: list[Family] = field(default_factory=list)
    """Counts that begin with this push, at 0: without it `increase()` never sees their first
    value, which for a rare error is all of it."""

    zeros_ns: int = 0
    """When they still were 0, unix time in nanoseconds."""


class MetricSource(Protocol):
    """Decides whether this process sends, and what."""

    def collect(self) -> Push | None:
        """What to send now; None where another process of the host sends."""

    def collect_last(self, deadline: float) -> Push | None:
        """As `collect`, at the end of the process; may wait until *deadline* (monotonic)."""

    def forked(self) -> None:
        """A child sends nothing of its parent's."""

    def resign(self) -> None:
        """The last push is done: let another process send."""
