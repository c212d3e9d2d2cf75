"""The standard library's records join the pipeline through one handler on the root logger.

Other handlers stay and get what they got before: what is not to be recorded twice is left out in
our handler, not by a filter on a logger. Handlers that would print or export each record a second
time are named as findings. What Flask and Werkzeug log lives in `logs.intake.frameworks`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

from proletto_otel.logs.api.foreign_handlers import OWN, Muted, OwnHandler
from proletto_otel.logs.api.loggers import error_of, level_number, safe_str, text_of
from proletto_otel.logs.intake.frameworks import Frameworks, arguments_of, repeats_logged_error
from proletto_otel.logs.pipeline import Pipeline
from proletto_otel.logs.record.call_site import CodeLocation
from proletto_otel.logs.this_thread import this_thread

_STANDARD = tuple(logging.LogRecord("", 0, "", 0, "", None, None).__dict__)
_STANDARD_COUNT = len(_STANDARD)
_INJECTED = ("otelSpanID", "otelTraceID", "otelTraceSampled", "otelServiceName")
"""Attributes that OpenTelemetry's record injection adds; the IDs are on every record anyway."""
_STRUCTLOG = ("_logger", "_name", "_record", "_from_structlog")
"""What structlog's `ProcessorFormatter` adds for itself."""
_NOT_FACTS = {
    *_STANDARD, *_INJECTED, *_STRUCTLOG, "asctime", "message", "taskName", "color_message",
}  # fmt: skip
_FUNCTION_NAMES = (str, type(None))
MAX_TIME_NS = 1 << 62
"""In the year 2116; what formats and protocols hold is a little more."""


class PipelineHandler(OwnHandler):
    """Hands records to the pipeline. It takes no lock and never raises."""

    def __init__(self, to: Pipeline) -> None:
        super().__init__()
        self._pipeline = to
        self.frameworks = Frameworks()

    def createLock(self) -> None:  # noqa: N802  the standard library's name
        """No lock: a signal handler may log."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Hand *record* over unless its level is too low or a filter says no."""
        try:
            record = _usual(record)
            if self._is_left_out(record) or not self._passes(record):
                return False
            self.emit(record)
        except Exception as broken:
            self._pipeline.lost(broken, record.levelno)
        return True

    def _is_left_out(self, record: logging.LogRecord) -> bool:
        lowest, overrides = self._pipeline.level, self._pipeline.overrides
        if overrides is not None:
            lowest = min(lowest, overrides.level_of(record.name, 0, lowest))
        # in debug mode Flask sets `app.logger` to DEBUG: its records are what the program asks for
        if record.levelno < lowest and not (
            lowest <= logging.INFO and self.frameworks.debugs(record.name)
        ):
            return True
        if OWN in record.__dict__:
            return True
        if this_thread.printing:  # our console's stream writes into the log: it has this already
            this_thread.looped = True
            return True
        return False

    def _passes(self, record: logging.LogRecord) -> bool:
        """Whether the filters on this handler let *record* pass; one that raises lets it pass."""
        try:
            return not self.filters or bool(self.filter(record))
        except Exception:
            return True

    def emit(self, record: logging.LogRecord) -> None:
        """Hand *record* over."""
        if record.name == "werkzeug":
            for part in self.frameworks.from_werkzeug(record, self._pipeline):
                self._emit(part)
        elif not record.exc_info or not repeats_logged_error(record):
            self._emit(record)

    def _emit(self, record: logging.LogRecord) -> None:
        event, fields = _event(record)
        error = error_of(record.exc_info) if record.exc_info else None
        # By names, not by a frame: the record says where it was made, and may come from another
        # process. The standard library's own part of such a call is 4.6 us, which we cannot save.
        path, function, line = record.pathname, record.funcName or "", record.lineno
        level, name, known = record.levelno, record.name, self._pipeline.call_sites
        key = (path, function, line, level, name)
        call_site = known.known.get(key)
        if call_site is None:
            code = CodeLocation.named(path, function)
            call_site = known.make(key, name, level, code, line)
        self._pipeline.emit_from(call_site, event, fields, error, _time_ns(record))


def _usual(record: logging.LogRecord) -> logging.LogRecord:
    """*record*, or a corrected copy of one that was made by hand or came over a network."""
    # Five comparisons of types, so that nothing after this has to expect odd ones.
    if (
        type(record.name) is str
        and type(record.levelno) is int
        and type(record.pathname) is str
        and type(record.lineno) is int
        and type(record.funcName) in _FUNCTION_NAMES
    ):
        return record
    usual = logging.makeLogRecord(record.__dict__)
    level, line = record.levelno, record.lineno
    usual.levelno = level_number(level) if isinstance(level, (int, str)) else logging.INFO
    usual.lineno = line if isinstance(line, int) else 0
    usual.name = safe_str(record.name) if record.name else "root"
    usual.pathname = safe_str(record.pathname) if record.pathname else ""
    usual.funcName = safe_str(record.funcName) if record.funcName else ""
    return usual


def _time_ns(record: logging.LogRecord) -> int:
    """When the record was made, unix time; 0 (now) when its time is no time: code that makes
    records by hand may leave it out."""
    try:
        time_ns = int(record.created * 1e9)
    except (TypeError, ValueError, OverflowError):
        return 0
    return time_ns if 0 < time_ns < MAX_TIME_NS else 0


def _event(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """The message and the facts of a record; a structlog event dictionary counts as both."""
    # Most records have no `extra`: then the number of members says so without a search
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
        facts = {safe_str(k): v for k, v in record.msg.items() if k not in _STRUCTLOG}
        return text_of(facts.pop("event", ""), ()), {**fields, **facts}
    if record.stack_info:
        fields = {**fields, "stack": safe_str(record.stack_info).splitlines()}
    if not record.args and type(record.msg) is str:
        return record.msg, fields
    return text_of(record.msg, arguments_of(record)), fields


def has_foreign_handler(logger: logging.Logger) -> bool:
    """What Flask's `has_level_handler` says, but for handlers of ours."""
    level, current = logger.getEffectiveLevel(), logger
    while True:
        for handler in current.handlers:
            if handler.level <= level and not isinstance(handler, OwnHandler):
                return True
        if not current.propagate or current.parent is None:
            return False
        current = current.parent


class Installed:
    """The changes to the standard library's loggers; `undo` reverts them."""

    def __init__(self, to: Pipeline, level: int) -> None:
        self.handler = PipelineHandler(to)
        self._root = logging.getLogger()
        self._old_level = self._root.level
        self._asked_before: Callable[[logging.Logger], bool] | None = None
        self._muted: list[tuple[logging.Handler, logging.Filter]] = []
        self._level = level
        self.attach()

    def attach(self) -> None:
        """Add the handler to the root logger, and lower the root logger's level to ours."""
        if self.handler not in self._root.handlers:
            self._root.addHandler(self.handler)
        if self._root.level > self._level or self._root.level == logging.NOTSET:
            self._root.setLevel(self._level)

    def watch(self) -> None:
        """Add the handler again after a `dictConfig` removed it; the level is the program's."""
        if self.handler not in self._root.handlers:
            self._root.addHandler(self.handler)

    def adopt(self, app: Any, *, access_log: bool, mute_default: bool = True) -> None:
        """Take over what Flask and werkzeug print by themselves.

        Args:
            app: The Flask application.
            access_log: Whether ours is on; werkzeug's line per request is dropped then.
            mute_default: Whether Flask's default handler prints nothing any more.
        """
        self.handler.frameworks.adopt(app, access_log=access_log)
        default = getattr(sys.modules.get("flask.logging"), "default_handler", None)
        if default is None:
            return
        if mute_default and not any(isinstance(old, Muted) for old in default.filters):
            mute = Muted()
            default.addFilter(mute)
            self._muted.append((default, mute))
        # Flask adds its handler when it makes `app.logger`, unless somebody has one; `if not
        # app.logger.handlers: add one` is how programs ask. Not at the set-up: the program may add
        # a handler to root later, and making `app.logger` here would read `app.debug` too early.
        module: Any = sys.modules["flask.logging"]
        if module.has_level_handler is not has_foreign_handler:
            self._asked_before = module.has_level_handler
            module.has_level_handler = has_foreign_handler

    def undo(self) -> None:
        """Leave the loggers as they were."""
        self._root.removeHandler(self.handler)
        self._root.setLevel(self._old_level)
        for handler, mute in self._muted:
            handler.removeFilter(mute)
        if self._asked_before is not None:
            sys.modules["flask.logging"].has_level_handler = self._asked_before  # type: ignore[attr-defined]

    def findings(self) -> list[str]:
        """One sentence for each handler on the root logger that repeats the pipeline's output."""
        found: list[str] = []
        for kind in map(type, self._root.handlers):
            on_root = f"{kind.__module__}.{kind.__qualname__} on the root logger"
            if kind.__module__.startswith("opentelemetry."):
                found.append(f"{on_root} exports every record a second time; remove it")
            elif kind is logging.StreamHandler:
                found.append(
                    f"{on_root} prints every record a second time; remove it"
                    " (logging.basicConfig put it there?) or set PROLETTO_LOG_CONSOLE=0"
                )
        return found
