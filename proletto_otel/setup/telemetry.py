"""The front door: `setup_telemetry`, and the handle it returns.

Set-up records and wraps; threads and connections begin in the process that serves. The components
are put together in `assembly`, what an application gets in `attachment`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from proletto_otel.core import config as settings
from proletto_otel.core import internal_errors as silence_room
from proletto_otel.core.config import Config
from proletto_otel.core.context import current_request
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.core.metrics.registry import Family, registry
from proletto_otel.logs.api.loggers import Logger, logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.monitoring import monitor
from proletto_otel.request.propagation import outgoing_headers
from proletto_otel.setup.components import Components, TestDoubles
from proletto_otel.setup.flask_app import RequestTelemetry, attach, watch_login

if TYPE_CHECKING:
    from flask import Flask
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

    from proletto_otel.errors.groups import ErrorGroups
    from proletto_otel.request.middleware import TelemetryMiddleware

EXTENSION = "proletto_otel"


class Telemetry:
    """Telemetry of this process; what `setup_telemetry` returns.

    A context manager: leaving it flushes and shuts down.
    """

    def __init__(self, config: Config, arguments: Mapping[str, Any], doubles: TestDoubles) -> None:
        self.config = config
        self.arguments = dict(arguments)
        self.components = Components(config, doubles)
        self.requests = RequestTelemetry(self.components)
        self._doubles = doubles
        self._middlewares: list[TelemetryMiddleware] = []
        self.components.lifecycle.components.insert(0, self.requests)
        self.components.lifecycle.components.append(AfterStart(self))
        self._flask: list[Flask] = []

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

    def outgoing_headers(self, url: str) -> dict[str, str]:
        """Trace context and request ID for a call to *url* by a client nobody instruments."""
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
        """Say whose request this is; the ID is on all its later lines and its error report."""
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
    def add(self, app: Flask, authorize: Callable[..., Any] | None = None) -> None:
        """Wrap *app*; a second time does nothing."""
        if app.extensions.get(EXTENSION) is self:
            return
        app.extensions[EXTENSION] = self
        self._flask.append(app)
        middleware = attach(app, self.components, self.requests, self.status, authorize)
        if self._doubles.is_test:
            middleware.remember_open()
        self._middlewares.append(middleware)

    def settle(self) -> None:
        """End requests whose response was never closed (test clients do that)."""
        for middleware in self._middlewares:
            middleware.settle()
        pipeline.deferred.flush()

    def begun(self) -> None:
        """This process serves: look at what the program set up after us."""
        for app in self._flask:
            watch_login(app)
        for finding in self.components.logs.findings():
            log_rate_limited(f"finding:{finding}", "%s", finding)


class AfterStart:
    """The last component: what is looked at once everything runs."""

    name = "begun"

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def start(self) -> None:
        """Look around."""
        self._telemetry.begun()

    def stop(self, deadline: float) -> None:
        """Nothing runs."""

    def forked(self) -> None:
        """Nothing is held."""


_lock = threading.RLock()
_current: Telemetry | None = None
_doubles = TestDoubles()
_waiting_databases: list[Any] = []


def setup_telemetry(
    app: Flask | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    db: Any = None,
    authorize: Callable[..., Any] | None = None,
    **arguments: Any,
) -> Telemetry:
    """Switch telemetry on: traces, metrics, logs and errors of this process.

    Calling it again with the same arguments gives the same handle; other arguments are warned
    about and the first ones hold. Without an app it serves scripts, jobs and workers.

    Args:
        app: The Flask application to wrap; call it once for each.
        config: Settings by name, as an alternative to keyword arguments.
        db: A Flask-SQLAlchemy object, an SQLAlchemy engine or a URL: errors are stored in its
            table `error_logs`, and its health is checked.
        authorize: Who may see the admin pages: called in the request, truthy lets in.
        arguments: Any setting of the configuration table by its name (`log_dir="…"`).

    Returns:
        The handle: `tracer`, `meter`, `logger`, `flush()`, `shutdown()`, `status()` …

    Raises:
        ConfigError: an argument is unknown or does not fit. A bad environment variable never
            raises: it is warned about and the default holds.
    """
    chosen = {**(config or {}), **arguments}
    with _lock:
        telemetry = _made(app, chosen)
        try:
            if app is not None:
                telemetry.add(app, authorize)
            else:
                telemetry.provide()
            if db is None and telemetry.config.database_url:
                db = telemetry.config.database_url.reveal()
            for database in [*_waiting_databases, *([db] if db is not None else [])]:
                _use_database(telemetry, database, app)
            _waiting_databases.clear()
        finally:  # a database that cannot be used keeps no record from the other sinks
            pipeline.hand_over()
    return telemetry


def _made(app: Flask | None, chosen: Mapping[str, Any]) -> Telemetry:
    global _current  # one telemetry per process: logging and OpenTelemetry are process-wide
    if _current is not None:
        _compare(_current, chosen)
        return _current
    loaded, warnings = settings.load(chosen, app.config if app is not None else {}, os.environ)
    telemetry = Telemetry(loaded, chosen, _doubles)
    for warning in [*warnings, *telemetry.components.warnings]:
        silence_room.log_rate_limited(f"setting:{warning}", "%s", warning)
    telemetry.components.lifecycle.begin()
    _current = telemetry
    return telemetry


def _compare(first: Telemetry, chosen: Mapping[str, Any]) -> None:
    settings.load(chosen, {}, {})  # a bad argument is an error the second time, too
    different = [
        name
        for name, value in chosen.items()
        if first.arguments.get(name) != value
        and getattr(first.config, name) != settings.load({name: value}, {}, {})[0].__dict__[name]
    ]
    if different:
        log_rate_limited(
            "setup.again",
            "setup_telemetry was called before with other values of %s: the first ones hold",
            ", ".join(different),
        )


def current_telemetry() -> Telemetry | None:
    """The telemetry of this process, if it was set up."""
    return _current


def add_database(db: Any) -> None:
    """Store errors in *db* from now on, or from the set-up on if that comes later.

    Raises:
        ConfigError: *db* is no Flask-SQLAlchemy object, engine or URL.
    """
    with _lock:
        if _current is None:
            check_database(db)
            _waiting_databases.append(db)
        else:
            _use_database(_current, db, None)


def check_database(db: Any) -> None:
    """Raise now what would be raised when *db* comes to be used."""
    from proletto_otel.runtime import database_engine as engines

    engines.check(db)


def _use_database(telemetry: Telemetry, db: Any, app: Flask | None) -> None:
    try:
        telemetry.components.use_database(db, app)
    except ConfigError:
        raise
    except Exception:
        with suppressed("setup.database"):
            raise


def use_test_doubles(doubles: TestDoubles) -> Callable[[], None]:
    """Send everything to *doubles* from the next set-up on (tests); returns the way back."""
    global _doubles  # see _made
    before, _doubles = _doubles, doubles

    def restore() -> None:
        global _doubles
        _doubles = before

    return restore


def reset() -> None:
    """Undo the set-up and forget every number and registration (tests)."""
    global _current  # see _made
    with _lock:
        if _current is not None:
            _current.components.close()
        _current = None
        _waiting_databases.clear()
        monitor.reset()
        registry.forget_all()
        registry.reset()
        silence_room.forget_notices()
