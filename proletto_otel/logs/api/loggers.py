"""The logger people hold: an event plus facts, as structlog; stdlib calls work too.

    logger.error("payment failed", order_id=7)
    logger.error("order %s failed", 7, exc_info=True, extra={"order_id": 7})

What becomes of a call lives in `logs.pipeline`.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Mapping
from types import FrameType
from typing import Any

from proletto_otel.logs.api import foreign_handlers
from proletto_otel.logs.api.foreign_handlers import stdlib_loggers
from proletto_otel.logs.api.stdlib_interface import StdlibInterface
from proletto_otel.logs.pipeline import Pipeline, pipeline
from proletto_otel.logs.record.call_site import UNKNOWN, CodeLocation

_STDLIB_WORDS = frozenset(("exc_info", "extra", "stack_info", "stacklevel"))
_getframe = sys._getframe


class Logger(StdlibInterface):
    """Writes log events under a name, with the facts it was bound to.

    A call's positional arguments are %-arguments of the event; keyword arguments are facts.
    `exc_info`, `extra`, `stack_info` and `stacklevel` mean what they mean in the standard library.
    No call raises, whatever its arguments.
    """

    DEBUG = logging.DEBUG
    INFO = logging.INFO
    WARNING = logging.WARNING
    ERROR = logging.ERROR
    CRITICAL = logging.CRITICAL

    __slots__ = ("_facts", "_own_level", "_pipeline", "name")

    def __init__(
        self, name: str, facts: Mapping[str, Any] | None = None, to: Pipeline = pipeline
    ) -> None:
        self.name = name
        self._facts = dict(facts or {})
        self._pipeline = to
        self._own_level = 0

    def debug(self, event: object = "", /, *args: object, **facts: Any) -> None:
        """Detailed information, typically useful only for diagnosing problems."""
        # Asked in each method, so that a call below the level ends with one comparison, and the
        # caller's frame is always one step up.
        if self.isEnabledFor(10):
            self._log(10, event, args, facts, _getframe(1))

    def info(self, event: object = "", /, *args: object, **facts: Any) -> None:
        """Confirmation that things are working as expected."""
        # `isEnabledFor` written out: INFO is the level of most calls, and it saves a call
        to = self._pipeline
        own = self._own_level or to.level if to.overrides is None else self.getEffectiveLevel()
        if own <= 20:
            self._log(20, event, args, facts, _getframe(1))

    def warning(self, event: object = "", /, *args: object, **facts: Any) -> None:
        """Something unexpected happened or may happen."""
        if self.isEnabledFor(30):
            self._log(30, event, args, facts, _getframe(1))

    def error(self, event: object = "", /, *args: object, **facts: Any) -> None:
        """Some functionality could not be performed."""
        if self.isEnabledFor(40):
            self._log(40, event, args, facts, _getframe(1))

    def critical(self, event: object = "", /, *args: object, **facts: Any) -> None:
        """The program itself may be unable to continue running."""
        if self.isEnabledFor(50):
            self._log(50, event, args, facts, _getframe(1))

    def exception(self, event: object = "", /, *args: object, **facts: Any) -> None:
        """`error` with the exception being handled."""
        facts.setdefault("exc_info", True)
        if self.isEnabledFor(40):
            self._log(40, event, args, facts, _getframe(1))

    def log(self, level: int, event: object = "", /, *args: object, **facts: Any) -> None:
        """Log at a level given as a number or a name."""
        number = level_number(level)
        if self.isEnabledFor(number):
            self._log(number, event, args, facts, _getframe(1))

    warn = warning
    fatal = critical
    msg = info

    def bind(self, /, **facts: Any) -> Logger:
        """A logger that adds *facts* to each of its events."""
        made = Logger(self.name, {**self._facts, **facts}, self._pipeline)
        made._own_level = self._own_level
        return made

    new = bind

    def unbind(self, /, *names: str) -> Logger:
        """A logger without the facts of these names; unknown names do not matter."""
        kept = {name: value for name, value in self._facts.items() if name not in names}
        made = Logger(self.name, kept, self._pipeline)
        made._own_level = self._own_level
        return made

    try_unbind = unbind

    def getChild(self, suffix: str) -> Logger:  # noqa: N802  the standard library's name
        """The logger `<name>.<suffix>`, with the same facts."""
        made = self.bind()
        made.name = f"{self.name}.{suffix}"
        return made

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  the standard library's name
        """Whether events of *level* are recorded."""
        to = self._pipeline
        return level >= (
            self._own_level or to.level if to.overrides is None else self.getEffectiveLevel()
        )

    def setLevel(self, level: int | str) -> None:  # noqa: N802  the standard library's name
        """Record events of this logger from *level* on, whatever `LOG_LEVEL` says; 0 ends that."""
        self._own_level = level_number(level)

    @property
    def level(self) -> int:
        """The level of `setLevel`, 0 if it was not called."""
        return self._own_level

    def getEffectiveLevel(self) -> int:  # noqa: N802  the standard library's name
        """The lowest level that is recorded."""
        to = self._pipeline
        if to.overrides is not None:
            return to.overrides.level_of(self.name, self._own_level, to.level)
        return self._own_level or to.level

    # as the standard library's loggers: what holds one can be copied, or sent to another process
    def __copy__(self) -> Logger:
        return self

    def __deepcopy__(self, _: object) -> Logger:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # The pipeline is not pickled: in another process the logger writes into the one there.
        return Logger, (self.name, self._facts), (None, {"_own_level": self._own_level})

    def __repr__(self) -> str:
        return f"<Logger {self.name} ({logging.getLevelName(self.getEffectiveLevel())})>"

    def _log(
        self,
        level: int,
        event: object,
        args: tuple[object, ...],
        facts: dict[str, Any],
        frame: FrameType | None,
    ) -> None:
        error: BaseException | None = None
        # one test for all four words: calls without any of them pay no search by name
        if not _STDLIB_WORDS.isdisjoint(facts):
            error, frame = stdlib_words(facts, frame)
        if type(event) is not str or args:
            event = text_of(event, args)
        if frame is None:
            self.emit(level, event, facts, error, UNKNOWN, 0)
            return
        if self._facts:
            facts = {**self._facts, **facts}
        # By the frame's instruction, so that a known call site costs one look-up: neither line nor
        # file nor function is asked for. The
        # standard library asks for all three: 4.6 us for a call and its `LogRecord` alone.
        to, own = self._pipeline, stdlib_loggers[self.name]
        call_site = to.call_sites.of_frame(frame, level, self.name)
        if foreign_handlers.listens(own):
            foreign_handlers.emit_to_all(to, own, call_site, event, facts, error)
        else:
            to.emit_from(call_site, event, facts, error)

    def emit(
        self,
        level: int,
        event: str,
        facts: dict[str, Any],
        error: BaseException | None,
        code: CodeLocation,
        line: int,
    ) -> None:
        """Hand an event to the pipeline under this name, with the bound facts."""
        if self._facts:
            facts = {**self._facts, **facts}
        to, own = self._pipeline, stdlib_loggers[self.name]
        if foreign_handlers.listens(own):
            call_site = to.call_sites.of(self.name, level, code, line)
            foreign_handlers.emit_to_all(to, own, call_site, event, facts, error)
        else:
            to.emit(self.name, level, event, facts, error, code, line)


def level_number(level: object) -> int:
    """A level's number from its number or name; what is neither is INFO."""
    if isinstance(level, int):
        return int(level)
    found = logging.getLevelName(str(level).upper())
    return found if isinstance(found, int) else logging.INFO


def text_of(event: object, args: tuple[object, ...]) -> str:
    """The event with its %-arguments in it; arguments that do not fit follow it."""
    text = event if type(event) is str else safe_str(event)
    if not args:
        return text
    try:
        one = args[0]
        # as `logging.LogRecord`: a single mapping that is not empty is for `%(name)s`
        return text % (one if len(args) == 1 and isinstance(one, dict) and one else args)
    except Exception:  # wrong arguments, or one with a `__str__` that raises
        return f"{text} {' '.join(safe_str(arg) for arg in args)}"


def safe_str(value: object) -> str:
    """`str(value)`, or its type's name when that raises."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def is_true(value: object) -> bool:
    """`bool(value)`, false when that raises."""
    try:
        return bool(value)
    except Exception:
        return False


def stdlib_words(
    facts: dict[str, Any], frame: FrameType | None
) -> tuple[BaseException | None, FrameType | None]:
    """Take the standard library's words out of *facts*; return the exception and the frame."""
    error = error_of(facts.pop("exc_info", None))
    extra = facts.pop("extra", None)
    if isinstance(extra, dict):
        for key, value in extra.items():
            facts.setdefault(key if type(key) is str else safe_str(key), value)
    elif extra is not None:
        facts["extra"] = extra
    level = facts.pop("stacklevel", 1)
    # as the standard library: a helper that logs for its caller says how far up that one is
    while frame is not None and type(level) is int and level > 1:
        frame, level = frame.f_back, level - 1
    if is_true(facts.pop("stack_info", None)) and frame is not None:
        facts["stack"] = "".join(traceback.format_stack(frame)).splitlines()
    return error, frame


def error_of(exc_info: object) -> BaseException | None:
    """The exception meant by an `exc_info`: an exception, a triple, or anything true."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if type(exc_info) is tuple:
        found = exc_info[1] if len(exc_info) > 1 else None
    else:
        found = sys.exc_info()[1] if is_true(exc_info) else None
    return found if isinstance(found, BaseException) else None


logger = Logger(os.environ.get("APP_NAME") or "proletto")
"""The application's logger; set-up names it after the setting `APP_NAME`."""


def get_logger(name: str | None = None, /, **facts: Any) -> Logger:
    """The application's logger, or one with a name of its own, bound to *facts*."""
    if name is None or name == logger.name:
        return logger.bind(**facts) if facts else logger
    return Logger(name, facts)
