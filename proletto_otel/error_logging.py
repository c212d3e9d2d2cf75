"""Error logging as programs import it: the logger, two decorators, a context manager.

    from proletto_otel.error_logging import logger, handle_errors

Everything here works before and without `setup_telemetry`: records are printed, and kept for the
files until set-up comes. The work is done in `logs`.
"""

from __future__ import annotations

from typing import Any

from proletto_otel.logs.api.capture import ErrorCapture
from proletto_otel.logs.api.decorators import handle_errors, log_function_call
from proletto_otel.logs.api.loggers import Logger, get_logger, logger

__all__ = [
    "ErrorCapture",
    "Logger",
    "add_db_handler",
    "get_logger",
    "handle_errors",
    "log_function_call",
    "logger",
]


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
