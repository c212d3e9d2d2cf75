"""Texts within texts: percent-encoding, JSON's `\\u00XX`, HTML's `&quot;`, with the way back.

A secret is looked for in the decoded text and cut out of the original one, so that what is no
secret stays exactly as it was written.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.lazy_pattern import lazy_pattern

_ESCAPE = lazy_pattern(r"(?:%[0-9A-Fa-f]{2})+|\\u00[0-9A-Fa-f]{2}|&(?:quot|amp|lt|gt|apos|#3[49]);")
_ENTITIES = {"&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">", "&apos;": "'"}
_ENTITIES |= {"&#34;": '"', "&#39;": "'"}
MAX_ESCAPES = 2000
"""Runs of escapes decoded in one text (1 µs each); the text is cut after them."""


def first_escape(text: str) -> int | None:
    """Where *text* is encoded first; None when decoding would not change it."""
    if "%" in text or "\\u00" in text or ("&" in text and ";" in text):
        found = _ESCAPE.search(text)
        return None if found is None else found.start()
    return None


class Decoded:
    """A decoded text that knows where each of its characters stood."""

    def __init__(self, raw: str) -> None:
        self._at: list[int] = []
        self._raw_at: list[int] = []
        self._width: list[int] = []
        parts: list[str] = []
        position = done = 0
        self.end = len(raw)
        """Where in the original text decoding stopped."""
        for number, match in enumerate(_ESCAPE.finditer(raw)):
            start, end = match.span()
            if number == MAX_ESCAPES:
                self.end = start
                break
            if start > done:
                position = self._add(parts, raw[done:start], position, done, 1)
            text, width = _CHARACTERS[match.group()]
            position = self._add(parts, text, position, start, width)
            done = end
        self._add(parts, raw[done : self.end], position, done, 1)
        self.text = "".join(parts)
        self.pieces = len(parts)

    def _add(self, parts: list[str], text: str, position: int, raw: int, width: int) -> int:
        parts.append(text)
        self._at.append(position)
        self._raw_at.append(raw)
        self._width.append(width)
        return position + len(text)

    def raw_span(self, start: int, end: int) -> tuple[int, int]:
        """Where the characters from *start* to *end* stood."""
        # Pieces are in order, so the one that holds a character is found by bisection. A piece with
        # a width has every character equally wide in the original (3 for `%41`); 0: taken as a
        # whole.
        first = bisect_right(self._at, start) - 1
        last = max(bisect_left(self._at, end) - 1, 0)
        raw_start = self._raw_at[first] + (start - self._at[first]) * self._width[first]
        if self._width[last]:
            return raw_start, self._raw_at[last] + (end - self._at[last]) * self._width[last]
        following = last + 1
        return raw_start, (self._raw_at[following] if following < len(self._raw_at) else self.end)


def _decode(escape: str) -> tuple[str, int]:
    """A run of escapes as text, and how many characters each of its characters was; 0: unequal."""
    if escape[0] == "&":
        return _ENTITIES[escape], 0
    if escape[0] == "\\":
        return chr(int(escape[2:], 16)), 6
    raw = bytes.fromhex(escape.replace("%", ""))
    return (raw.decode(), 3) if raw.isascii() else (raw.decode("utf-8", "replace"), 0)


_CHARACTERS: BoundedCache[tuple[str, int]] = BoundedCache(_decode, 1024)
