"""Records of our loggers for handlers of others: mail, files, pytest's `caplog`, Sentry.

A handler on the standard library's logger of the same name, or above it, gets each record of our
logger too, as a `logging.LogRecord` with the facts as attributes. Handlers that would only repeat
what our sinks do (print on the same console, export by OpenTelemetry) do not. Where there is no
such handler, a log call pays 0.3 us to know it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.internal_errors import count_failure
from proletto_otel.logs.pipeline import Pipeline
from proletto_otel.logs.record.call_site import CallSite
from proletto_otel.logs.this_thread import this_thread

MAX_NAMES = 2000
OWN = "_proletto_own"
"""Attribute of records that come from our loggers: our handler does not take them again."""
_RECORD_NAMES = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", OWN))
_call_handlers = logging.Logger.callHandlers
if _call_handlers.__globals__ is not vars(logging):  # patched before we were imported
    _call_handlers = None  # type: ignore[assignment]  # then it is never the original


class OwnHandler(logging.Handler):
    """Base of our handler; all others are foreign."""

    is_pipeline = True
    """For `proletto_otel.gunicorn`, which asks without importing this."""


class Muted(logging.Filter):
    """On a handler that prints what our console prints."""

    def filter(self, record: logging.LogRecord) -> bool:
        return False


stdlib_loggers: BoundedCache[logging.Logger] = BoundedCache(
    lambda name: logging.getLogger(str(name)), MAX_NAMES
)
"""The standard library's loggers by name, without its lock: a signal handler may log."""


def listens(logger: logging.Logger) -> bool:
    """Whether a filter or a handler of others is to see records of this name."""
    if logger.filters or logging.Logger.callHandlers is not _call_handlers:
        return True
    current: logging.Logger | None = logger
    while current is not None:
        for handler in current.handlers:
            if not isinstance(handler, OwnHandler):
                return True
        current = current.parent if current.propagate else None
    return False


def emit_to_all(
    to: Pipeline,
    logger: logging.Logger,
    call_site: CallSite,
    event: str,
    facts: dict[str, Any],
    error: BaseException | None,
) -> None:
    """Ask the logger's filters, then hand the event to the pipeline and to foreign handlers."""
    record: logging.LogRecord | None = None
    try:
        record = _record(logger, call_site, event, facts, error)
        before = set(record.__dict__)
        if logger.filters and not logger.filter(record):
            return
        # What a filter put on the record is a fact for our sinks, too.
        facts = {**facts, **{k: v for k, v in record.__dict__.items() if k not in before}}
    except Exception as broken:  # a filter that fails says nothing
        count_failure("logs.foreign_filter", broken)
    to.emit_from(call_site, event, facts, error)
    if record is None or this_thread.in_foreign_handler or not logger.isEnabledFor(record.levelno):
        return
    this_thread.in_foreign_handler = True  # a handler that logs through our logger ends here
    try:
        _hand_over(logger, record, has_console=bool(to.console_sinks))
    finally:
        this_thread.in_foreign_handler = False


def _record(
    logger: logging.Logger,
    call_site: CallSite,
    event: str,
    facts: dict[str, Any],
    error: BaseException | None,
) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    code = call_site.code
    record = logger.makeRecord(
        logger.name, call_site.level, code.path, call_site.line, event, (), info, code.function
    )
    for name, value in facts.items():
        # Not by `extra`: the standard library raises for a name that a record has itself.
        record.__dict__[f"{name}_" if name in _RECORD_NAMES else name] = value
    record.__dict__[OWN] = True
    return record


def _hand_over(logger: logging.Logger, record: logging.LogRecord, *, has_console: bool) -> None:
    if logging.Logger.callHandlers is not _call_handlers:
        # Sentry's logging integration listens there; a logger without handlers prints nothing twice
        _call(_Silent(logger.name).callHandlers, record)
    # As `callHandlers` does, but without the handlers that would repeat our sinks.
    current: logging.Logger | None = logger
    while current is not None:
        for handler in list(current.handlers):
            if record.levelno >= handler.level and not _repeats(handler, has_console):
                _call(handler.handle, record)
        current = current.parent if current.propagate else None


class _Silent(logging.Logger):
    """A logger of a name, outside the tree."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.addHandler(logging.NullHandler())  # without one, `logging.lastResort` prints


def _call(handle: Callable[[logging.LogRecord], object], record: logging.LogRecord) -> None:
    try:
        handle(record)
    except Exception as broken:
        count_failure("logs.foreign_handler", broken)


def _repeats(handler: logging.Handler, has_console: bool) -> bool:
    """Whether it would print on our console, or export, what our sinks print and export."""
    if isinstance(handler, OwnHandler) or type(handler).__module__.startswith("opentelemetry."):
        return True
    if not has_console or isinstance(handler, logging.FileHandler):
        return False
    stream = getattr(handler, "stream", None)
    consoles = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return stream is not None and any(stream is console for console in consoles)
