"""A monitor with everything real but the values, the ways out and the ticker's thread."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from proletto_otel.core.config import load
from proletto_otel.health.engine import HealthEngine
from proletto_otel.monitoring import Monitor
from proletto_otel.monitoring.inputs import Inputs
from proletto_otel.request.route_summary import RouteSummary
from proletto_otel.runtime.ticker import Ticker
from proletto_otel.state.leader import Leader
from proletto_otel.state.store import Store
from proletto_otel.state.viewing import Viewing


class Bound:
    """One process of a host."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.values: dict[str, float | None] = {"cpu_percent": 12.5, "memory_percent": None}
        self.is_system_known = True
        self.routes: list[RouteSummary] = []
        self.samples: dict[str, list[tuple[float, float]]] = {}
        self.stored: list[dict[str, float | None]] = []
        self.errors: list[dict[str, Any]] = []
        self.logged: list[tuple[int, str]] = []
        self.slack: list[str] = []
        self.config, _ = load(settings, {}, {})
        self.directory = directory
        self.store = Store(directory)
        self.viewing = Viewing(directory)
        self.leader = Leader(directory / "leader.lock")
        self.ticker = Ticker(self.leader)
        self.monitor = Monitor()
        self.components = self.monitor.binding.now(self.inputs())

    def inputs(self) -> Inputs:
        """What telemetry hands in."""
        return Inputs(
            config=self.config,
            store=self.store,
            every=self.ticker.every,
            cancel=self.ticker.cancel,
            state=self.directory,
            viewing=self.viewing,
            system=lambda: self.values,
            is_system_known=lambda: self.is_system_known,
            routes=lambda: self.routes,
            history=lambda metric, since: [s for s in self.samples.get(metric, ()) if s[0] > since],
            keep=lambda at, values: self.stored.append(dict(values)),
            errors=lambda limit: self.errors[:limit],
            log=lambda level, message, facts: self.logged.append((level, message)),
            slack=lambda text, blocks: self.slack.append(text),
        )

    def tick(self) -> None:
        """Run every job once, as the ticker's thread does, and let notifiers finish."""
        for job in self.ticker._jobs.values():
            job.due = 0.0
        self.ticker.tick()
        self.flush()

    @property
    def engine(self) -> HealthEngine:
        """What runs the checks."""
        runtime = self.monitor.binding.runtime
        assert runtime is not None
        return runtime.engine

    def flush(self) -> None:
        """Wait for the notifiers."""
        for component in self.components:
            if hasattr(component, "flush"):
                assert component.flush(time.monotonic() + 300)

    def close(self) -> None:
        """End everything."""
        deadline = time.monotonic() + 5
        for component in [*self.components, self.ticker, self.store]:
            component.stop(deadline)
        self.monitor.reset()
