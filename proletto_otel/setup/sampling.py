"""The host's sampler in the lifecycle: a fork resets it."""

from __future__ import annotations

from proletto_otel.metrics import system_metrics
from proletto_otel.runtime.lifecycle import Component


class Sampling(Component):
    """The host's sampler as a component: the ticker asks it, a fork resets it."""

    name = "sampling"

    def __init__(self, sampler: system_metrics.SystemSampler) -> None:
        self._sampler = sampler

    def forked(self) -> None:
        """Let the sampler measure the child instead of its parent."""
        self._sampler.forked()
