"""Reads all metrics once an interval and hands them to their exporter.

Counts are cumulative, so a push that waited on disk or was lost costs resolution, not totals.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.push import MetricSource, Push
from proletto_otel.core.metrics.registry import Family
from proletto_otel.export.encoding.metrics import metrics
from proletto_otel.export.signal_exporter import SignalExporter


class OwnNumbers:
    """Everything *collect* gives, sent by this process for itself."""

    def __init__(self, collect: Callable[[], list[Family]]) -> None:
        self._collect = collect

    def collect(self) -> Push:
        """Every metric of this process, as a push."""
        now = time.time_ns()
        return Push("", self._collect(), now)

    def collect_last(self, deadline: float) -> Push:
        """Every metric of this process, as a push."""
        return self.collect()

    def forked(self) -> None:
        """Do nothing: there is no state."""

    def resign(self) -> None:
        """No other process would take over: each sends its own."""


class MetricReader:
    """Reads all metrics and gives them to their exporter.

    Args:
        source: Everything to send.
        interval_s: Time between two pushes, seconds.
        clock: Monotonic seconds.
        due_at: When the first push is due (monotonic).
    """

    def __init__(
        self,
        exporter: SignalExporter,
        source: MetricSource,
        interval_s: float,
        clock: Callable[[], float],
        due_at: float,
    ) -> None:
        self._exporter, self._source, self._interval_s = exporter, source, interval_s
        self._clock = clock
        self._due_at = due_at

    def due_in_s(self) -> float:
        """Seconds until the interval is over."""
        return self._due_at - self._clock()

    def run(self, deadline: float) -> bool:
        """Push now; whether it was delivered."""
        self._due_at = self._clock() + self._interval_s
        with suppressed("export.metrics"):
            return self._send(self._source.collect(), deadline)
        return True

    def run_last(self, deadline: float) -> bool:
        """Push at the end of the process; whether it was delivered."""
        with suppressed("export.metrics"):
            try:
                # Half of the time at most is spent waiting for another worker that ends, too: the
                # last one of a host sends its totals, and needs the other half for that.
                wait_until = (self._clock() + deadline) / 2
                return self._send(self._source.collect_last(wait_until), deadline)
            finally:
                self._source.resign()
        return True

    def _send(self, push: Push | None, deadline: float) -> bool:
        if push is None or not push.families:
            return True
        exporter = self._exporter
        resource = exporter.resource(push.instance_id)
        request = self._encode(push.families, resource, push.time_ns)
        # Two requests joined are one (protobuf repeats the field). The zeros come first and are
        # older: Prometheus needs a sample before a counter's first value, or `rate` misses that
        # value.
        if push.zeros:
            request = self._encode(push.zeros, resource, push.zeros_ns) + request
        return exporter.send_metrics(request, deadline)

    def _encode(self, families: Sequence[Family], resource: bytes, time_ns: int) -> bytes:
        scope = self._exporter.scope
        try:
            return metrics(families, resource, time_ns, scope)
        except Exception:  # find out which it is: one bad metric must not cost all others
            good = []
            for family in families:
                with suppressed("export.encode"):
                    metrics([family], resource, time_ns, scope)
                    good.append(family)
            return metrics(good, resource, time_ns, scope)
