"""Error logging as programs import it: the logger, two decorators, a context manager.

    from proletto_otel.error_logging import logger, handle_errors

Everything here works before and without `setup_telemetry`: records are printed, and kept for the
files until set-up comes, by itself if the program never calls it. The work is done in `logs`.
"""

from __future__ import annotations

from typing import Any

from proletto_otel.core.context import bind, unbind
from proletto_otel.logs.api.capture import ErrorCapture
from proletto_otel.logs.api.decorators import handle_errors, log_function_call
from proletto_otel.logs.api.loggers import Logger, get_logger, logger
from proletto_otel.logs.pipeline import pipeline as _pipeline
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.database.migrations import include_object
from proletto_otel.logs.sinks.sink import Sink
from proletto_otel.setup import by_itself as _by_itself

__all__ = [
    "ErrorCapture",
    "Logger",
    "Record",
    "Sink",
    "add_db_handler",
    "add_sink",
    "bind",
    "get_logger",
    "handle_errors",
    "include_object",
    "log_function_call",
    "logger",
    "unbind",
]

_pipeline.on_early = _by_itself.expect


def add_db_handler(db: Any) -> None:
    """Store ERROR and CRITICAL records in the table `error_logs` of a database.

    The table is created when it is missing. Records are written by a thread and a connection of
    their own; the application's session is never touched.

    Args:
        db: A Flask-SQLAlchemy object, an SQLAlchemy engine, or a database URL.

    Raises:
        ConfigError: *db* is none of these.
    """
    from proletto_otel.setup import telemetry  # the front door owns the life of sinks

    telemetry.add_database(db)
    if telemetry.current_telemetry() is None:  # it waits for the set-up
        _by_itself.expect()


def add_sink(sink: Sink) -> None:
    """Send log records to a destination of your own, besides the others.

    Args:
        sink: Has a name, a level and `write(record)`; one of the same name is replaced.
    """
    from proletto_otel.setup import telemetry

    telemetry.add_sink(sink)
