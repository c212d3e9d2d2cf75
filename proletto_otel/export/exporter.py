"""The OTLP exporter of a process, built from the settings: its queues and the thread behind them.

Others put encoded items into `traces` and `logs` and hand over what reads the metrics; how it gets
out is the business of `export.export_thread` and `export.sending`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proletto_otel.core.config import Config
from proletto_otel.core.conventions import (
    TELEMETRY_QUEUE_SIZE,
    TELEMETRY_SPOOL_AGE,
    TELEMETRY_SPOOL_BYTES,
)
from proletto_otel.core.metrics.push import MetricSource
from proletto_otel.core.metrics.registry import Registry, registry
from proletto_otel.export.export_thread import ExportThread
from proletto_otel.export.queue import ExportQueue
from proletto_otel.export.resource import Resource
from proletto_otel.runtime.lifecycle import Component

if TYPE_CHECKING:
    from proletto_otel.core.metrics.registry import Family
    from proletto_otel.export.sending import Sending

FIRST_AFTER_S = 1.0
"""The first push of metrics, soon after the start: an idle service is not silent for an
interval."""


class OtlpExporter(Component):
    """Traces, logs and metrics to a collector; a `Component` of the lifecycle.

    Args:
        config: The settings.
        state_dir: The state directory; `None`: what cannot be delivered stays in memory.
        resource: Who sends.
        collect: Reads every metric, to be pushed at each interval; see `metrics`.
        environ: For proxies.
        clock: Monotonic seconds.
    """

    name = "otlp"
    gate: threading.RLock

    def __init__(
        self,
        config: Config,
        state_dir: Path | None,
        resource: Resource | None = None,
        collect: Callable[[], list[Family]] | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.resource = resource or Resource(config)
        self._config, self._state_dir = config, state_dir
        self._environ, self._clock = environ, clock
        self.traces = self._new_queue("traces", config.trace_queue, config.trace_batch)
        self.logs = self._new_queue("logs", config.log_queue, config.log_batch)
        self._queues = {"traces": self.traces, "logs": self.logs}
        # Metrics pass no queue: the reader hands each push to the exporter as one request. This one
        # only holds the sink's name and whether the signal is on.
        self._queues["metrics"] = self._new_queue("metrics", 1, 1)
        enabled = [queue for queue in self._queues.values() if queue.enabled]
        self.gate = threading.RLock()
        self._made: Sending | None = None
        self._source: tuple[MetricSource, float, float] | None = None
        self._thread = ExportThread(enabled, self.sending, lambda: self._made, clock)
        if collect is not None:
            from proletto_otel.export.metric_reader import OwnNumbers

            self.metrics(OwnNumbers(collect))

    def sending(self) -> Sending:
        """What is between the queues and the collector; imported and made by who asks first."""
        made = self._made
        if made is not None:
            return made
        # The gate: no process forks meanwhile, whose child would wait for a module's import lock.
        with self.gate:
            if self._made is None:
                from proletto_otel.export.sending import Sending

                made = Sending(
                    self._config, self._state_dir, self._queues, self.resource, self._environ,
                    self._clock,
                )  # fmt: skip
                if self._source is not None:
                    made.read_metrics(*self._source)
                self._made = made
            return self._made

    def metrics(self, source: MetricSource, interval_s: float | None = None) -> None:
        """Push what *source* gives every *interval_s* seconds, at a flush and at the end."""
        if not self._queues["metrics"].enabled:
            return
        seconds = interval_s or self._config.metric_interval_ms / 1000
        with self.gate:
            self._source = (source, seconds, self._clock() + min(FIRST_AFTER_S, seconds))
            if self._made is not None:
                self._made.read_metrics(*self._source)

    def start(self) -> None:
        """Start sending in this process."""
        self.observe()
        self._thread.start()

    def flush(self, deadline: float) -> bool:
        """Send what is queued by *deadline* (monotonic); whether all of it was delivered."""
        return self._thread.flush(deadline)

    def stop(self, deadline: float) -> None:
        """Send until *deadline* (monotonic), then put the rest on disk."""
        self._thread.stop(deadline)

    def forked(self) -> None:
        """Begin afresh in a child."""
        self.gate = threading.RLock()
        for queue in self._queues.values():
            queue.forked()
        self._thread.forked()
        if self._made is not None:
            self._made.forked()
        if self._source is not None:
            self._source[0].forked()

    def pending(self, signal: str) -> int:
        """Records of *signal* in memory."""
        exporter = self.sending().exporters.get(signal)
        return exporter.pending if exporter else 0

    def status(self) -> dict[str, Any]:
        """State, queue and spool of each signal, for `Telemetry.status` and the admin page."""
        return self.sending().status()

    def observe(self, source: Registry = registry) -> None:
        """Show queue and spool sizes among the metrics of *source*."""
        # Read when somebody collects, so that no queue has to count on the request path.
        sinks = {s: queue.sink for s, queue in self._queues.items() if queue.enabled}
        source.observe(
            TELEMETRY_QUEUE_SIZE, lambda: [((sink,), self.pending(s)) for s, sink in sinks.items()]
        )
        source.observe(
            TELEMETRY_SPOOL_BYTES,
            lambda: [((sink,), self._spool.usage(s).bytes) for s, sink in sinks.items()],
        )
        source.observe(
            TELEMETRY_SPOOL_AGE,
            lambda: [((sink,), self._spool.usage(s).age_s) for s, sink in sinks.items()],
        )

    @property
    def _spool(self) -> Any:
        return self.sending().spool

    @property
    def _exporters(self) -> Any:
        return self.sending().exporters

    @property
    def _destinations(self) -> Any:
        return self.sending().destinations

    def _new_queue(self, signal: str, max_queue: int, max_items: int) -> ExportQueue:
        config = self._config
        wanted = getattr(config, f"{signal}_exporter") == "otlp" and not config.sdk_disabled
        return ExportQueue(
            f"otlp_{signal}",
            max_queue=max_queue,
            max_items=min(max_items, max_queue),
            enabled=wanted,
            wake=lambda: self._thread.wake(),  # a lambda: the thread is made after its queues
        )
