"""Exceptions nobody caught: logged once as CRITICAL, then handled as before.

Main thread, other threads, asyncio tasks, and what the interpreter cannot raise (`__del__`).
Exceptions of requests are the request path's.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.logs.api.loggers import logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.record import already_logged
from proletto_otel.logs.record.call_site import UNKNOWN, CodeLocation

CRITICAL = 50
_QUIET = (KeyboardInterrupt, SystemExit, GeneratorExit)
_undo: list[Callable[[], None]] = []


def report(event: str, error: BaseException, **facts: Any) -> None:
    """Log *error* as CRITICAL unless it was logged on its way here."""
    if isinstance(error, _QUIET) or already_logged.is_logged(error):
        return
    code, line = raised_at(error)
    pipeline.emit(logger.name, CRITICAL, event, facts, error, code, line)


def raised_at(error: BaseException) -> tuple[CodeLocation, int]:
    """The innermost function of the traceback of *error*, and its line."""
    trace = error.__traceback__
    if trace is None:
        return UNKNOWN, 0
    while trace.tb_next is not None:
        trace = trace.tb_next
    return CodeLocation.of(trace.tb_frame.f_code), trace.tb_lineno


def install() -> None:
    """Install the hooks; a second call changes nothing."""
    if _undo:
        return
    _wrap(sys, "excepthook", lambda kind, error, trace: report("uncaught exception", error))
    _wrap(threading, "excepthook", _of_thread)
    _wrap(sys, "unraisablehook", _unraisable)
    tasks = _Tasks()
    logging.getLogger("asyncio").addFilter(tasks)
    _undo.append(lambda: logging.getLogger("asyncio").removeFilter(tasks))


def uninstall() -> None:
    """Remove the hooks, except those that another hook was put on top of."""
    while _undo:
        _undo.pop()()


def _wrap(owner: Any, name: str, reports: Callable[..., None]) -> None:
    """Let the hook *name* of *owner* report first, then do what it did before."""
    old = getattr(owner, name)

    def hook(*args: Any) -> None:
        with suppressed("logs.uncaught"):
            reports(*args)
        old(*args)

    setattr(owner, name, hook)

    def undo() -> None:
        # A hook that somebody put on top calls this one: taking it out would take theirs out too.
        if getattr(owner, name) is hook:
            setattr(owner, name, old)

    _undo.append(undo)


def _of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        # None: the thread is gone already (at the end of the interpreter).
        thread = args.thread.name if args.thread is not None else ""
        report("uncaught exception in thread", args.exc_value, thread=thread)


def _unraisable(args: Any) -> None:
    if args.exc_value is not None:
        where = getattr(args.object, "__qualname__", type(args.object).__name__)
        report("exception ignored", args.exc_value, where=where)


class _Tasks(logging.Filter):
    """Raises asyncio's record of an exception that nobody retrieved from ERROR to CRITICAL."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or record.levelno != logging.ERROR:
            return True
        if already_logged.is_logged(error):
            return False
        record.levelno, record.levelname = CRITICAL, "CRITICAL"
        return True
