"""When the past is stored: jobs of the leader. What they store lives in `setup.stored_past`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from proletto_otel.core.config import Config
from proletto_otel.core.conventions import SERVICE_VERSION
from proletto_otel.metrics.system_metrics import OLDEST_S, SystemSampler
from proletto_otel.runtime.ticker import Ticker
from proletto_otel.state.snapshots import Snapshots
from proletto_otel.state.store import Store
from proletto_otel.state.worker_lives import OwnLife

if TYPE_CHECKING:
    from proletto_otel.setup.stored_past import StoredPast

PRUNE_S = 60.0
CALLERS_S = 60.0
RECORD_S = 2.0
"""How late the history knows of a request, and of a worker that began or ended."""


class Recording:
    """The jobs that store the past.

    Args:
        config: The settings.
        store: The host's store.
        snapshots: The numbers of all workers.
        gather: Completes the requests that nobody closed.
    """

    def __init__(
        self, config: Config, store: Store, snapshots: Snapshots, gather: Callable[[], object]
    ) -> None:
        self._config = config
        self._parts = (config, store, snapshots, gather)
        self._made: dict[str, StoredPast] = {}
        self.own_life = OwnLife(config.resource_attributes.get(SERVICE_VERSION, ""))
        snapshots.section("worker", self.own_life.section)

    @property
    def past(self) -> StoredPast:
        """What is stored; imported with the first job or the first page that reads it."""
        from proletto_otel.setup.stored_past import StoredPast

        # `setdefault`: threads that come first together go on with the same one.
        return self._made.get("past") or self._made.setdefault("past", StoredPast(*self._parts))

    def schedule(
        self, ticker: Ticker, sampler: SystemSampler,
        system: Callable[[], Mapping[str, float | None]],
    ) -> None:  # fmt: skip
        """Let the leader's ticker do it."""
        lead = partial(ticker.every, leader=True)
        lead(RECORD_S, "history.record", lambda: self.past.record())
        lead(PRUNE_S, "history.prune", lambda: self.past.prune())
        lead(CALLERS_S, "history.callers", lambda: self.past.record_callers())
        if not self._config.monitor_system_metrics:
            return

        def sample() -> None:
            if sampler.taken_at:
                sampler.sample()
            else:
                sampler.sample_first()
            # Each sample, not only those of MONITOR_SAMPLE_INTERVAL: a peak of seconds counts.
            self.past.history.add_to_tiers(sampler.taken_at, system())

        every = self._config.monitor_sample_interval
        # OLDEST_S: values on the pages and in alerts must not be older
        lead(min(every, OLDEST_S), "system.sample", sample)
        lead(
            every,
            "system.history",
            lambda: self.past.history.add_samples(sampler.taken_at, system()),
        )
