"""Any Python value as plain JSON types, without running code of the application.

Objects are named, not printed: their `__repr__` may query a database or raise. Which form a type
gets is decided once, in `core.redaction.value_kinds`; secrets and sizes are the business of the
`core.redaction.sanitise.Sanitiser` that asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from proletto_otel.core.redaction import value_kinds
from proletto_otel.core.redaction.texts import CYCLE, TOO_DEEP, TOO_MANY, UNREADABLE, cut
from proletto_otel.core.redaction.value_kinds import Form, named

if TYPE_CHECKING:
    from proletto_otel.core.redaction.sanitise import Sanitiser

MAX_TOTAL = 65_536
"""Characters of all texts inside one nested value."""
MAX_NODES = 2_000
"""Values inside one nested value: depth 6 with 100 keys each would be 10^12."""
MAX_INT = 2**63
"""Integers beyond 64 bits become texts: JSON readers and OTLP take no more."""
MAX_INT_BITS = 2048

_NAME_KEYS, _VALUE_KEYS = ("name", "key", "Name", "Key"), ("value", "Value")
"""A mapping may hold a name and its value: `{"name": "password", "value": …}`."""


class PlainValues:
    """Converts one nested value and counts what is left of its size."""

    def __init__(self, sanitiser: Sanitiser) -> None:
        self._sanitiser = sanitiser
        self._nodes = MAX_NODES
        self._characters = MAX_TOTAL
        self._open: set[int] = set()

    def guarded(self, value: Any, depth: int) -> Any:
        """As `value`; a value that fails does not cost its neighbours."""
        try:
            return self.value(value, depth)
        except Exception:
            return UNREADABLE

    def value(self, value: Any, depth: int) -> Any:
        """*value* in plain types, *depth* levels deep."""
        # Exact types first: `isinstance` would run `__class__` of the application's objects, and a
        # subclass of `str` may have a `__str__` of its own. Subclasses come by `FORMS` below.
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return self._text(value)
        if kind is int:
            return self._integer(value)
        if kind is float:
            return value if math.isfinite(value) else str(value)
        form, convert = value_kinds.FORMS[kind]
        if form is Form.MAPPING:
            return self._container(value, depth, lambda d: self._mapping(convert(value), d))
        if form is Form.SEQUENCE:
            return self._container(value, depth, lambda d: self._sequence(convert(value), d))
        if form is Form.PLAIN:
            return self.value(convert(value), depth)
        if form is Form.BYTES:
            return self._text(bytes(value[: 2 * self._sanitiser.max_text]).decode(errors="replace"))
        return convert(value) if form is Form.SAFE else self._text(convert(value))

    def _container(self, value: Any, depth: int, entries: Callable[[int], Any]) -> Any:
        if depth <= 0:
            return TOO_DEEP
        # By identity: comparing would run `__eq__`, and most containers have no hash.
        if id(value) in self._open:
            return CYCLE
        self._open.add(id(value))
        try:
            return entries(depth - 1)
        finally:
            self._open.discard(id(value))

    def _mapping(self, pairs: tuple[Iterable[tuple[Any, Any]], int], depth: int) -> dict[str, Any]:
        items, size = pairs
        found: dict[str, Any] = {}
        announced = False
        for name, value in islice(items, self._sanitiser.max_keys):
            if not self._more():
                found["..."] = TOO_MANY
                return found
            key, level = self._sanitiser.name(name)
            if key in _NAME_KEYS:
                announced = self._announces(value, pair=True)
            elif announced and key in _VALUE_KEYS:
                level = value_kinds.SECRET
            if level and self._sanitiser.is_hidden(key, level, value):
                found[key] = self._sanitiser.hidden(key, value)
            else:
                found[key] = self.guarded(value, depth)
        if size > self._sanitiser.max_keys:
            found["..."] = f"[{size - self._sanitiser.max_keys} more]"
        return found

    def _sequence(self, entries: tuple[Iterable[Any], int], depth: int) -> list[Any]:
        items, size = entries
        found: list[Any] = []
        before: Any = None
        pair = size == 2 and isinstance(items, (tuple, list))
        for entry in islice(items, self._sanitiser.max_keys):
            if not self._more():
                found.append(TOO_MANY)
                return found
            if self._announces(before, pair):
                found.append(self._sanitiser.hidden("", entry))
            else:
                found.append(self.guarded(entry, depth))
            before = entry
        if size > self._sanitiser.max_keys:
            found.append(f"[{size - self._sanitiser.max_keys} more]")
        return found

    def _announces(self, before: Any, pair: bool) -> bool:
        """Whether the entry before names the next one: `("token", x)`, `["--password", x]`."""
        if type(before) is bytes:
            before = before[:80].decode("latin-1")
        if type(before) is not str or len(before) > 80 or not (pair or before[:1] == "-"):
            return False
        return " " not in before and "=" not in before and self._sanitiser.redactor.key(before)

    def _text(self, text: str) -> str:
        if self._characters <= 0:
            return TOO_MANY
        clean = self._sanitiser.text(text)
        if len(clean) > self._characters:
            clean = cut(clean, self._characters)
        # Bounds the whole value: depth 6 with 100 entries each could be terabytes of short texts.
        size = len(clean)
        self._characters -= size
        return clean

    def _integer(self, value: int) -> int | str:
        # Fewer digits than a card number has; most numbers end here.
        if -(10**12) < value < 10**12:
            return value
        # Writing out a number takes time by the square of its digits; Python 3.11 refuses 4,300.
        if value.bit_length() > MAX_INT_BITS:
            return f"[integer of {value.bit_length()} bits]"
        text = str(value)
        clean = self._sanitiser.redactor.text(text)
        return value if clean == text and -MAX_INT <= value < MAX_INT else clean

    def _more(self) -> bool:
        self._nodes -= 1
        return self._nodes >= 0


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
    form, convert = value_kinds.FORMS[kind]
    return str(convert(key)) if form in (Form.TEXT, Form.SAFE) else named(kind)
