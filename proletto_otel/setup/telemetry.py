"""`setup_telemetry`: one `Telemetry` per process, made at the first call.

Set-up records and wraps; threads and connections start in the process that serves. The components
are put together in `setup.components`, what an application gets in `setup.flask_app`.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from proletto_otel.core import config as settings
from proletto_otel.core import internal_errors
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.core.metrics.registry import registry
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.sinks.sink import Sink
from proletto_otel.monitoring import monitor
from proletto_otel.setup import under_test
from proletto_otel.setup.doubles import TestDoubles
from proletto_otel.setup.flask_app import attachment
from proletto_otel.setup.handle import Telemetry

if TYPE_CHECKING:
    from flask import Flask
    from typing_extensions import Unpack

    from proletto_otel.setup.settings import Settings
    from proletto_otel.web.own_pages import MonitoringPage

__all__ = ["Telemetry", "current_telemetry", "setup_telemetry"]

# Re-entrant: `set_up_by_itself` holds it and calls `setup_telemetry`.
_lock = threading.RLock()
_current: Telemetry | None = None
_made_by_itself = False
_doubles = TestDoubles()
_waiting_databases: list[Any] = []
_waiting_sinks: list[Sink] = []


def setup_telemetry(
    app: Flask | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    db: Any = None,
    authorize: Callable[..., Any] | None = None,
    request_labels: Callable[[dict[str, Any]], Mapping[str, Any] | None] | None = None,
    monitoring_pages: Sequence[MonitoringPage] = (),
    **arguments: Unpack[Settings],
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
        request_labels: Labels to add to the request metrics, such as the tenant: called with the
            WSGI environ of each finished request, for all apps of the process; at most four
            labels, and 200 different sets of them in a process.
        monitoring_pages: Pages of the app's own among the admin pages.
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
                telemetry.add(app, authorize, request_labels, monitoring_pages)
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
    global _current, _made_by_itself  # one per process: logging and OpenTelemetry are process-wide
    if _current is not None and _made_by_itself and (chosen or app is not None):
        _current.components.close()
        _current = None
    if _current is not None:
        _compare(_current, chosen)
        return _current
    loaded, warnings = settings.load(chosen, app.config if app is not None else {}, os.environ)
    if under_test.runs(app is not None and app.testing):
        loaded = under_test.quiet(loaded)
    if _doubles.is_test:
        loaded = under_test.captured(loaded)
    telemetry = Telemetry(loaded, chosen, _doubles)
    for warning in [*warnings, *telemetry.components.warnings]:
        log_rate_limited(f"setting:{warning}", "%s", warning)
    # After all components are made: the hooks for forks and exit call each of them.
    telemetry.components.lifecycle.begin()
    _current, _made_by_itself = telemetry, False
    # They stay in the list: a set-up that replaces the one by itself needs them again.
    for sink in _waiting_sinks:
        _add_sink(telemetry, sink)
    return telemetry


def set_up_by_itself() -> None:
    """Set up for a program that did not; its own call, should it come, replaces this one."""
    global _made_by_itself  # see _made
    with _lock:
        if _current is None:
            setup_telemetry().activate()
            _made_by_itself = True
            log_rate_limited(
                "setup.by_itself",
                "setup_telemetry was not called: set up with the settings of the environment",
                level=logging.INFO,
            )


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


def add_sink(sink: Sink) -> None:
    """Send log records to *sink* too, from now on, or from the set-up on if that comes later."""
    with _lock:
        _waiting_sinks[:] = [*(s for s in _waiting_sinks if s.name != sink.name), sink]
        if _current is not None:
            _add_sink(_current, sink)


def _add_sink(telemetry: Telemetry, sink: Sink) -> None:
    pipeline.add(sink)
    if telemetry.components.lifecycle.active:
        with suppressed(f"start.{sink.name}"):
            sink.start()


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
    """Undo the set-up and forget every number and registration (tests).

    Its applications are set up again, as they were, when the next request comes to them.
    """
    global _current  # see _made
    with _lock:
        if _current is not None:
            _current.components.close()
            _set_up_at_next_request(_current)
        _current = None
        _waiting_databases.clear()
        _waiting_sinks.clear()
        monitor.reset()
        registry.clear()
        internal_errors.forget_logged()


def _set_up_at_next_request(ended: Telemetry) -> None:
    """Let the applications of *ended* do what their program did, should one be asked again.

    A module that sets its application up when it is imported does so once; tests go on for long.
    """
    registered = monitor.thresholds, monitor.checks, monitor.slos

    def set_up(app: weakref.ref[Flask]) -> None:
        known = app()
        if known is not None and _current is None:
            monitor.thresholds, monitor.checks, monitor.slos = registered
        if known is not None:
            setup_telemetry(known, config=ended.arguments, authorize=attachment(known).authorize)

    for app in ended.apps:
        attachment(app).middleware.ensure = partial(set_up, weakref.ref(app))
