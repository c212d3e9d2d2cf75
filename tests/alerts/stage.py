"""A process that evaluates thresholds: injected clock and values, real store, nothing sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from proletto_otel.alerts.evaluator import Evaluator, Watched
from proletto_otel.alerts.indicators import INDICATORS, gauge
from proletto_otel.alerts.indicators import health as health_indicator
from proletto_otel.alerts.notices import Notice, Origin
from proletto_otel.alerts.readings import Readings
from proletto_otel.alerts.store import AlertStore
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.state.store import Store

ORIGIN = Origin(service="shop", environment="production", host="web-1")


@dataclass
class Clock:
    """Monotonic and wall time, moved by hand; the wall clock may jump."""

    mono: float = 1000.0
    jump: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.mono

    def now(self) -> float:
        """Unix time."""
        return self.mono + self.jump


@dataclass
class Stage:
    """Ticks every *step* seconds and collects the notices."""

    directory: Path
    clock: Clock = field(default_factory=Clock)
    values: dict[str, float | None] = field(default_factory=dict)
    thresholds: list[Threshold] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    boot: str = "boot-1"
    repeat_s: float = 0.0
    readings: Readings = field(default_factory=Readings)

    def __post_init__(self) -> None:
        self.readings.system = lambda: self.values
        self.restart()

    def restart(self) -> None:
        """Another process on the same host takes over."""
        self.host_store = Store(self.directory)
        self.store = AlertStore(self.host_store, boot=self.boot, now=self.clock.now)
        self.evaluator = Evaluator(
            self.store,
            self.readings,
            [],
            ORIGIN,
            Watched(
                thresholds=lambda: self.thresholds,
                indicator=lambda name: (
                    health_indicator(name.removeprefix("health:"))
                    if name.startswith("health:")
                    else INDICATORS.get(name) or gauge(name)
                ),
            ),
            repeat_s=self.repeat_s,
            clock=self.clock,
            now=self.clock.now,
        )

    def tick(self) -> None:
        """Evaluate once; the notices (of any channel) are read from the past events."""
        known = len(self.store.events(1000))
        self.evaluator.tick()
        fresh = len(self.store.events(1000)) - known
        self.notices += reversed(self.store.events(fresh)) if fresh else []

    def run(
        self,
        seconds: float,
        step: float = 1.0,
        value: Callable[[float], float | None] | None = None,
    ) -> list[str]:
        """Tick until *seconds* passed; return the notices made meanwhile as `severity event`."""
        before, end = len(self.notices), self.clock.mono + seconds
        while self.clock.mono < end:
            self.clock.mono += step
            if value is not None:
                self.values["cpu_percent"] = value(self.clock.mono)
            self.tick()
        return self.events(before)

    def events(self, since: int = 0) -> list[str]:
        """The notices, as `severity event`."""
        return [f"{n.severity} {n.event}" for n in self.notices[since:]]
