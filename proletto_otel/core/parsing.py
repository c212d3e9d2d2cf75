"""Texts of the environment turned into values: each parser says what would have fitted.

Which settings there are lives in `core.config`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.record import record

MAX_FILE_WORD = 100
"""Bytes: file systems take names of 255, with what is put before and after it."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class InvalidValue(ValueError):
    """A value that does not fit; its text says what does."""


class Secret:
    """A text that must not be seen: `repr` and `str` show stars; `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; hand it to nothing that logs."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret('***')" if self._text else "Secret('')"

    __str__ = __repr__


@record(frozen=True, slots=True)
class Parser:
    """Turns what came into a value, or raises `InvalidValue`."""

    expected: str
    """What fits, for the message: `a number from 0 to 1`."""

    parse: Callable[[Any], Any]

    def __call__(self, value: Any) -> Any:
        """Parse *value*, a text or an already typed value.

        Raises:
            InvalidValue: with `expected` as its text.
        """
        try:
            return self.parse(value.strip() if isinstance(value, str) else value)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise InvalidValue(self.expected) from error


def _parser(expected: str) -> Callable[[Callable[[Any], Any]], Parser]:
    """Make the function below it a `Parser` of its name; *expected* is for the message."""
    return lambda parse: Parser(expected, parse)


@_parser("1 or 0 (also true/false, yes/no, on/off)")
def flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    return words[str(value).lower()]


@_parser("one of " + ", ".join(LEVELS))
def level(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if value <= 0:
            raise ValueError
        return value
    name = str(value).upper()
    if name not in (*LEVELS, "WARN", "FATAL"):
        raise ValueError
    return int(getattr(logging, name))


def number(low: float = -math.inf, high: float = math.inf, *, what: str = "a number") -> Parser:
    """A float within bounds."""

    def parse(value: Any) -> float:
        x = float(value)
        # `True` is 1.0 in Python, and a setting that came as one is a slip.
        if isinstance(value, bool) or not low <= x <= high or math.isnan(x) or math.isinf(x):
            raise ValueError
        return x

    return Parser(_range(what, low, high), parse)


def integer(low: float = -math.inf, high: float = math.inf, what: str = "a whole number") -> Parser:
    """An int within bounds."""

    def parse(value: Any) -> int:
        if isinstance(value, (bool, float)):
            raise ValueError
        x = int(value)
        if not low <= x <= high:
            raise ValueError
        return x

    return Parser(_range(what, low, high), parse)


def _range(what: str, low: float, high: float) -> str:
    if low > -math.inf and high < math.inf:
        return f"{what} from {low:.15g} to {high:.15g}"
    if low > -math.inf:
        return f"{what}, {low:.15g} or more"
    return what


def choice(*words: str) -> Parser:
    """One of *words*, whatever their case."""
    return Parser(
        "one of " + ", ".join(words), lambda value: {w.lower(): w for w in words}[value.lower()]
    )


def _words(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not all(isinstance(part, str) for part in parts):
        raise ValueError
    return tuple(part.strip() for part in parts if part.strip())


_TOKEN_PREFIX = lazy_pattern(r"[A-Za-z0-9][\w.-]{1,60}(?::[1-9]\d{0,2})?")


@_parser("a comma-separated list of prefixes, each with the least length after a colon")
def token_prefixes(value: Any) -> tuple[str, ...]:
    found = _words(value)
    if not all(_TOKEN_PREFIX.fullmatch(word) for word in found):
        raise ValueError
    return found


def words_of(*allowed: str) -> Parser:
    """A comma-separated list of words that are all among *allowed*."""

    def parse(value: Any) -> tuple[str, ...]:
        found = _words(value)
        if not found or not set(found) <= set(allowed):
            raise ValueError
        return found

    return Parser("a comma-separated list of " + ", ".join(allowed), parse)


def _pairs(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return {str(k): str(v) for k, v in value.items()}
    pairs = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        key, equals, text = part.partition("=")
        if not equals or not key.strip():
            raise ValueError
        # Percent-encoded, as the specification of `OTEL_RESOURCE_ATTRIBUTES` and headers has it.
        pairs[unquote(key.strip())] = unquote(text.strip())
    return pairs


@_parser("a URL that begins with http:// or https://")
def url(value: Any) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError
    return str(value)


@_parser("a text")
def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


@_parser("a path")
def path(value: Any) -> str:
    if not str(value) or "\0" in str(value):
        raise ValueError
    return str(value)


@_parser("a name without slashes, used for files and loggers")
def file_word(value: Any) -> str:
    if not value or value.strip(".") == "" or not value.isprintable() or set(value) & set("/\\"):
        raise ValueError
    # In bytes, as file systems count: an umlaut takes two.
    if len(value.encode("utf-8", "replace")) > MAX_FILE_WORD:
        raise ValueError
    return str(value)


def _url_path(value: Any) -> str:
    if (
        len(value) < 2
        or not value.startswith("/")
        or not value.isprintable()
        or set(value) & set(" <>?#")
    ):
        raise ValueError
    return str(value)


@_parser("a text in one line")
def secret(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    # A newline inside would begin a header of its own; one at the end was cut off already.
    if not isinstance(value, str) or any(ord(c) < 32 for c in value):
        raise ValueError
    return Secret(value)


@_parser("a URL that begins with http:// or https://, with a user and a password if need be")
def secret_url(value: Any) -> Secret:
    """A URL that may hold a password."""
    return Secret(url(value.reveal() if isinstance(value, Secret) else value))


_HEADER_NAME = lazy_pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = lazy_pattern(r"[\t -~\x80-\xff]*")


@_parser("a comma-separated list of name=value, each fit for an HTTP header in one line")
def headers(value: Any) -> dict[str, Secret]:
    """Names and values that HTTP can carry (RFC 9110, section 5); others no request would pass."""
    found = _pairs(value)
    if not all(
        _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(text)
        for name, text in found.items()
    ):
        raise ValueError
    return {name: Secret(text) for name, text in found.items()}


url_path = Parser("a path that begins with a slash", _url_path)
optional_url_path = Parser(
    "a path that begins with a slash, or none", lambda v: "" if v == "none" else _url_path(v)
)
words = Parser("a comma-separated list", _words)
pairs = Parser("a comma-separated list of key=value", _pairs)
