"""Which records of Flask and Werkzeug are recorded differently from others.

Decided in our handler, so that handlers of the program get these records as before.
"""

from __future__ import annotations

import copy
import logging
import re
import sys
import weakref
from collections.abc import Iterable
from typing import Any

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.logs.api.loggers import text_of
from proletto_otel.logs.pipeline import Pipeline
from proletto_otel.logs.record import already_logged

_COLOURS = lazy_pattern(r"\x1b\[[0-9;]*m")
_REQUEST_LINE = '] "%s" %s %s'
"""How werkzeug's line per request ends: `127.0.0.1 - - [date] "%s" %s %s`."""
_SERVERS = ("gunicorn.error", "waitress", "hypercorn.error", "uvicorn.error")
_PIN = lazy_pattern(r"debugger pin(?: code)?: ", re.IGNORECASE)


def repeats_logged_error(record: logging.LogRecord) -> bool:
    """Whether Flask ("Exception on /path") or a server tells of an exception logged before.

    A server gets what ends a response midway, or a worker that takes too long, when we logged it.
    """
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if error is None or not already_logged.is_logged(error):
        return False
    by_flask = isinstance(record.msg, str) and record.msg.startswith("Exception on ")
    return by_flask or record.name in _SERVERS


class Frameworks:
    """The Flask applications that were set up, and what of their servers' lines is recorded."""

    def __init__(self) -> None:
        self._apps: dict[str, weakref.ref[Any]] = {}
        """By the name of `app.logger`; weak, so that applications made by a factory are freed."""
        self._access_log = False

    def adopt(self, app: Any, *, access_log: bool) -> None:
        """Know *app*; with *access_log*, werkzeug's line per request is not recorded."""
        # By name: the handler sees a record's logger name, not the application.
        self._apps[app.name] = weakref.ref(app)
        self._access_log = self._access_log or access_log

    def debugs(self, name: str) -> bool:
        """Whether *name* is the logger of an application in debug mode."""
        found = self._apps.get(name)
        app = found() if found is not None else None
        return app is not None and bool(app.debug)

    def from_werkzeug(self, record: logging.LogRecord, to: Pipeline) -> Iterable[logging.LogRecord]:
        """Split a record of werkzeug: none for a request's line, one for each line of a banner."""
        message = record.msg if isinstance(record.msg, str) else ""
        is_info = record.levelno == logging.INFO
        if self._access_log and is_info and message.rstrip().endswith(_REQUEST_LINE):
            return ()
        text = _COLOURS.sub("", text_of(record.msg, arguments_of(record)))
        if _PIN.search(text):
            # Who knows the PIN runs code in the process: it is shown to who sees the terminal, as
            # werkzeug does by itself, and recorded nowhere.
            if to.console_sinks and sys.stderr is not None:
                print(text, file=sys.stderr, flush=True)
            return ()
        lines = [line for line in text.splitlines() if line.strip()]
        if record.exc_info or len(lines) < 2:
            lines = [text]
        made = []
        for line in lines:
            part = copy.copy(record)  # handlers of the program get the whole one
            part.msg, part.args = line, ()
            made.append(part)
        return made


def arguments_of(record: logging.LogRecord) -> tuple[object, ...]:
    """The %-arguments of a record; a mapping is one argument."""
    args = record.args
    return args if isinstance(args, tuple) else (args,) if args else ()
