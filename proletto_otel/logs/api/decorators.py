"""`log_function_call` and `handle_errors`: what they log, and when they step aside.

Neither changes a result or an exception, and a failure of their own is never the caller's.
`ErrorCapture` lives in `logs.api.capture`, the wrappers themselves in `logs.api.wrapping`.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    MutableMapping,
    MutableSequence,
    MutableSet,
)
from typing import Any, ParamSpec, TypeVar, overload

from proletto_otel.core.conventions import COMPONENT
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.logs.api import arguments, loggers
from proletto_otel.logs.api.capture import (
    ERROR,
    Capture,
    ExceptionTypes,
    has_no_room,
    http_exception,
    is_never_swallowed,
    write,
)
from proletto_otel.logs.api.loggers import Logger
from proletto_otel.logs.api.wrapping import NO_RESULT, Around, is_generator, wrap
from proletto_otel.logs.record import already_logged, error_facts
from proletto_otel.logs.record.call_site import UNKNOWN, CodeLocation

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
Stream = TypeVar("Stream", bound=Iterator[Any] | AsyncIterator[Any])
"""What generators return: one that fails ends early, it does not become None."""


def location_of(function: Callable[..., Any]) -> tuple[CodeLocation, int]:
    """The source location of *function*, and its first line."""
    code = getattr(function, "__code__", None)
    return (UNKNOWN, 0) if code is None else (CodeLocation.of(code), code.co_firstlineno)


def name_of(function: Callable[..., Any]) -> str:
    """The name of *function* in log records."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


StartedCall = tuple[float, dict[str, Any] | None, tuple[Any, ...], dict[str, Any]]
"""When a call began, its arguments for the record (None: not needed yet), and its arguments."""


class _Calls:
    """Logs the calls of one function."""

    fallback = None

    def __init__(
        self,
        function: Callable[..., Any],
        level: int,
        exception_level: int,
        logger: Logger | None,
    ) -> None:
        self._name, self._where = name_of(function), location_of(function)
        self._level, self._exception_level = level, exception_level
        self._logger = logger
        self._signature = arguments.Signature(function)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StartedCall:
        shown = None
        if (self._logger or loggers.logger).isEnabledFor(self._level):
            # now, before the function can change what it was given
            shown = self._shown(args, kwargs)
        return time.perf_counter(), shown, args, kwargs

    def returned(self, started: StartedCall, result: Any) -> None:
        started_at, shown, _, _ = started
        if shown is None:
            return
        with suppressed("logs.call"):
            facts = {"arguments": shown, "duration_ms": _ms_since(started_at)}
            if result is not NO_RESULT:
                facts["result"] = arguments.shown(result)
            write(self._logger, self._level, f"{self._name} returned", facts, None, self._where)

    def raised(self, started: StartedCall, error: BaseException) -> bool:
        started_at, shown, args, kwargs = started
        if is_never_swallowed(error) or already_logged.is_logged(error):
            return False
        if has_no_room(error):
            return False
        with suppressed("logs.call"):
            # Arguments as they are now: when the call began, nobody knew that they would be shown.
            if shown is None:
                shown = self._shown(args, kwargs)
            facts = {"arguments": shown, "duration_ms": _ms_since(started_at)}
            level = self._exception_level if is_failure(error) else self._level
            write(self._logger, level, f"{self._name} raised", facts, error, self._where)
        return False

    def _shown(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        with suppressed("logs.arguments"):
            return self._signature.shown(args, kwargs)
        return {}


def is_failure(error: BaseException) -> bool:
    """Whether it is a fault: `abort(404)` and redirects are answers, a task's end is none."""
    http = http_exception()
    if http is not None and isinstance(error, http):
        return (getattr(error, "code", None) or 0) >= 500
    return isinstance(error, Exception)


def _ms_since(started_at: float) -> float:
    return round((time.perf_counter() - started_at) * 1000, 3)


@overload
def log_function_call(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def log_function_call(
    function: None = None,
    /,
    *,
    level: int | str = ...,
    exception_level: int | str = ...,
    logger: Logger | None = ...,
) -> Callable[[F], F]: ...


def log_function_call(
    function: Callable[..., Any] | None = None,
    /,
    *,
    level: int | str = logging.DEBUG,
    exception_level: int | str = ERROR,
    logger: Logger | None = None,
) -> Any:
    """Log each call of a function with its arguments, its result or exception, and its duration.

    Works with and without parentheses, on plain and async functions, generators, methods. The
    arguments are named, redacted and cut to 1 KB each; generators and lazy objects are not touched.

    Args:
        function: The function, when used without parentheses.
        level: Level of the record (`logger.DEBUG`, `"INFO"` …).
        exception_level: Level of the record when the function raises; the exception goes on.
        logger: Another logger than the application's.

    >>> @log_function_call(level="INFO")
    ... def area(width, height):
    ...     return width * height
    """
    levels = loggers.level_number(level), loggers.level_number(exception_level)

    def make(wrapped: Callable[..., Any]) -> Around:
        return _Calls(wrapped, *levels, logger)

    def decorate(wrapped: F) -> F:
        return wrap(wrapped, make)

    return decorate if function is None else decorate(function)


class _Handled:
    """`handle_errors` around one function."""

    def __init__(self, function: Callable[..., Any], capture: Capture, fallback: Any) -> None:
        self._event, self._where = f"{name_of(function)} failed", location_of(function)
        self._capture = capture
        self._fallback = fallback
        self._is_mutable = isinstance(fallback, (MutableMapping, MutableSequence, MutableSet))
        # a generator runs between its consumer's calls, and their errors are not its own
        self._encloses = bool(capture.facts) and not is_generator(function)

    @property
    def fallback(self) -> Any:
        """The fallback value; a container is copied, so that no call sees what another added."""
        return copy.deepcopy(self._fallback) if self._is_mutable else self._fallback

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return error_facts.enter(self._capture.facts) if self._encloses else None

    def returned(self, started: Any, result: Any) -> None:
        if self._encloses:
            error_facts.leave(started)

    def raised(self, started: Any, error: BaseException) -> bool:
        try:
            return self._capture.handle(error, self._event, self._where)
        finally:
            self.returned(started, None)


@overload
def handle_errors(
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> Callable[P, Coroutine[Any, Any, R | None]]: ...
@overload
def handle_errors(function: Callable[P, Stream], /) -> Callable[P, Stream]: ...
@overload
def handle_errors(function: Callable[P, R], /) -> Callable[P, R | None]: ...
@overload
def handle_errors(
    function: None = None,
    /,
    *,
    reraise: bool = ...,
    fallback_value: Any = ...,
    component: str | None = ...,
    exceptions: ExceptionTypes = ...,
    level: int | str = ...,
    logger: Logger | None = ...,
    **facts: Any,
) -> Callable[[F], F]: ...


def handle_errors(
    function: Callable[..., Any] | None = None,
    /,
    *,
    reraise: bool = False,
    fallback_value: Any = None,
    component: str | None = None,
    exceptions: ExceptionTypes = (Exception,),
    level: int | str = ERROR,
    logger: Logger | None = None,
    **facts: Any,
) -> Any:
    """Log the exceptions of a function once, then return a fallback or let them go on.

    `KeyboardInterrupt`, `SystemExit` and `GeneratorExit` always go on; so does werkzeug's
    `HTTPException` (`abort(404)`) unless *exceptions* names it.

    Args:
        function: The function, when used without parentheses.
        reraise: Let the exception go on, unchanged, after it was logged.
        fallback_value: What the function returns when it failed and *reraise* is false; a list,
            dictionary or set is copied for each call.
        component: On the record and in the metric `proletto.errors`.
        exceptions: The kinds that are handled; others go on unlogged.
        level: Level of the record.
        logger: Another logger than the application's.
        **facts: On the record and the span.

    >>> @handle_errors(reraise=False, fallback_value=0)
    ... def safe_division(x, y):
    ...     return x / y
    """
    capture = Capture(
        reraise=reraise, exceptions=exceptions, level=level, logger=logger,
        facts={COMPONENT: component, **facts},
    )  # fmt: skip

    def make(wrapped: Callable[..., Any]) -> Around:
        return _Handled(wrapped, capture, fallback_value)

    def decorate(wrapped: F) -> F:
        return wrap(wrapped, make)

    return decorate if function is None else decorate(function)
