"""Any Python value as plain JSON types, without running code of the application.

Objects are named, not printed: their `__repr__` may query a database or raise. Secrets and sizes
are the business of the `core.redaction.sanitise.Sanitiser` that asks.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import math
import pathlib
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from proletto_otel.core.parsing import Secret
from proletto_otel.core.redaction.redactor import REDACTED
from proletto_otel.core.redaction.secret_names import word_set

if TYPE_CHECKING:
    from proletto_otel.core.redaction.sanitise import Sanitiser

MAX_INT = 2**63
"""Integers beyond 64 bits become texts: JSON readers and OTLP take no more."""
MAX_INT_BITS = 2048

_TEXTUAL: tuple[type, ...] = (
    decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePath, datetime.timedelta, complex,
    ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network,
    range, slice,
)  # fmt: skip
_SEQUENCES = (list, tuple, set, frozenset, deque)
_NAMING, _NAMED = ("name", "key", "Name", "Key"), ("value", "Value")
"""A mapping may tell of a name and its value: `{"name": "password", "value": …}`."""


class PlainValues:
    """One way through a nested value, with what is left of its size."""

    def __init__(self, sanitiser: Sanitiser) -> None:
        from proletto_otel.core.redaction import sanitise  # the two modules use each other

        self._clean = sanitiser
        self._words = sanitise
        self._nodes = sanitise.MAX_NODES
        self._characters = sanitise.MAX_TOTAL
        self._open: set[int] = set()

    def guarded(self, value: Any, depth: int) -> Any:
        """As `value`, and a value that fails is called unreadable."""
        try:
            return self.value(value, depth)
        except Exception:
            self._open.clear()
            return self._words.UNREADABLE

    def value(self, value: Any, depth: int) -> Any:
        """*value* in plain types, *depth* levels deep."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return self._text(value)
        if kind is int:
            return self._integer(value)
        if kind is float:
            return value if math.isfinite(value) else str(value)
        return self._other(value, kind, depth)

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        if issubclass(kind, enum.Enum):
            return self._text(str(value.name))
        if issubclass(kind, str):
            return self._text(str.__str__(value))
        if issubclass(kind, (int, float)):
            return self.value(int(value) if issubclass(kind, int) else float(value), depth)
        if issubclass(kind, (bytes, bytearray)):
            return self._text(bytes(value[: self._clean.max_text]).decode("utf-8", "replace"))
        if kind in (datetime.datetime, datetime.date, datetime.time):
            return value.isoformat()
        if kind is Secret:
            return REDACTED
        if issubclass(kind, _TEXTUAL):
            return self._text(str(value)) if _own_str(kind) else named(kind)
        if issubclass(kind, BaseException):
            return self._text(f"{kind.__name__}: {value}" if _own_str(kind) else named(kind))
        return self._container(value, kind, depth)

    def _container(self, value: Any, kind: type, depth: int) -> Any:
        entries: Callable[[int], Any]
        if issubclass(kind, dict):
            entries = lambda d: self._mapping(dict.items(value), len(value), d)  # noqa: E731
        elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
            entries = lambda d: self._mapping(zip(kind._fields, value), len(value), d)  # noqa: E731, B905
        elif issubclass(kind, _SEQUENCES):
            entries = lambda d: self._sequence(value, d)  # noqa: E731
        elif dataclasses.is_dataclass(kind) and hasattr(value, "__dict__"):
            facts = object.__getattribute__(value, "__dict__")
            entries = lambda d: self._mapping(facts.items(), len(facts), d)  # noqa: E731
        else:
            return self._scalar_of_array(value, kind, depth)
        if depth <= 0:
            return self._words.TOO_DEEP
        if id(value) in self._open:
            return self._words.CYCLE
        self._open.add(id(value))
        found = entries(depth - 1)
        self._open.discard(id(value))
        return found

    def _mapping(self, items: Iterable[tuple[Any, Any]], size: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        announced = False
        for name, value in islice(items, self._clean.max_keys):
            if not self._more():
                found["..."] = self._words.TOO_MANY
                return found
            key, secret = self._clean.name(name)
            if key in _NAMING:
                announced = self._announced(value, pair=True)
            elif announced and key in _NAMED:
                secret = True
            found[key] = (
                self._clean.hidden(key, value) if secret else self.guarded_inner(value, depth)
            )
        if size > self._clean.max_keys:
            found["..."] = f"[{size - self._clean.max_keys} more]"
        return found

    def _sequence(self, value: Any, depth: int) -> list[Any]:
        found: list[Any] = []
        before: Any = None
        pair = len(value) == 2 and issubclass(type(value), (tuple, list))
        for entry in islice(value, self._clean.max_keys):
            if not self._more():
                found.append(self._words.TOO_MANY)
                return found
            if self._announced(before, pair):
                found.append(self._clean.hidden("", entry))
            else:
                found.append(self.guarded_inner(entry, depth))
            before = entry
        if len(value) > self._clean.max_keys:
            found.append(f"[{len(value) - self._clean.max_keys} more]")
        return found

    def _announced(self, before: Any, pair: bool) -> bool:
        """Whether the entry before names the next one: `("token", x)`, `["--password", x]`."""
        if type(before) is bytes:
            before = before[:80].decode("latin-1")
        if type(before) is not str or len(before) > 80 or not (pair or before[:1] == "-"):
            return False
        return " " not in before and "=" not in before and self._clean.redactor.key(before)

    def guarded_inner(self, value: Any, depth: int) -> Any:
        """An entry that cannot be read does not cost its neighbours."""
        try:
            return self.value(value, depth)
        except Exception:
            return self._words.UNREADABLE

    def _scalar_of_array(self, value: Any, kind: type, depth: int) -> Any:
        if kind.__module__ == "numpy" and getattr(value, "size", 0) == 1:
            return self.value(value.item(), depth)
        if issubclass(kind, type):
            return self._text(f"<class {value.__module__}.{value.__qualname__}>")
        if kind.__name__ in ("function", "builtin_function_or_method", "method"):
            return self._text(f"<function {value.__qualname__}>")
        return self._text(named(kind))

    def _text(self, text: str) -> str:
        if self._characters <= 0:
            return self._words.TOO_MANY
        clean = self._clean.text(text)
        if len(clean) > self._characters:
            clean = self._words.cut(clean, self._characters)
        size = len(clean)
        self._characters -= size
        return clean

    def _integer(self, value: int) -> int | str:
        if -(10**12) < value < 10**12:
            return value
        if value.bit_length() > MAX_INT_BITS:
            return f"[integer of {value.bit_length()} bits]"
        text = str(value)
        clean = self._clean.redactor.text(text)
        return value if clean == text and -MAX_INT <= value < MAX_INT else clean

    def _more(self) -> bool:
        self._nodes -= 1
        return self._nodes >= 0


def named(kind: type) -> str:
    """How an object is shown: `<shop.models.Order>`."""
    return f"<{kind.__module__}.{kind.__qualname__}>"


def name_of_key(key: Any) -> str:
    """The text for a key that is no text."""
    kind = type(key)
    if issubclass(kind, str):
        return str.__str__(key)
    if key is None or kind in (bool, float):
        return str(key)
    if kind is int:
        return str(key) if key.bit_length() <= MAX_INT_BITS else "[integer]"
    if kind is bytes:
        return str(key[:200].decode("utf-8", "replace"))
    if kind is tuple:
        return ",".join(name_of_key(part) for part in key[:5])
    return named(kind)


def _own_str(kind: type) -> bool:
    """Whether printing runs code of the standard library only."""
    owner = next((c for c in kind.__mro__ if "__str__" in vars(c) or "__repr__" in vars(c)), object)
    return re.split(r"\.", owner.__module__)[0] in _STANDARD


_STANDARD = word_set(
    "builtins decimal fractions uuid pathlib datetime ipaddress _decimal _pydatetime"
)
