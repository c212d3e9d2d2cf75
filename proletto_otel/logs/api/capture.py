"""What is done with a caught error: one record, its facts on the span, and whether it ends there.

`ErrorCapture` does it for a block of code; `handle_errors` (`logs.api.decorators`) for a function.
"""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from proletto_otel.core.conventions import (
    COMPONENT,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
)
from proletto_otel.core.exceptions import describe
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.redaction import sanitise
from proletto_otel.core.trace_context import current_span
from proletto_otel.logs.api import loggers
from proletto_otel.logs.api.loggers import Logger
from proletto_otel.logs.api.wrapping import WRAPPERS
from proletto_otel.logs.record import already_logged, error_facts
from proletto_otel.logs.record.call_site import UNKNOWN, CodeLocation

ERROR = logging.ERROR
NEVER_SWALLOWED = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""They end a program, a generator or a task; none of them is an error."""
ROOM_TO_LOG = 200
"""Calls that logging an error may take; what it takes is about 60."""
Entered = TypeVar("Entered", bound="_ErrorCapture")
ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]


def is_never_swallowed(error: BaseException) -> bool:
    """Whether *error* ends a program, a generator or a task, and so passes through untouched."""
    # by its name: importing asyncio takes 20 ms, and who raises its error has imported it
    cancelled = ("asyncio.exceptions", "CancelledError")
    return isinstance(error, NEVER_SWALLOWED) or any(
        (kind.__module__, kind.__name__) == cancelled for kind in type(error).__mro__
    )


def write(
    logger: Logger | None,
    level: int,
    event: str,
    facts: dict[str, Any],
    error: BaseException | None,
    where: tuple[CodeLocation, int],
) -> None:
    """Log from a decorator: the call site is the decorated function."""
    to = logger or loggers.logger
    if to.isEnabledFor(level):
        to.emit(level, event, facts, error, *where)


def http_exception() -> type[BaseException] | None:
    """Werkzeug's `HTTPException`, if the program uses Werkzeug."""
    return getattr(sys.modules.get("werkzeug.exceptions"), "HTTPException", None)


def has_no_room(error: BaseException) -> bool:
    """Whether *error* is for an outer decorator: logging would pass the recursion limit, too.

    A decorated function that calls itself without end fails with the whole stack below it; the
    first of its calls with room for logging reports the error.
    """
    if not isinstance(error, RecursionError):
        return False
    depth, decorated, frame = 0, 0, sys._getframe(1)
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
        decorated += frame.f_code in WRAPPERS
    return decorated > 1 and sys.getrecursionlimit() - depth < ROOM_TO_LOG


class Capture:
    """What is done with an error: one record, its facts on the span, and whether it ends here."""

    def __init__(
        self,
        *,
        reraise: bool,
        exceptions: ExceptionTypes,
        level: int | str,
        logger: Logger | None,
        facts: dict[str, Any],
    ) -> None:
        self._reraise = reraise
        self._exceptions = exceptions if isinstance(exceptions, tuple) else (exceptions,)
        self._level = loggers.level_number(level)
        self._logger = logger
        self.facts = {name: value for name, value in facts.items() if value is not None}
        """On the record and the span, and on records of errors inside that somebody else logs."""

    def takes(self, error: BaseException) -> bool:
        """Whether *error* is of the kinds this one is for."""
        if is_never_swallowed(error) or not isinstance(error, self._exceptions):
            return False
        # abort(404) is an answer, not a failure, unless somebody asked for it by name
        http = http_exception()
        named = http is not None and any(issubclass(kind, http) for kind in self._exceptions)
        return named or http is None or not isinstance(error, http)

    def handle(self, error: BaseException, event: str, where: tuple[CodeLocation, int]) -> bool:
        """Log *error* unless it was logged on its way here; return whether it ends here."""
        if not self.takes(error) or has_no_room(error):
            return False
        with suppressed("logs.capture"):
            if not already_logged.is_logged(error):
                write(self._logger, self._level, event, dict(self.facts), error, where)
                self._on_span(error)
        return not self._reraise

    def _on_span(self, error: BaseException) -> None:
        span = current_span()
        if span is None or not span.is_recording():
            return
        for name, value in sanitise.get().fields(self.facts).items():
            span.set_attribute(name, value if type(value) in (int, float, bool) else str(value))
        found = describe(error)  # not record_exception: the SDK's would send the text uncleaned
        span.add_event(
            "exception",
            {
                EXCEPTION_TYPE: found.type,
                EXCEPTION_MESSAGE: found.message,
                EXCEPTION_STACKTRACE: found.traceback,
            },
        )


class _ErrorCapture:
    """The members of `ErrorCapture`."""

    def __init__(
        self,
        component: str | None = None,
        *,
        reraise: bool = True,
        exceptions: ExceptionTypes = (Exception,),
        level: int | str = ERROR,
        logger: Logger | None = None,
        **facts: Any,
    ) -> None:
        self._capture = Capture(
            reraise=reraise, exceptions=exceptions, level=level, logger=logger,
            facts={COMPONENT: component, **facts},
        )  # fmt: skip
        self._event = f"{component or 'block'} failed"
        self.error: BaseException | None = None
        """The exception of the block, if it had one."""

    @property
    def fingerprint(self) -> str:
        """The error's fingerprint, empty without an error."""
        return describe(self.error).fingerprint if self.error is not None else ""

    def __enter__(self: Entered) -> Entered:
        self.error = None
        if self._capture.facts:
            self._before = error_facts.enter(self._capture.facts)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self.error = error
        try:
            if error is None:
                return False
            where = (UNKNOWN, 0)
            if trace is not None:
                # The first entry of the traceback is the frame of the `with` block.
                where = (CodeLocation.of(trace.tb_frame.f_code), trace.tb_lineno)
            return self._capture.handle(error, self._event, where)
        finally:
            if self._capture.facts:
                error_facts.leave(self._before)

    async def __aenter__(self: Entered) -> Entered:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self.__exit__(kind, error, trace)


class ErrorCapture(_ErrorCapture):
    """Log an exception of the block once, with facts; for `with` and `async with`.

    Args:
        component: On the record and in the metric `proletto.errors`.
        reraise: Let the exception go on, unchanged; false ends it with the block.
        exceptions: The kinds that are captured; others go on unlogged.
        level: Level of the record.
        logger: Another logger than the application's.
        **facts: On the record, the span and the error report (`user_id=…`).

    >>> with ErrorCapture(component="user_service", user_id=7, reraise=False) as captured:
    ...     risky_operation()
    >>> captured.error
    """

    # only with `reraise=False` a block ends its exceptions: the type says so
    if TYPE_CHECKING:

        @overload
        def __new__(
            cls,
            component: str | None = None,
            *,
            reraise: Literal[True] = True,
            exceptions: ExceptionTypes = ...,
            level: int | str = ...,
            logger: Logger | None = ...,
            **facts: Any,
        ) -> ErrorCapture: ...
        @overload
        def __new__(
            cls,
            component: str | None = None,
            *,
            reraise: bool,
            exceptions: ExceptionTypes = ...,
            level: int | str = ...,
            logger: Logger | None = ...,
            **facts: Any,
        ) -> _Swallowing: ...
        def __new__(cls, *args: Any, **options: Any) -> Any: ...


if TYPE_CHECKING:

    class _Swallowing(ErrorCapture):
        def __exit__(self, *_: Any) -> bool: ...
        async def __aexit__(self, *_: Any) -> bool: ...
