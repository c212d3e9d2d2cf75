"""The handle that `setup_telemetry` returns: what programs and tests do with running telemetry.

Who makes it, and when, lives in `setup.telemetry`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from proletto_otel.core import config as settings
from proletto_otel.core.config import Config
from proletto_otel.core.context import current_request
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.core.metrics.registry import Family
from proletto_otel.logs.api.loggers import Logger, logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.monitoring import monitor
from proletto_otel.request.labels import Ask
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.setup import foreign_instrumentation
from proletto_otel.setup.components import Components
from proletto_otel.setup.doubles import TestDoubles
from proletto_otel.setup.flask_app import attach, attachment, watch_login
from proletto_otel.setup.requests import RequestTelemetry

if TYPE_CHECKING:
    from flask import Flask
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

    from proletto_otel.errors.groups import ErrorGroups
    from proletto_otel.logs.search.search import LogSearch
    from proletto_otel.web.own_pages import MonitoringPage

EXTENSION = "proletto_otel"
"""Under this name `app.extensions` holds the handle."""


class Telemetry:
    """Telemetry of this process; what `setup_telemetry` returns.

    A context manager: leaving it flushes and shuts down.
    """

    def __init__(self, config: Config, arguments: Mapping[str, Any], doubles: TestDoubles) -> None:
        self.config = config
        self.arguments = dict(arguments)
        self.components = Components(config, doubles)
        self.requests = RequestTelemetry(self.components)
        self.components.lifecycle.add(
            self.requests, *self.components.in_order(), AfterStart(self.started)
        )
        self._is_test = doubles.is_test
        # weak: an application that nobody uses any more is freed, with what was added to it
        self.apps: WeakSet[Flask] = WeakSet()

    # --- what programs use ---------------------------------------------------------------------
    @property
    def tracer(self) -> Tracer:
        """An OpenTelemetry tracer for spans of one's own."""
        return self.requests.tracing.get_tracer(self.config.app_name)

    @property
    def meter(self) -> Meter:
        """An OpenTelemetry meter; its instruments appear on `/metrics` and in OTLP."""
        return self.components.user_metrics.get_meter(self.config.app_name)

    @property
    def logger(self) -> Logger:
        """The application's logger, the same as `error_logging.logger`."""
        return logger

    @property
    def errors(self) -> ErrorGroups:
        """Groups of errors: `groups()`, `get()`, `resolve()`, `ignore()`, `reopen()`."""
        return self.components.errors

    @property
    def logs(self) -> LogSearch:
        """Search of the structured log file and its rotated files: `search()`, `of_request()`."""
        return self.components.log_search

    def outgoing_headers(self, url: str) -> dict[str, str]:
        """Trace context and request ID for a call to *url* by a client nobody instruments."""
        from proletto_otel.request.request_id_propagator import outgoing_headers

        return outgoing_headers(url, self.requests.tracing.propagator)

    def activate(self) -> None:
        """Start threads and connections in this process now (they start by themselves, too)."""
        self.components.lifecycle.activate()

    def flush(self, timeout: float = 5.0) -> bool:
        """Deliver everything held in memory; whether all was delivered within *timeout* seconds."""
        self.activate()
        return self.components.lifecycle.flush(timeout)

    def shutdown(self, timeout: float | None = None) -> None:
        """Flush and stop, within *timeout* seconds (default `PROLETTO_SHUTDOWN_TIMEOUT`)."""
        self.components.lifecycle.shutdown(timeout)

    def set_user(self, user_id: object) -> None:
        """Set the user of this request; the ID is on all its later lines and its error report."""
        context = current_request()
        if context is not None:
            context.user_id = None if user_id is None else str(user_id)

    def provide(self) -> None:
        """Be OpenTelemetry's global providers now: a script's first span is not to be lost."""
        self.requests.tracing.start()
        self.components.user_metrics.start()

    def families(self) -> list[Family]:
        """Every metric of all workers of the host."""
        self.components.lifecycle.gather()
        return self.components.snapshots.merged()

    def status(self) -> dict[str, Any]:
        """Health of the telemetry itself: sinks, exporter, and what became of every record."""
        return {
            "active": self.components.lifecycle.active,
            "leader": self.components.leads(),
            "state_dir": None if self.components.state is None else str(self.components.state),
            "store": {
                "shared": self.components.store.shared,
                "last_error": self.components.store.last_error,
            },
            "sinks": self.components.logs.status(),
            "exporter": self.components.exporter.status(),
            "records": ledger.totals(),
            "findings": self.components.logs.findings(),
        }

    def __enter__(self) -> Telemetry:
        self.activate()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.shutdown()

    # --- for set-up ----------------------------------------------------------------------------
    def add(
        self,
        app: Flask,
        authorize: Callable[..., Any] | None = None,
        request_labels: Ask | None = None,
        monitoring_pages: Sequence[MonitoringPage] = (),
    ) -> None:
        """Wrap *app*; a second time does nothing."""
        if request_labels is not None:
            self.requests.label_with(request_labels)
        if app.extensions.get(EXTENSION) is self:
            return
        app.extensions[EXTENSION] = self
        self.apps.add(app)
        monitor.binding.use_context(app.app_context)
        middleware = attach(
            app, self.components, self.requests, self.status, authorize, monitoring_pages
        )
        if self._is_test:
            middleware.remember_open()

    def settle(self) -> None:
        """End requests that nobody closed the response of (test clients do that)."""
        for app in list(self.apps):
            attachment(app).middleware.end_open_requests()
        pipeline.deferred.flush()

    def started(self) -> None:
        """This process serves: check what the program set up after us."""
        foreign_instrumentation.step_aside()
        for app in list(self.apps):
            watch_login(app)
            if not self._is_test:  # a capture changes settings itself
                self._name_late_settings(app)
        for finding in self.components.logs.findings():
            log_rate_limited(f"finding:{finding}", "%s", finding)

    def _name_late_settings(self, app: Flask) -> None:
        """Warn of settings in `app.config` that were put there after they were read."""
        rows = settings.SETTINGS
        there = [(v, row.name) for row in rows for v in row.env if v in app.config]
        if not there:  # most programs: not worth reading all settings again
            return
        now, _ = settings.load(self.arguments, app.config, os.environ)
        late = [v for v, name in there if getattr(now, name) != getattr(self.config, name)]
        if late:
            log_rate_limited(
                f"setup.late:{app.name}",
                "app.config of %s: %s came after setup_telemetry and has no effect; set it before,"
                " or call setup_telemetry(app) after the configuration",
                app.name,
                ", ".join(late),
            )


class AfterStart(Component):
    """The last component: calls *check* once everything runs."""

    name = "after_start"

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def start(self) -> None:
        """Call the check; the lifecycle starts components in order."""
        self._check()
