"""Regular expressions from people, without the ones that can take for ever.

Python's engine cannot be interrupted, so what a pattern can cost is bounded before it runs: its
alternatives multiply, and each unlimited repeat multiplies with the length of the text. The text is
cut so that the product stays below `MAX_STEPS`; a pattern that leaves too little text is refused.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

from proletto_otel.core.errors import ConfigError

MAX_STEPS = 10_000_000
"""About 0.1 s of the engine at worst; an ordinary pattern takes microseconds."""
MAX_TEXT = 16_384
MIN_TEXT = 100
MAX_PATTERN = 300


@dataclass(frozen=True, slots=True)
class _Cost:
    """In how many ways a part can match at one place: ways × length ** repeats."""

    ways: int = 1
    repeats: int = 0


class BoundedPattern:
    """A pattern that is known to end soon.

    Raises:
        ConfigError: it is no regular expression, or one that can take too long.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_PATTERN:
            raise ConfigError.of("pattern", pattern[:40], f"at most {MAX_PATTERN} characters")
        try:
            cost = _cost(_parser().parse(pattern))
            self._pattern = re.compile(pattern, re.IGNORECASE)
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError.of("pattern", pattern, f"a regular expression ({error})") from error
        except _TooExpensive as error:
            raise ConfigError.of("pattern", pattern, f"one without {error}") from error
        length = int((MAX_STEPS / cost.ways) ** (1 / (cost.repeats + 1)))
        if length < MIN_TEXT:
            raise ConfigError.of("pattern", pattern, "fewer repeats and alternatives")
        self.max_text = min(length, MAX_TEXT)
        """Characters of a text that are searched."""

    def found_in(self, text: str) -> bool:
        """Whether it matches somewhere in *text*; case does not matter."""
        return self._pattern.search(text[: self.max_text]) is not None


class _TooExpensive(Exception):
    """Names what the pattern must not have."""


def _parser() -> Any:
    """The parser of `re`: `re._parser` since Python 3.11, `sre_parse` before."""
    try:
        return importlib.import_module("re._parser")
    except ImportError:
        return importlib.import_module("sre_parse")


def _cost(items: Any) -> _Cost:
    ways, repeats = 1, 0
    for operator, argument in items:
        part = _part(str(operator), argument)
        ways, repeats = min(ways * part.ways, MAX_STEPS), repeats + part.repeats
    return _Cost(ways, repeats)


def _part(operator: str, argument: Any) -> _Cost:
    if operator in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return _repeat(*argument)
    if operator == "SUBPATTERN":
        return _cost(argument[-1])
    if operator == "BRANCH":
        branches = [_cost(branch) for branch in argument[1]]
        return _Cost(sum(b.ways for b in branches), max(b.repeats for b in branches))
    if operator in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"):
        return _Cost()
    raise _TooExpensive("look-around, back references or conditions")


def _repeat(least: int, most: int, body: Any) -> _Cost:
    inner = _cost(body)
    if most <= 1:
        return _Cost(inner.ways + 1, inner.repeats)
    if inner.ways > 1 or inner.repeats:
        raise _TooExpensive("a repeat of something that can match in several ways")
    if most > 64:
        return _Cost(1, 1)
    return _Cost(most - least + 1, 0)
