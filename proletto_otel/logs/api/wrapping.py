"""One wrapper for every kind of function: plain, async, generator, async generator, method.

What happens around the call is a `Around`; the decorators themselves live in `logs.api.decorators`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator
from types import CodeType
from typing import Any, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Around(Protocol):
    """The steps of a decorator before and after a call."""

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run before the call; the other methods get its result."""

    def returned(self, started: Any, result: Any) -> None:
        """Run after the call; for a generator when it ended, with `NO_RESULT`."""

    def raised(self, started: Any, error: BaseException) -> bool:
        """Run when the call failed; whether the error ends here, with `fallback` as the result."""

    @property
    def fallback(self) -> Any:
        """The result of a call that failed with an error that ends here."""


WRAPPERS: set[CodeType] = set()
"""The code of the wrappers below, to be found on the stack."""
NO_RESULT = object()
"""In place of the result of a generator: what it yielded was its consumer's."""


def wrap(function: F, make: Callable[[Callable[..., Any]], Around]) -> F:
    """Wrap *function* with the steps that *make* builds, as the same kind of function."""
    descriptor = _wrapped_descriptor(function, make)
    if descriptor is not None:
        return descriptor  # type: ignore[no-any-return]  # of the same kind
    if isinstance(function, type) or not callable(function):
        raise TypeError(
            f"{function!r:.100} is no function: decorate its methods, or the function it is made of"
        )
    around = make(function)
    if _is(inspect.isasyncgenfunction, function):
        made = _async_generator(function, around)
    elif _is(inspect.iscoroutinefunction, function):
        made = _coroutine(function, around)
    elif _is(inspect.isgeneratorfunction, function):
        made = _generator(function, around)
    else:
        made = _plain(function, around)
    # Four entries at most: every wrapper of a kind shares its code object.
    WRAPPERS.add(made.__code__)
    return functools.wraps(function)(made)  # type: ignore[return-value]  # the same signature


def _wrapped_descriptor(function: Any, make: Callable[[Callable[..., Any]], Around]) -> Any:
    """Wrap a method, property or partial method as the same kind; None for anything else."""
    # A descriptor is not what is called: the function inside it is.
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(wrap(function.__func__, make))
    if isinstance(function, property):
        get, change, delete = function.fget, function.fset, function.fdel
        return type(function)(
            get and wrap(get, make), change and wrap(change, make), delete and wrap(delete, make),
            function.__doc__,
        )  # fmt: skip
    if isinstance(function, functools.cached_property):
        return type(function)(wrap(function.func, make))
    if isinstance(function, functools.partialmethod):
        bound = functools.partialmethod(function.func, *function.args, **function.keywords)
        bound.func = wrap(function.func, make)
        return bound
    return None


def _is(kind: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """Whether a function, or an object that is called as one, is of this kind."""
    return kind(function) or kind(getattr(type(function), "__call__", None))  # noqa: B004  its kind


def is_generator(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a generator, plain or async."""
    kinds = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return any(_is(kind, function) for kind in kinds)


def _plain(function: Callable[..., Any], around: Around) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        started = around.begin(args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            if around.raised(started, error):
                return around.fallback
            raise
        around.returned(started, result)
        return result

    return call


def _coroutine(function: Callable[..., Any], around: Around) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        started = around.begin(args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            if around.raised(started, error):
                return around.fallback
            raise
        around.returned(started, result)
        return result

    return call


def _generator(function: Callable[..., Any], around: Around) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        started = around.begin(args, kwargs)
        try:
            # `yield from` hands on what the consumer sends and throws.
            result = yield from function(*args, **kwargs)
        except GeneratorExit:
            around.returned(started, NO_RESULT)
            raise
        except BaseException as error:
            if around.raised(started, error):
                return around.fallback
            raise
        around.returned(started, NO_RESULT)
        return result

    return call


def _async_generator(function: Callable[..., Any], around: Around) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        started = around.begin(args, kwargs)
        # There is no `yield from` for async generators: what the consumer sends or throws is handed
        # on here, step by step.
        inner = function(*args, **kwargs)
        try:
            advance = inner.__anext__()
            while True:
                try:
                    item = await advance
                except StopAsyncIteration:
                    break
                try:
                    sent = yield item
                except GeneratorExit:
                    # Closed here and now: left to the garbage collector, its `finally` would run in
                    # another task.
                    await inner.aclose()
                    raise
                except BaseException as error:
                    advance = inner.athrow(error)
                else:
                    advance = inner.asend(sent)
        except GeneratorExit:
            around.returned(started, NO_RESULT)
            raise
        except BaseException as error:
            if around.raised(started, error):
                return
            raise
        around.returned(started, NO_RESULT)

    return call
