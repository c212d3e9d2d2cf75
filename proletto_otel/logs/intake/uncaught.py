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
    """Put the hooks in; calling it again changes nothing."""
    if _undo:
        return
    _wrap(sys, "excepthook", _main_hook)
    _wrap(threading, "excepthook", _thread_hook)
    _wrap(sys, "unraisablehook", _unraisable_hook)
    tasks = _Tasks()
    logging.getLogger("asyncio").addFilter(tasks)
    _undo.append(lambda: logging.getLogger("asyncio").removeFilter(tasks))


def uninstall() -> None:
    """Take the hooks out, as far as nobody has put others on top."""
    while _undo:
        _undo.pop()()


def _wrap(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    old = getattr(owner, name)
    new = make(old)
    setattr(owner, name, new)

    def undo() -> None:
        if getattr(owner, name) is new:
            setattr(owner, name, old)

    _undo.append(undo)


def _main_hook(old: Callable[..., Any]) -> Callable[..., Any]:
    def excepthook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        with suppressed("logs.uncaught"):
            report("uncaught exception", error)
        old(kind, error, trace)

    return excepthook


def _thread_hook(old: Callable[..., Any]) -> Callable[..., Any]:
    def excepthook(args: threading.ExceptHookArgs) -> None:
        with suppressed("logs.uncaught"):
            if args.exc_value is not None:
                thread = args.thread.name if args.thread is not None else ""
                report("uncaught exception in thread", args.exc_value, thread=thread)
        old(args)

    return excepthook


def _unraisable_hook(old: Callable[..., Any]) -> Callable[..., Any]:
    def unraisablehook(args: Any) -> None:
        with suppressed("logs.uncaught"):
            if args.exc_value is not None:
                where = getattr(args.object, "__qualname__", type(args.object).__name__)
                report("exception ignored", args.exc_value, where=where)
        old(args)

    return unraisablehook


class _Tasks(logging.Filter):
    """asyncio logs a task's exception that nobody retrieved as ERROR; it is as uncaught as any."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or record.levelno != logging.ERROR:
            return True
        if already_logged.is_logged(error):
            return False
        record.levelno, record.levelname = CRITICAL, "CRITICAL"
        return True
