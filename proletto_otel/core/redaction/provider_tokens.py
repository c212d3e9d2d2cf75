"""Finds the tokens that `core.redaction.providers` lists, with few linear patterns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.redaction.providers import Provider, providers

_SHORTEST = 12
"""Characters after a prefix, in one word, from which on a long word shows that a row may fit."""
_OF_ONE_WORD = frozenset(("hex", "digit", "lower", "upper", "alnum", "word"))
_WORD = bytes(97 if i < 128 and (chr(i).isalnum() or chr(i) in "_-") else 32 for i in range(256))
"""What may be in such a word is `a`, all else blank."""
_OPTIONAL = lazy_pattern(r"\(\?:[^)]*\)\??|\[[^\]]*\](?:\{[^}]*\})?")


class _Rows:
    """The rows in two kinds, and what a text must have for each to be asked."""

    def __init__(self, rows: Sequence[Provider]) -> None:
        self.of_one_word = [p for p in rows if p.alphabet in _OF_ONE_WORD and p.least >= _SHORTEST]
        self.of_others = [p for p in rows if p not in self.of_one_word]
        self.long_word = b"a" * min(p.least for p in self.of_one_word)
        fixed = (_OPTIONAL.sub(" ", p.prefix).replace("\\", "").split() for p in self.of_others)
        self.literals = tuple({max(parts, key=len, default="") for parts in fixed})


class Tokens:
    """The patterns of many rows, and what a text must have for them to be asked.

    All rows on one URL take 8 µs; that none can be in it costs 0.6.
    """

    def __init__(self, providers: Callable[[], Iterable[Provider]]) -> None:
        self._providers = providers

    # Made when a text asks for them, or by `compile`: a fifth of the time of the import.
    @cached_property
    def _rows(self) -> _Rows:
        return _Rows(tuple(self._providers()))

    @cached_property
    def _words(self) -> re.Pattern[str]:
        return _compiled(self._rows.of_one_word)

    @cached_property
    def _others(self) -> re.Pattern[str]:
        return _compiled(self._rows.of_others)

    def compile(self) -> None:
        """Compile the patterns now, so that no request waits for it."""
        _ = self._words, self._others

    def asked(self, text: str) -> list[re.Pattern[str]]:
        """The patterns that may find something in *text*; group 1 is a token."""
        rows, found = self._rows, list[re.Pattern[str]]()
        # most paths and host names have no word as long as what follows a prefix
        if text.encode("ascii", "replace").translate(_WORD).find(rows.long_word) >= 0:
            found.append(self._words)
        # tokens with dots and slashes, which end no word: each row by a part of its prefix
        for literal in rows.literals:  # a third of the time of `any(map(…))`
            if literal in text:
                return [*found, self._others]
        return found


def _compiled(providers: Iterable[Provider]) -> re.Pattern[str]:
    """One pattern of many rows: group 1 is a token; a match without it is a word that is none.

    A word is compared with the rows of its first character only: 160 rows in a flat list of
    alternatives take three times as long. It is then taken as a whole, so that rows are tried where
    a word begins and not at each character, which takes twice as long.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for provider in providers:
        for pattern in _spelled_out(provider.pattern):
            literal = re.match(r"[A-Za-z0-9]", pattern)
            groups[literal.group() if literal else ""].append(pattern[1 if literal else 0 :])
    other = groups.pop("", ["(?!)"])
    branches = [f"{first}(?:{'|'.join(rest)})" for first, rest in sorted(groups.items())]
    tokens = "|".join([*branches, *other])
    return re.compile(rf"(?<![A-Za-z0-9])({tokens})|[A-Za-z0-9]+")


def _spelled_out(pattern: str) -> list[str]:
    """*pattern* with an alternative or a class at its beginning written as one pattern for each."""
    either, one_of = r"\(\?:([A-Za-z0-9|]+)\)(?!\?)", r"\[([A-Za-z]+)\](?![{?])"
    group = re.match(either, pattern) or re.match(one_of, pattern)
    if group is None:
        return [pattern]
    rest, inner = pattern[group.end() :], group.group(1)
    return [start + rest for start in (inner.split("|") if pattern[0] == "(" else inner)]


TOKENS = Tokens(providers)
