"""A call's arguments and result as a log record may show them: named, clean, at most 1 KB each.

Nothing is iterated that is used up by it, and no object is printed that would have to be loaded:
see `core.redaction.sanitise`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from proletto_otel.core.redaction import sanitise

MAX_SHOWN = 1000
"""Characters of one argument or result."""
_MARGIN = 2048
"""Read beyond the cut, so that a secret across it is recognised."""


class Signature:
    """The parameter names of a function, read once."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._names: tuple[str, ...] = ()
        self._rest = "args"
        self._skip = 0
        try:
            parameters = inspect.signature(function).parameters.values()
        except (ValueError, TypeError):  # some built-in functions have none
            return
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._names = tuple(p.name for p in parameters if p.kind in positional)
        # By name, as it is known at import: whether a function is a method shows only at the call.
        self._skip = 1 if self._names[:1] in (("self",), ("cls",)) else 0
        variadic = inspect.Parameter.VAR_POSITIONAL
        self._rest = next((p.name for p in parameters if p.kind is variadic), "args")

    def shown(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name, without `self`; values under secret names are redacted."""
        named = dict(zip(self._names, args))  # noqa: B905  the rest follows
        for name in self._names[: self._skip]:
            named.pop(name, None)
        rest = args[len(self._names) :]
        if rest:
            named[self._rest] = rest
        named.update(kwargs)
        clean = sanitise.get().fields({name: _cut(value) for name, value in named.items()})
        return {name: _bounded(value) for name, value in clean.items()}


def shown(value: Any) -> Any:
    """A result, clean and bounded."""
    return _bounded(sanitise.get().value(_cut(value)))


def _cut(value: Any) -> Any:
    if type(value) in (str, bytes) and len(value) > MAX_SHOWN + _MARGIN:
        return value[: MAX_SHOWN + _MARGIN]
    return value


def _bounded(value: Any) -> Any:
    """A clean value, as text if it is too long."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return sanitise.cut(text, MAX_SHOWN) if len(text) > MAX_SHOWN else value
