"""Sanitising: whatever a caller logs becomes plain, bounded, printable, secret-free values.

It runs once for each record, before the sinks. What counts as a secret lives in
`core.redaction.redactor`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from math import isfinite
from typing import Any

from proletto_otel.core.config import Config
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.parsing import Secret
from proletto_otel.core.redaction import plain_values
from proletto_otel.core.redaction.redactor import Redactor, compiled
from proletto_otel.core.redaction.scan import REDACTED
from proletto_otel.core.redaction.secret_names import LIKELY, SECRET, is_countable
from proletto_otel.core.redaction.texts import (
    COLOURS,
    MAX_TEXT,
    TOO_MANY,
    UNREADABLE,
    UNSAFE,
    UNSAFE_IN_BLOCK,
    cut,
    cut_head,
    escaped,
    whole_words,
)

MAX_RECORD = 65_536
"""Characters of the long texts (beyond `LONG`) of one record, all its fields together."""
LONG = 256
MAX_KEY = 200
MAX_KNOWN_KEYS = 4096
MAX_KNOWN_TEXTS = 512
"""Texts of at most `LONG` characters that stay as they are: half a megabyte at most."""

BIG = 10**12
"""A number below it has fewer digits than a card's."""
SHORT = 13
"""A text shorter than a card number and without `=`, `:` or quotes can hold no secret."""

_ordinary_path = re.compile(
    r"(?!.*(?:[0-9-]{12}|[A-Za-z0-9_-]{20}))/[A-Za-z0-9_./-]{0,99}"
).fullmatch
"""A path that cleaning would leave as it is: no odd character, no word that might be a secret."""
_plain = re.compile(r"[A-Za-z0-9 ./_+-]*").fullmatch


class Sanitiser:
    """Cleans texts, values and fields; it never raises and never iterates what is lazy.

    Args:
        redactor: Decides what is secret.
        max_text: Characters a text may have; the rest is cut, and the mark has its length.
        depth: Levels of nesting kept.
        keys: Entries of one container kept.
    """

    def __init__(
        self,
        redactor: Redactor | None = None,
        max_text: int = MAX_TEXT,
        depth: int = 6,
        keys: int = 100,
    ) -> None:
        self.redactor = redactor or Redactor()
        self.max_text = max_text
        self.depth = depth
        self.max_keys = keys
        self._redact = self.redactor.text
        self._known: dict[str, tuple[str, int]] = {}
        self._harmless: set[str] = set()
        self._unchanged: set[str] = set()
        self._short = 0 if self.redactor.thorough else SHORT

    def text(self, text: str) -> str:
        """One line of printable text: secrets and control characters replaced, cut to size.

        Terminal colours go without a trace.
        """
        # Most values are short words: too short for a token or a card, without a mark that could
        # set a name off from a value. `--` begins an option, `--password x`.
        if len(text) < self._short and _plain(text) and "--" not in text:
            return text
        try:
            return self._clean(text, UNSAFE)
        except Exception:
            return UNREADABLE

    def path(self, path: str) -> str:
        """As `text`, for the path of a URL: most are seen to be harmless at a glance."""
        if self._short and _ordinary_path(path):
            return path
        return self.text(path)

    def block(self, text: str) -> str:
        """As `text`, for many lines: newlines and tabs stay (tracebacks)."""
        try:
            return self._clean(text, UNSAFE_IN_BLOCK)
        except Exception:
            return UNREADABLE

    def code(self, text: str) -> str:
        """A frame of a traceback: literals of its source line are redacted, names are not."""
        try:
            return escaped(self.redactor.code(text[: self.max_text]))
        except Exception:
            return UNREADABLE

    def value(self, value: Any) -> Any:
        """*value* as str, int, float, bool, None, list or dict; never raises."""
        try:
            return plain_values.PlainValues(self).value(value, self.depth)
        except Exception:  # RecursionError of a hostile value included
            return UNREADABLE

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The facts of a record: names cleaned, secrets by name and value replaced."""
        clean: dict[str, Any] = {}
        nested = None
        left = MAX_RECORD
        # The common kinds are decided here without a call for each; `PlainValues` does the rest.
        items: Iterable[tuple[Any, Any]] = fields.items()
        if len(fields) > self.max_keys:
            items = islice(items, self.max_keys)
        for name, value in items:
            known = self._known.get(name) if type(name) is str else None
            key, level = known or self.name(name)
            kind = type(value)
            if level and self.is_hidden(key, level, value):
                clean[key] = self.hidden(key, value)
            elif kind is str:
                if len(value) > LONG:
                    clean[key] = shown = cut(self.text(value), left) if left > 0 else TOO_MANY
                    left -= len(shown)
                else:
                    word = len(value) < self._short and value.isalnum()
                    clean[key] = value if word else self.text(value)
            elif (
                value is None or kind is bool
                or (kind is int and -BIG < value < BIG) or (kind is float and isfinite(value))
            ):  # fmt: skip
                clean[key] = value
            else:
                nested = nested or plain_values.PlainValues(self)
                clean[key] = nested.guarded(value, self.depth)
        return clean

    def leaves(self, fields: Mapping[str, Any]) -> bool:
        """Whether `fields` would change nothing: most facts are short words and numbers."""
        harmless, short = self._harmless, self._short
        if not short or len(fields) > self.max_keys:
            return False
        for name, value in fields.items():
            if type(name) is not str or not (name in harmless or self._is_harmless(name)):
                return False
            kind = type(value)
            if kind is str:
                word = len(value) < short and value.isalnum()
                if not word and (len(value) > LONG or self.text(value) is not value):
                    return False
            elif not (
                value is None or kind is bool
                or (kind is int and -BIG < value < BIG) or (kind is float and isfinite(value))
            ):  # fmt: skip
                return False
        return True

    def _is_harmless(self, name: str) -> bool:
        """Whether *name* stays as it is, and what stands under it is no secret."""
        if self.name(name) != (name, 0):
            return False
        if len(name) <= MAX_KEY:
            if len(self._harmless) >= MAX_KNOWN_KEYS:
                self._harmless = set()
            self._harmless.add(name)
        return True

    def name(self, name: Any) -> tuple[str, int]:
        """A clean key, and how far it promises a secret; remembered for texts."""
        if type(name) is not str:
            name = plain_values.name_of_key(name)
        known = self._known.get(name)
        if known is not None:
            return known
        # Cached, because a program uses the same few hundred names; cleared as a whole when a
        # caller makes names of data, which costs the others one new decision each.
        decided = self.text(name[:MAX_KEY]), self.redactor.level(name)
        if len(name) <= MAX_KEY:
            if len(self._known) >= MAX_KNOWN_KEYS:
                self._known = {}
            self._known[name] = decided
        return decided

    def is_hidden(self, key: str, level: int, value: Any) -> bool:
        """Whether *value* is a secret under a name of this *level*."""
        if level == SECRET:
            return True
        if isinstance(value, (str, int, float)):
            return self.redactor.hides(level, key, str(value))
        return level == LIKELY  # a list or an object under it

    def hidden(self, key: str, value: Any) -> Any:
        """What is shown under a secret name: whether there was a value, or a count."""
        if value is None or type(value) is bool or (type(value) is str and not value):
            return value
        if type(value) in (int, float) and is_countable(key):
            return value
        return REDACTED

    def _clean(self, text: str, unsafe: re.Pattern[str]) -> str:
        if type(text) is not str:
            text = str.__str__(text)
        # Errors repeat their messages: 0.3 µs instead of 5 to 9 for `ValueError: boom in GET /x`.
        if text in self._unchanged:
            return text
        clean = self._cleaned(text, unsafe)
        if clean is text and len(text) <= LONG and text.isprintable() and self.redactor.constant:
            self._remember(text)
        return clean

    def _cleaned(self, text: str, unsafe: re.Pattern[str]) -> str:
        # Cut first, or a text of 10 MB would be scanned; at a blank, or half a secret would be
        # left, which no pattern knows. Escaped last: an escape inside a secret would hide it.
        length = len(text)
        if length > self.max_text:
            text = whole_words(text, self.max_text)
        if "\x1b" in text:
            text = COLOURS.sub("", text)
        text = self._redact(text)
        if not (text.isascii() and text.isprintable()):
            text = escaped(text, unsafe)
        return cut(text, self.max_text, length)

    def _remember(self, text: str) -> None:
        """Know that *text* stays as it is; nothing that was replaced is ever kept."""
        # Cleared as a whole: texts that never repeat cost the others one new look each.
        if len(self._unchanged) >= MAX_KNOWN_TEXTS:
            self._unchanged = set()
        self._unchanged.add(text)


def from_config(config: Config, callback: Any = None) -> Sanitiser:
    """The sanitiser that the settings describe; a bad pattern is reported and left out."""
    redactor = Redactor(
        patterns=filter(_compiles, config.redact_patterns),
        keys=config.redact_keys,
        allow=config.redact_allow,
        callback=callback,
        emails=config.redact_emails,
        sql_literals=config.redact_sql_literals,
        tokens=config.redact_tokens,
        identifiers=config.redact_identifiers,
    )
    return Sanitiser(redactor)


def _compiles(pattern: str) -> bool:
    try:
        compiled(pattern)
    except ConfigError as error:
        log_rate_limited(f"redact:{pattern[:60]}", "%s; left out", str(error)[:300])
        return False
    return True


_default = Sanitiser()


def configure(sanitiser: Sanitiser | None) -> None:
    """Make *sanitiser* the process's own; `None` brings the first one back."""
    global _default
    _default = sanitiser or Sanitiser()


def get() -> Sanitiser:
    """The process's sanitiser."""
    return _default


__all__ = [
    "MAX_TEXT", "REDACTED", "Sanitiser", "Secret", "configure", "cut", "cut_head", "escaped", "get",
]  # fmt: skip
