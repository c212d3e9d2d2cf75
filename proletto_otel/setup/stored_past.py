"""What the leader stores of the past: samples of the host, requests, workers' lives.

When it does is decided in `setup.history`, whose first job imports this. Reading it back:
`state.metric_series` here, the rest in `monitoring.past`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from proletto_otel.core.config import Config
from proletto_otel.monitoring.request_summary import OwnRoutes
from proletto_otel.request import request_days, top_callers
from proletto_otel.request.caller_history import CallerHistory
from proletto_otel.request.request_examples import RequestExamples
from proletto_otel.request.request_history import RequestHistory
from proletto_otel.request.request_totals import totals
from proletto_otel.request.route_stats import merge
from proletto_otel.state.history import History
from proletto_otel.state.metric_series import MetricSeries
from proletto_otel.state.snapshots import Snapshots
from proletto_otel.state.store import Store
from proletto_otel.state.worker_lives import WorkerLives


class StoredPast:
    """The past in the host's store.

    Args:
        config: The settings.
        store: The host's store.
        snapshots: The numbers of all workers.
        gather: Completes the requests that nobody closed.
    """

    def __init__(
        self, config: Config, store: Store, snapshots: Snapshots, gather: Callable[[], object]
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._gather = gather
        self.history = History(store, config.monitor_max_samples, is_built_in)
        self.metrics = MetricSeries(store)
        self._lives = WorkerLives(store)
        own_routes = OwnRoutes(config.metrics_path, config.admin_prefix)
        self._requests = RequestHistory(store, excluded=own_routes)
        self._examples = RequestExamples(store)
        self.callers = CallerHistory(store, config.top_callers_days)

    def record(self) -> None:
        """Store what requests and workers did since the last time."""
        self._gather()
        families, sections = self._snapshots.merged_with("requests", "worker")
        self._lives.record(sections["worker"])
        routes = merge(sections["requests"])
        self._requests.record(totals(families, routes), routes)
        self._examples.record(routes)

    def record_callers(self) -> None:
        """Store who asked most in this hour and the one before."""
        self.callers.record(top_callers.merge(self._snapshots.sections("callers")))

    def prune(self) -> None:
        """Delete what is too old, and add up a day that is over."""
        now = time.time()
        self._requests.prune(now)
        request_days.prune(self._store, now)
        request_days.add_up_a_day(self._store)
        self._examples.prune(now)
        self.callers.prune(now)


def is_built_in(metric: str) -> bool:
    """Whether a metric's history is stored for a year."""
    from proletto_otel.alerts.indicators import INDICATORS  # not needed to start a program

    return metric in INDICATORS
