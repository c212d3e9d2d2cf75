"""The front door: `setup_telemetry`, and the handle it returns.

Set-up records and wraps; threads and connections begin in the process that serves. The rooms are
put together in `assembly`, what an application gets in `attachment`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from proletto_otel.assembly import Outlets, Rooms
from proletto_otel.attachment import Requests, attach, watch_login
from proletto_otel.core import config as settings
from proletto_otel.core import silence as silence_room
from proletto_otel.core.config import Config
from proletto_otel.core.context import current_request
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.ledger import ledger
from proletto_otel.core.meters import Family, registry
from proletto_otel.core.silence import notice, silence
from proletto_otel.logs.loggers import Logger, logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.monitoring import monitor
from proletto_otel.request.propagation import outgoing_headers

if TYPE_CHECKING:
    from flask import Flask
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

    from proletto_otel.logs.error_groups import ErrorGroups
    from proletto_otel.request.middleware import TelemetryMiddleware

EXTENSION = "proletto_otel"


class Telemetry:
    """Telemetry of this process; what `setup_telemetry` returns.

    A context manager: leaving it flushes and shuts down.
    """

    def __init__(self, config: Config, arguments: Mapping[str, Any], outlets: Outlets) -> None:
        self.config = config
        self.arguments = dict(arguments)
        self.rooms = Rooms(config, outlets)
        self.requests = Requests(self.rooms)
        self._outlets = outlets
        self._middlewares: list[TelemetryMiddleware] = []
        self.rooms.lifecycle.components.insert(0, self.requests)
        self.rooms.lifecycle.components.append(Begun(self))
        self._flask: list[Flask] = []

    # --- what programs use ---------------------------------------------------------------------
    @property
    def tracer(self) -> Tracer:
        """An OpenTelemetry tracer for spans of one's own."""
        return self.requests.tracing.get_tracer(self.config.app_name)

    @property
    def meter(self) -> Meter:
        """An OpenTelemetry meter; its instruments appear on `/metrics` and in OTLP."""
        return self.rooms.user_metrics.get_meter(self.config.app_name)

    @property
    def logger(self) -> Logger:
        """The application's logger, the same as `error_logging.logger`."""
        return logger

    @property
    def errors(self) -> ErrorGroups:
        """Groups of errors: `groups()`, `get()`, `resolve()`, `ignore()`, `reopen()`."""
        return self.rooms.errors

    def outgoing_headers(self, url: str) -> dict[str, str]:
        """Trace context and request ID for a call to *url* by a client nobody instruments."""
        return outgoing_headers(url, self.requests.tracing.propagator)

    def activate(self) -> None:
        """Start threads and connections in this process now (they start by themselves, too)."""
        self.rooms.lifecycle.activate()

    def flush(self, timeout: float = 5.0) -> bool:
        """Deliver everything held in memory; whether all was delivered within *timeout* seconds."""
        self.activate()
        return self.rooms.lifecycle.flush(timeout)

    def shutdown(self, timeout: float | None = None) -> None:
        """Flush and stop, within *timeout* seconds (default `PROLETTO_SHUTDOWN_TIMEOUT`)."""
        self.rooms.lifecycle.shutdown(timeout)

    def set_user(self, user_id: object) -> None:
        """Say whose request this is; the ID is on all its later lines and its error report."""
        context = current_request()
        if context is not None:
            context.user_id = None if user_id is None else str(user_id)

    def provide(self) -> None:
        """Be OpenTelemetry's global providers now: a script's first span is not to be lost."""
        self.requests.tracing.start()
        self.rooms.user_metrics.start()

    def families(self) -> list[Family]:
        """Every metric of all workers of the host."""
        self.rooms.lifecycle.gather()
        return self.rooms.snapshots.merged()

    def status(self) -> dict[str, Any]:
        """Health of the telemetry itself: sinks, exporter, and what became of every record."""
        return {
            "active": self.rooms.lifecycle.active,
            "leader": self.rooms.leads(),
            "state_dir": None if self.rooms.state is None else str(self.rooms.state),
            "store": {"shared": self.rooms.store.shared, "last_error": self.rooms.store.last_error},
            "sinks": self.rooms.logs.status(),
            "exporter": self.rooms.exporter.status(),
            "records": ledger.totals(),
            "findings": self.rooms.logs.findings(),
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
        middleware = attach(app, self.rooms, self.requests, self.status, authorize)
        if self._outlets.is_test:
            middleware.remember_open()
        self._middlewares.append(middleware)

    def settle(self) -> None:
        """End requests whose response was never closed (test clients do that)."""
        for middleware in self._middlewares:
            middleware.settle()
        pipeline.behind.flush()

    def begun(self) -> None:
        """This process serves: look at what the program set up after us."""
        for app in self._flask:
            watch_login(app)
        for finding in self.rooms.logs.findings():
            notice(f"finding:{finding}", "%s", finding)


class Begun:
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
_outlets = Outlets()
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
    telemetry = Telemetry(loaded, chosen, _outlets)
    for warning in [*warnings, *telemetry.rooms.warnings]:
        silence_room.notice(f"setting:{warning}", "%s", warning)
    telemetry.rooms.lifecycle.begin()
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
        notice(
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
    from proletto_otel.logs import database_engine as engines

    engines.check(db)


def _use_database(telemetry: Telemetry, db: Any, app: Flask | None) -> None:
    try:
        telemetry.rooms.use_database(db, app)
    except ConfigError:
        raise
    except Exception:
        with silence("setup.database"):
            raise


def use_outlets(outlets: Outlets) -> Callable[[], None]:
    """Send everything to *outlets* from the next set-up on (tests); returns the way back."""
    global _outlets  # see _made
    before, _outlets = _outlets, outlets

    def restore() -> None:
        global _outlets
        _outlets = before

    return restore


def reset() -> None:
    """Undo the set-up and forget every number and registration (tests)."""
    global _current  # see _made
    with _lock:
        if _current is not None:
            _current.rooms.close()
        _current = None
        _waiting_databases.clear()
        monitor._reset()
        registry.forget_all()
        registry.reset()
        silence_room.forget_notices()
