"""The standard library's records join the pipeline through one handler on the root logger.

Other handlers stay; those that would print or export each record twice are named as findings.
"""

from __future__ import annotations

import logging
import sys
from itertools import islice
from typing import Any

from proletto_otel.logs import reported
from proletto_otel.logs.loggers import error_of, safe_str, text_of
from proletto_otel.logs.pipeline import Pipeline
from proletto_otel.logs.place import Code, Place

_STANDARD = tuple(logging.LogRecord("", 0, "", 0, "", None, None).__dict__)
_STANDARD_COUNT = len(_STANDARD)
_INJECTED = ("otelSpanID", "otelTraceID", "otelTraceSampled", "otelServiceName")
"""Attributes that OpenTelemetry's record injection adds; the IDs are on every record anyway."""
_NOT_FACTS = {*_STANDARD, *_INJECTED, "asctime", "message", "taskName", "color_message"}


class PipelineHandler(logging.Handler):
    """Hands records to the pipeline. It takes no lock and never raises."""

    def __init__(self, to: Pipeline) -> None:
        super().__init__()
        self._pipeline = to

    def createLock(self) -> None:  # noqa: N802  the standard library's name
        """No lock: a signal handler may log."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Hand *record* over unless its level is too low or a filter says no."""
        if record.levelno < self._pipeline.level or (self.filters and not self.filter(record)):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Hand *record* over."""
        event, fields = _event(record)
        error = error_of(record.exc_info) if record.exc_info else None
        place = self._place(record)
        self._pipeline.say(place, event, fields, error, int(record.created * 1e9))

    def _place(self, record: logging.LogRecord) -> Place:
        path, function, line = record.pathname, record.funcName or "", record.lineno
        level, name, places = record.levelno, record.name, self._pipeline.places
        key = (path, function, line, level, name)
        found = places.known.get(key)
        return found or places.make(key, name, level, Code.named(path, function), line)


def _event(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """The message and the facts of a record; a structlog event dictionary counts as both."""
    members = record.__dict__
    fields: dict[str, Any] = {}
    if len(members) > _STANDARD_COUNT:
        # what `extra` adds comes after the standard members
        fields = {
            key: value
            for key, value in islice(members.items(), _STANDARD_COUNT, None)
            if key not in _NOT_FACTS
        }
    if type(record.msg) is dict:
        facts = {safe_str(key): value for key, value in record.msg.items()}
        return text_of(facts.pop("event", ""), ()), {**fields, **facts}
    if record.stack_info:
        fields = {**fields, "stack": safe_str(record.stack_info).splitlines()}
    args = record.args
    if not args and type(record.msg) is str:
        return record.msg, fields
    return text_of(record.msg, args if isinstance(args, tuple) else (args,) if args else ()), fields


class Installed:
    """What `install` did to the standard library's loggers, and how to undo it."""

    def __init__(self, to: Pipeline, level: int) -> None:
        self.handler = PipelineHandler(to)
        self._root = logging.getLogger()
        self._old_level = self._root.level
        self._removed: list[tuple[logging.Logger, logging.Handler]] = []
        self._filters: list[tuple[logging.Logger, logging.Filter]] = []
        self._level = level
        self.attach()

    def attach(self) -> None:
        """Be on the root logger (again, if a `dictConfig` swept it clean)."""
        if self.handler not in self._root.handlers:
            self._root.addHandler(self.handler)
        if self._root.level > self._level or self._root.level == logging.NOTSET:
            self._root.setLevel(self._level)

    def watch(self) -> None:
        """Come back where a `dictConfig` swept the root logger; its level is the program's."""
        if self.handler not in self._root.handlers:
            self._root.addHandler(self.handler)

    def adopt(self, app: Any, *, access_log: bool) -> None:
        """Take over what Flask and werkzeug print by themselves.

        Args:
            app: The Flask application.
            access_log: Whether ours is on; werkzeug's line per request is dropped then.
        """
        default = getattr(sys.modules.get("flask.logging"), "default_handler", None)
        if default is not None and default in app.logger.handlers:
            app.logger.removeHandler(default)
            self._removed.append((app.logger, default))
        self._filter(app.logger, _NotReported())
        if access_log:
            self._filter(logging.getLogger("werkzeug"), _NoRequestLines())

    def _filter(self, logger: logging.Logger, new: logging.Filter) -> None:
        if not any(type(old) is type(new) for old in logger.filters):
            logger.addFilter(new)
            self._filters.append((logger, new))

    def undo(self) -> None:
        """Leave the loggers as they were."""
        self._root.removeHandler(self.handler)
        self._root.setLevel(self._old_level)
        for logger, handler in self._removed:
            logger.addHandler(handler)
        for logger, added in self._filters:
            logger.removeFilter(added)

    def findings(self) -> list[str]:
        """One sentence for each handler that repeats what the pipeline does."""
        return [said for handler in self._root.handlers if (said := _finding(handler))]


def _finding(handler: logging.Handler) -> str:
    kind = type(handler)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__.startswith("opentelemetry."):
        return f"{name} on the root logger exports every record a second time; remove it"
    if kind is logging.StreamHandler:
        return (
            f"{name} on the root logger prints every record a second time; "
            "remove it (logging.basicConfig put it there?) or set PROLETTO_LOG_CONSOLE=0"
        )
    return ""


class _NoRequestLines(logging.Filter):
    """Drops werkzeug's line per request: the access log has it, with the request ID."""

    def filter(self, record: logging.LogRecord) -> bool:
        # '127.0.0.1 - - [date] "%s" %s %s\n'
        return not (
            record.levelno == logging.INFO
            and isinstance(record.msg, str)
            and record.msg.endswith('] "%s" %s %s\n')
        )


class _NotReported(logging.Filter):
    """Drops Flask's "Exception on /path" for an exception that was logged where it happened."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (
            error is not None
            and isinstance(record.msg, str)
            and record.msg.startswith("Exception on ")
            and reported.is_reported(error)
        )
