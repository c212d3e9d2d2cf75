"""What the export thread works with: destinations, spool, and an exporter for each signal.

Made, and imported, by that thread when it starts, or by who asks before that: no program's start
waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from proletto_otel.core.config import Config
from proletto_otel.core.metrics.push import MetricSource
from proletto_otel.export.destination import Destination
from proletto_otel.export.encoding import otlp
from proletto_otel.export.endpoint import Peer, is_configured
from proletto_otel.export.metric_reader import MetricReader
from proletto_otel.export.queue import ExportQueue
from proletto_otel.export.resource import DISTRO, Resource
from proletto_otel.export.route import Route
from proletto_otel.export.signal_exporter import SignalExporter
from proletto_otel.export.spool.spool import Spool

SPOOL_MAX_BYTES = 512_000_000
SPOOL_MAX_BYTES_UNCONFIGURED = 4_000_000
"""Less for those who never asked for OTLP: enough for a collector that starts after the
application, and little to find in `logs/` where none ever comes."""


class Sending:
    """Everything between the queues and the collector, used by the export thread alone.

    Args:
        config: The settings.
        state_dir: The state directory; `None`: what cannot be delivered stays in memory.
        queues: By signal.
        resource: Who sends.
        environ: For proxies.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        config: Config,
        state_dir: Path | None,
        queues: Mapping[str, ExportQueue],
        resource: Resource,
        environ: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self._config, self._clock, self._resource = config, clock, resource
        self._route = Route(config)
        self.spool = _spool(config, state_dir)
        self.destinations: dict[Peer, Destination] = {}
        self.exporters = {
            signal: self._exporter(signal, queue, environ)
            for signal, queue in queues.items()
            if queue.enabled
        }
        self.metric_reader: MetricReader | None = None

    def read_metrics(self, source: MetricSource, interval_s: float, due_at: float) -> None:
        """Push what *source* gives each *interval_s* seconds, from *due_at* (monotonic) on."""
        exporter = self.exporters.get("metrics")
        if exporter is not None:
            self.metric_reader = MetricReader(exporter, source, interval_s, self._clock, due_at)

    def open(self) -> None:
        """The thread begins: the first batch waits as long as any."""
        for exporter in self.exporters.values():
            exporter.open()

    def forked(self) -> None:
        """Begin afresh in a child: no connection, nothing under way."""
        for exporter in self.exporters.values():
            exporter.forked()
            exporter.destination.forked()
        self.spool.forked()

    def status(self) -> dict[str, Any]:
        """State, queue and spool of each signal, for `Telemetry.status` and the admin page."""
        signals = {signal: self._signal(signal) for signal in self.exporters}
        # What waits on disk is no fault: a breaker that is not closed is.
        healthy = all(s["state"] == "closed" for s in signals.values())
        directory = str(self.spool.directory) if self.spool.directory else None
        return {"healthy": healthy, "spool": directory, "signals": signals}

    def _signal(self, signal: str) -> dict[str, Any]:
        exporter, usage = self.exporters[signal], self.spool.usage(signal)
        # Down for everybody comes before refused for this signal.
        parts = (exporter.destination, exporter)
        states = [part.breaker.state for part in parts]
        # The error of what holds it up: one that was mended stays the last one of its part.
        errors = [part.last_error for part in parts if part.breaker.state != "closed"]
        return {
            "endpoint": exporter.endpoint.shown,
            "state": next((state for state in states if state != "closed"), "closed"),
            "last_error": next(
                filter(None, (*errors, exporter.last_error, exporter.destination.last_error)), ""
            ),
            "queued": exporter.pending,
            "spooled": usage.items,
            "spool_bytes": usage.bytes,
            "spool_age_s": usage.age_s,
        }

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
            self.spool,
            resource=self._resource.encoded,
            scope=otlp.scope(DISTRO),
            encoding=self._route.encoding(to.peer),
            delay_s=delays.get(signal, 500) / 1000,
            clock=self._clock,
        )

    def _destination(self, peer: Peer) -> Destination:
        # Signals with the same peer share connection and breaker: one that is down is asked once.
        found = self.destinations.get(peer)
        if found is None:
            where = self.spool.directory
            found = self.destinations[peer] = Destination(
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
