"""The OTLP exporter of a process, built from the settings: queues, destinations, spool, one thread.

Others put encoded items into `traces` and `logs` and hand over what reads the metrics; how it gets
out is the business of `export.export_thread` and the modules below it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from proletto_otel.core.config import Config
from proletto_otel.core.conventions import (
    TELEMETRY_QUEUE_SIZE,
    TELEMETRY_SPOOL_AGE,
    TELEMETRY_SPOOL_BYTES,
)
from proletto_otel.core.metrics.push import MetricSource
from proletto_otel.core.metrics.registry import Family, Registry, registry
from proletto_otel.export.destination import Destination
from proletto_otel.export.encoding import otlp
from proletto_otel.export.endpoint import Peer, is_configured
from proletto_otel.export.export_thread import ExportThread
from proletto_otel.export.metric_reader import MetricReader, OwnNumbers
from proletto_otel.export.queue import ExportQueue
from proletto_otel.export.resource import DISTRO, Resource
from proletto_otel.export.route import Route
from proletto_otel.export.signal_exporter import SignalExporter
from proletto_otel.export.spool.spool import Spool
from proletto_otel.runtime.lifecycle import Component

SPOOL_MAX_BYTES = 512_000_000
SPOOL_MAX_BYTES_UNCONFIGURED = 4_000_000
"""Less for those who never asked for OTLP: enough for a collector that starts after the
application, and little to find in `logs/` where none ever comes."""


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
        self._config, self._clock = config, clock
        self._route = Route(config)
        self._spool = _spool(config, state_dir)
        self._destinations: dict[Peer, Destination] = {}
        self.traces = self._new_queue("traces", config.trace_queue, config.trace_batch)
        self.logs = self._new_queue("logs", config.log_queue, config.log_batch)
        queues = {"traces": self.traces, "logs": self.logs}
        # Metrics pass no queue: the reader hands each push to the exporter as one request. This one
        # only holds the sink's name and whether the signal is on.
        queues["metrics"] = self._new_queue("metrics", 1, 1)
        self._exporters = {
            signal: self._exporter(signal, queue, environ)
            for signal, queue in queues.items()
            if queue.enabled
        }
        self._thread = ExportThread(list(self._exporters.values()), self._spool, clock)
        if collect is not None:
            self.metrics(OwnNumbers(collect))

    def metrics(self, source: MetricSource, interval_s: float | None = None) -> None:
        """Push what *source* gives every *interval_s* seconds, at a flush and at the end."""
        exporter = self._exporters.get("metrics")
        if exporter is not None:
            seconds = interval_s or self._config.metric_interval_ms / 1000
            self._thread.metric_reader = MetricReader(exporter, source, seconds, self._clock)

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
        self._thread.forked()

    def pending(self, signal: str) -> int:
        """Records of *signal* in memory."""
        exporter = self._exporters.get(signal)
        return exporter.pending if exporter else 0

    def status(self) -> dict[str, Any]:
        """State, queue and spool of each signal, for `Telemetry.status` and the admin page."""
        signals: dict[str, dict[str, Any]] = {}
        for signal, exporter in self._exporters.items():
            usage = self._spool.usage(signal)
            # Down for everybody comes before refused for this signal.
            parts = (exporter.destination, exporter)
            states = [part.breaker.state for part in parts]
            # The error of what holds it up: one that was mended stays the last one of its part.
            errors = [part.last_error for part in parts if part.breaker.state != "closed"]
            signals[signal] = {
                "endpoint": exporter.endpoint.shown,
                "state": next((state for state in states if state != "closed"), "closed"),
                "last_error": next(
                    filter(None, (*errors, exporter.last_error, exporter.destination.last_error)),
                    "",
                ),
                "queued": exporter.pending,
                "spooled": usage.items,
                "spool_bytes": usage.bytes,
                "spool_age_s": usage.age_s,
            }
        # What waits on disk is no fault: a breaker that is not closed is.
        healthy = all(s["state"] == "closed" for s in signals.values())
        directory = str(self._spool.directory) if self._spool.directory else None
        return {"healthy": healthy, "spool": directory, "signals": signals}

    def observe(self, source: Registry = registry) -> None:
        """Show queue and spool sizes among the metrics of *source*."""
        # Read when somebody collects, so that no queue has to count on the request path.
        usage, exporters = self._spool.usage, self._exporters
        source.observe(
            TELEMETRY_QUEUE_SIZE, lambda: [((e.queue.sink,), e.pending) for e in exporters.values()]
        )
        source.observe(
            TELEMETRY_SPOOL_BYTES,
            lambda: [((e.queue.sink,), usage(s).bytes) for s, e in exporters.items()],
        )
        source.observe(
            TELEMETRY_SPOOL_AGE,
            lambda: [((e.queue.sink,), usage(s).age_s) for s, e in exporters.items()],
        )

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

    def _exporter(
        self, signal: str, queue: ExportQueue, environ: Mapping[str, str]
    ) -> SignalExporter:
        config, to = self._config, self._route.endpoint(signal, environ)
        delays = {"traces": config.trace_delay_ms, "logs": config.log_delay_ms}
        return SignalExporter(
            signal,
            queue,
            to,
            self._destination(to.peer),
            self._spool,
            resource=self.resource.encoded,
            scope=otlp.scope(DISTRO),
            encoding=self._route.encoding(to.peer),
            delay_s=delays.get(signal, 500) / 1000,
            clock=self._clock,
        )

    def _destination(self, peer: Peer) -> Destination:
        # Signals with the same peer share connection and breaker: one that is down is asked once.
        found = self._destinations.get(peer)
        if found is None:
            where = self._spool.directory
            found = self._destinations[peer] = Destination(
                self._route.connection(peer),
                peer.shown,
                expected=is_configured(self._config),
                waits_in=str(where) if where else "memory",
                timeout_s=self._config.otlp_timeout_ms / 1000,
                clock=self._clock,
            )
        return found


def _spool(config: Config, state_dir: Path | None) -> Spool:
    default = SPOOL_MAX_BYTES if is_configured(config) else SPOOL_MAX_BYTES_UNCONFIGURED
    return Spool(
        state_dir / "spool" if state_dir is not None else None,
        max_bytes=config.spool_max_bytes or default,
        max_age_s=config.spool_max_hours * 3600,
    )
