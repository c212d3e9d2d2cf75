"""The host's values by indicator name: measured by the leader, the same in every worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from proletto_otel.core.config import Config
from proletto_otel.core.conventions import HEARTBEAT
from proletto_otel.core.metrics.registry import Family
from proletto_otel.metrics import system_metrics
from proletto_otel.state.snapshots import Snapshots

WAIT_S = 5.0
"""How long the first evaluation of alerts waits for the leader's values, which take a second."""


class HostSystem:
    """Reads the values of the host and its workers.

    Args:
        config: The settings.
        snapshots: The numbers of all workers.
        sampler: Measures the host where no leader does.
        leads: Whether this process does it for the others.
        clock: Monotonic seconds.
    """

    def __init__(
        self, config: Config, snapshots: Snapshots, sampler: system_metrics.SystemSampler,
        leads: Callable[[], bool], clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._is_measured = config.monitor_system_metrics
        self._snapshots = snapshots
        self._sampler = sampler
        self._leads = leads
        self._clock = clock
        self._is_known = False
        self._first_asked: float | None = None

    def __call__(self) -> Mapping[str, float | None]:
        """Host and workers by indicator name: the same in whichever worker asks."""
        if not self._is_measured:
            return {}
        families = self._snapshots.merged()
        if not _has_heartbeat(families):
            # nobody leads yet, or this process was never activated: measured here, now
            if not self._sampler.taken_at:
                self._sampler.sample_first()
            families = self._sampler.families()
        return system_metrics.indicators(families)

    def is_known(self) -> bool:
        """Whether a worker can evaluate without measuring the host beside its leader.

        Of workers that start together one leads, and another may evaluate alerts before the leader
        said anything. It would import psutil, 1 MB, for this one reading.
        """
        if not self._is_known:
            now = self._clock()
            self._first_asked = now if self._first_asked is None else self._first_asked
            self._is_known = (
                not self._is_measured
                or self._leads()
                or now - self._first_asked >= WAIT_S
                or _has_heartbeat(self._snapshots.merged())
            )
        return self._is_known


def _has_heartbeat(families: list[Family]) -> bool:
    return any(family.name == HEARTBEAT.name for family in families)
