"""All components of one process: made here, given what they need, started in this order.

The parts of the package do not import each other; here they get each other's callables. What a
Flask application gets lives in `setup.flask_app`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from proletto_otel.core import exceptions, lazy_pattern
from proletto_otel.core.config import Config
from proletto_otel.core.conventions import (
    HTTP_SERVER_REQUEST_DURATION,
    HTTP_SERVER_STREAM_DURATION,
    SERVICE_VERSION,
)
from proletto_otel.core.metrics.registry import Family, registry
from proletto_otel.core.redaction import sanitise
from proletto_otel.errors import groups
from proletto_otel.export.resource import Resource
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.shared_levels import SharedLevels
from proletto_otel.metrics import system_metrics
from proletto_otel.metrics.app_metrics import AppMetrics
from proletto_otel.metrics.process_metrics import Source
from proletto_otel.monitoring import Inputs, monitor
from proletto_otel.request.route_stats import RouteStats, merge
from proletto_otel.runtime.lifecycle import Component, Lifecycle
from proletto_otel.runtime.ticker import Ticker
from proletto_otel.setup import logs
from proletto_otel.setup.doubles import TestDoubles
from proletto_otel.setup.error_table import error_table
from proletto_otel.setup.history import Recording
from proletto_otel.setup.host_system import HostSystem
from proletto_otel.setup.one_reading import one_reading
from proletto_otel.setup.sampling import Sampling
from proletto_otel.state import directory
from proletto_otel.state.control import HostControl
from proletto_otel.state.host_totals import HostTotals
from proletto_otel.state.leader import Leader
from proletto_otel.state.snapshots import Snapshots
from proletto_otel.state.store import Store
from proletto_otel.state.thread_dumps import ThreadDumps
from proletto_otel.state.viewing import Viewing

if TYPE_CHECKING:
    from proletto_otel.logs.search.search import LogSearch
    from proletto_otel.logs.search.stored_errors import ErrorSource
    from proletto_otel.request.route_summary import RouteSummary
    from proletto_otel.setup.stored_past import StoredPast

PUBLISH_S = 0.5
"""Totals of all workers are exact within a second."""
DAY_S = 86_400.0
COMPILE_S = 0.5
"""Between two regular expressions that are compiled after the start; half a minute for all."""
WATCH_S = 1.0
"""How long the standard library's records may miss the pipeline after a `dictConfig`."""
FOLD_S = 2.0
"""How often the numbers of dead workers are moved into the totals."""
UPKEEP_S = 60.0
"""How often rotated log files are compressed and aged."""
INDEX_S = 5.0
"""How often up to 20 MiB of log files are indexed for searches; a look without work takes 2 ms."""


class Components:
    """All components of one process.

    Args:
        config: The settings.
        doubles: What sends data out of the process.
    """

    def __init__(self, config: Config, doubles: TestDoubles) -> None:
        self.config = config
        # First, because everything below may log: its lines are redacted as the settings say.
        sanitise.configure(sanitise.from_config(config))
        exceptions.configure(locals_too=config.capture_locals)
        self.lifecycle = Lifecycle(
            shutdown_timeout_s=config.shutdown_timeout_s, fresh=registry.reset
        )
        # The order below follows from the arguments: each part is made of those before it.
        self.state = directory.prepare(config)
        self.resource = Resource(config)
        self.user_metrics = AppMetrics()
        self.source = Source(registry, self.user_metrics)
        self.snapshots = Snapshots(self.state, self.families, registry)
        self.totals = HostTotals(self.state, self.snapshots, config.metric_interval_ms / 1000)
        self.exporter = doubles.exporter(config, self.state, self.resource, self.totals)
        self.slack, self.email = doubles.slack(config), doubles.email(config)
        self.store = Store(self.state)
        self.viewing = Viewing(self.state)
        self.leader = Leader(self.state / "leader.lock" if self.state is not None else None)
        self.ticker = Ticker(self.leader)
        self._set_up_logs()
        self._set_up_control()
        self._set_up_errors()
        self._set_up_snapshots()
        self._set_up_host_metrics()
        self.monitoring = monitor.binding.later(self._inputs(), self.lifecycle.add)
        self._database: Any = None
        self.error_tables: list[Callable[[], ErrorSource]] = []

    def in_order(self) -> list[Component]:
        """In the order in which they start; all stop at the same time."""
        return [
            # The store first, as others write to it; the ticker last, as its jobs ask all others.
            self.store,
            self.control,
            self.sampling,
            self.recording.own_life,
            self.user_metrics,
            self.exporter,
            self.logs,
            self.errors,
            self.snapshots,
            *self.monitoring,
            self.ticker,
        ]

    # --- making them ---------------------------------------------------------------------------
    def _set_up_logs(self) -> None:
        self.logs, self.warnings = logs.install(
            self.config,
            otlp=self.exporter.logs.put_many if sends_logs(self.config) else None,
            # files of one name rotate under one lock, whichever service writes them
            lock_dir=directory.shared_locks(self.state),
        )
        # Off the request path: the first text that looks like a token would wait for it.
        self.ticker.every(DAY_S, "redaction.compile", sanitise.get().redactor.compile)
        # One at a time: together they would keep the interpreter from requests for 30 ms.
        self.ticker.every(
            COMPILE_S, "patterns.compile", lazy_pattern.compile_one, when=lazy_pattern.are_waiting
        )
        self.ticker.every(WATCH_S, "logs.watch", self.logs.stdlib.watch)
        self.ticker.every(UPKEEP_S, "logs.upkeep", self.logs.upkeep.run, leader=True)
        self.ticker.every(
            INDEX_S,
            "logs.index",
            lambda: self.log_search.index_some(),
            leader=True,
            when=self.viewing.lately,
        )

    def _set_up_control(self) -> None:
        self.control = HostControl(self.state)
        self.log_levels = SharedLevels(self.store, self.control, pipeline)
        self.thread_dumps = ThreadDumps(self.store, self.control, sanitise.get().code)
        # As often as the job before it, so that it wakes nobody who would not be awake.
        self.ticker.every(WATCH_S, "control", self.control.check)

    def _set_up_errors(self) -> None:
        attributes = self.config.resource_attributes
        self.errors = groups.ErrorGroups(self.store, version=attributes.get(SERVICE_VERSION, ""))
        pipeline.listen(self.errors.count, logs=False)
        self.ticker.every(groups.FLUSH_S, "errors.write", self.errors.write_down)
        self.ticker.every(
            groups.UPKEEP_S, "errors.upkeep", self.errors.keep_within_limits, leader=True
        )
        if self.slack is not None:
            from proletto_otel.notify.error_notifier import ErrorNotifier

            pipeline.add(ErrorNotifier(self.slack, self.store, self.config))

    def _set_up_snapshots(self) -> None:
        self.route_stats = RouteStats()
        self.snapshots.section("requests", self.route_stats.section, merge)
        self.ticker.every(PUBLISH_S, "snapshots.publish", self.snapshots.publish)
        self.ticker.every(FOLD_S, "snapshots.fold", self.snapshots.fold, leader=True)

    def _set_up_host_metrics(self) -> None:
        self.sampler = system_metrics.SystemSampler()
        self.sampling = Sampling(self.sampler)
        if self.config.monitor_system_metrics:
            system_metrics.measure(registry, self.sampler, self.leads)
        self.recording = Recording(self.config, self.store, self.snapshots, self.lifecycle.gather)
        self.host_system = HostSystem(self.config, self.snapshots, self.sampler, self.leads)
        self.recording.schedule(self.ticker, self.sampler, self.host_system)

    def _inputs(self) -> Inputs:
        def past() -> StoredPast:
            return self.recording.past

        return Inputs(
            config=self.config,
            store=self.store,
            every=self.ticker.every,
            cancel=self.ticker.cancel,
            state=self.state,
            viewing=self.viewing,
            system=self.host_system,
            is_system_known=self.host_system.is_known,
            families=self.snapshots.merged,
            one_reading=partial(one_reading, self.lifecycle, self.snapshots),
            routes=self.routes,
            history=lambda *asked: past().metrics.samples(*asked),
            series=lambda *asked: past().metrics.points(*asked),
            keep=lambda at, values: past().history.add(at, values),
            errors=self.errors.latest,
            error_groups=self.errors,
            log_search=lambda: self.log_search,
            log_levels=self.log_levels,
            thread_dumps=self.thread_dumps,
            log=log_alert,
            slack=self.slack,
            email=self.email,
            redact=sanitise.get().text,
        )

    # --- what they and the pages read ----------------------------------------------------------
    @cached_property
    def log_search(self) -> LogSearch:
        """Search of the structured log file; made when somebody asks for it."""
        from proletto_otel.setup.log_search import log_search

        errors = self.errors, self.error_tables
        return log_search(pipeline.sinks, self.state, self.viewing, *errors)

    def leads(self) -> bool:
        """Whether this process speaks for the host."""
        return self.leader.is_leader

    def families(self) -> list[Family]:
        """Every metric of this process."""
        return self.source.families()

    def routes(self) -> list[RouteSummary]:
        """Statistics of all routes over all workers."""
        from proletto_otel.request.route_summary import summarise  # for pages and alerts

        self.lifecycle.gather()
        name = HTTP_SERVER_REQUEST_DURATION.name
        families = {family.name: family for family in self.snapshots.merged()}
        streams = families.get(HTTP_SERVER_STREAM_DURATION.name)
        return summarise(families.get(name), self.snapshots.sections("requests"), streams)

    # --- later changes -------------------------------------------------------------------------
    def use_database(self, db: Any, app: Any) -> None:
        """Store errors in *db* and check its health; the same again does nothing.

        Raises:
            ConfigError: *db* cannot be a database.
        """
        if db is self._database:
            return
        from proletto_otel.logs.sinks.database.sink import DatabaseSink

        sink = DatabaseSink.of(db, self.config, app)
        # Set after the sink is made: a database that was refused can be handed in again.
        self._database = db
        pipeline.add(sink)
        self.error_tables.append(error_table(db, self.config, app))
        if self.lifecycle.active:
            sink.start()
        if "database" not in monitor.checks:  # a check that the application registered wins
            from proletto_otel.monitoring import database_check

            monitor.register_health_check("database", database_check(db, app=app))

    def close(self) -> None:
        """Undo everything that was put into the process (tests, a second set-up)."""
        # First: the components deliver through the sinks, which the next lines take away.
        self.lifecycle.shutdown()
        monitor.binding.release()
        self.log_levels.end()
        self.logs.uninstall()


def sends_logs(config: Config) -> bool:
    """Whether log records go out over OTLP."""
    return config.logs_exporter != "none" and not config.sdk_disabled


def sends_traces(config: Config) -> bool:
    """Whether spans go out over OTLP."""
    return config.traces_exporter != "none" and not config.sdk_disabled


def log_alert(level: int, message: str, facts: Mapping[str, Any]) -> None:
    """Write one log record of an alert."""
    from proletto_otel.logs.record.call_site import UNKNOWN

    pipeline.emit("proletto.alerts", level, message, facts, None, UNKNOWN, 0)
