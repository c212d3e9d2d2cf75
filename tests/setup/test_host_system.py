"""The host is measured by its leader; other workers read what it said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proletto_otel.core.config import load
from proletto_otel.core.conventions import HEARTBEAT
from proletto_otel.core.metrics.registry import Registry
from proletto_otel.metrics.system_metrics import SystemSampler
from proletto_otel.setup.host_system import WAIT_S, HostSystem


class Host:
    """What the workers of a host published, and the time."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.seconds = 100.0
        self.leads = False

    def merged(self):
        return self.registry.collect()

    def system(self, **settings: str) -> HostSystem:
        config = load({}, settings, {})[0]
        return HostSystem(config, self, SystemSampler(), lambda: self.leads, lambda: self.seconds)  # type: ignore[arg-type]


def leads(host: Host) -> None:
    """This process measures the host."""
    host.leads = True


def publishes(host: Host) -> None:
    """Another one does."""
    host.registry.observe(HEARTBEAT, lambda: [((), 1.0)])


def waits(host: Host) -> None:
    """Nobody does."""
    host.seconds += WAIT_S


@pytest.mark.parametrize("happens", [leads, publishes, waits], ids=lambda f: f.__name__)
def test_an_evaluation_waits_until_the_host_is_measured(happens: Callable[[Host], None]) -> None:
    """Or until it is clear that nobody does; then it measures by itself."""
    host = Host()
    system = host.system()
    assert not system.is_known()
    host.seconds += WAIT_S / 2
    assert not system.is_known()

    happens(host)

    assert system.is_known()


def test_without_system_metrics_nothing_is_waited_for() -> None:
    """`MONITOR_SYSTEM_METRICS=0`."""
    system = Host().system(MONITOR_SYSTEM_METRICS="0")

    assert system.is_known()
    assert {} == system()
