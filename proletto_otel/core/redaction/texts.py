"""Cutting and escaping of texts, and the marks that stand for what is not shown."""

from __future__ import annotations

import re

from proletto_otel.core.lazy_pattern import lazy_pattern

MAX_TEXT = 32_768
"""Characters of one text; Loki and most vendors take lines of 64 KB and more."""
MARGIN = 2048
"""Characters beyond the cut that are scanned, so that a secret across it is seen whole."""

CYCLE, TOO_DEEP, TOO_MANY, UNREADABLE = "[cycle]", "[too deep]", "[too many]", "[unreadable]"

# What could forge a second line, move a terminal's cursor, turn text around (CVE-2021-42574) or not
# be encoded at all. `json.dumps` leaves C1, bidi and U+2028 as they are, so they are escaped
# before.
_UNSAFE = (
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""C0, DEL, C1, bidi and invisible controls, line separators, lone surrogates, tags."""
UNSAFE = lazy_pattern(_UNSAFE)
UNSAFE_IN_BLOCK = lazy_pattern(_UNSAFE.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))
COLOURS = lazy_pattern("\x1b\\[[0-9;]*m")
"""Colours and other styles of a terminal (ECMA-48, SGR), which tell nothing in a log."""
_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def cut(text: str, limit: int, length: int = 0) -> str:
    """*text* of at most *limit* characters; a shortened one tells its first *length*."""
    if len(text) <= limit and length <= limit:
        return text
    marker = f"...[cut, {max(length, len(text))} characters]"
    return text[: max(limit - len(marker), 0)] + marker


def cut_head(text: str, limit: int, length: int = 0) -> str:
    """As `cut`, keeping the end: the last lines of a traceback say most."""
    if len(text) <= limit and length <= limit:
        return text
    marker = f"[cut, {max(length, len(text))} characters]...\n"
    return marker + text[len(text) - limit + len(marker) :]


def whole_words(text: str, limit: int) -> str:
    """*text* up to *limit* and some more, ending where a word ends.

    Half a secret has no shape that a pattern knows: the word at the cut goes altogether.
    """
    if len(text) <= limit + MARGIN:
        return text
    # The last blank of the margin; a word longer than the margin is cut where it stands.
    end = max(text.rfind(blank, limit, limit + MARGIN) for blank in " \n\t")
    return text[: end if end > 0 else limit]


def escaped(text: str, unsafe: re.Pattern[str] = UNSAFE_IN_BLOCK) -> str:
    """*text* with its control characters escaped; by default newlines and tabs stay."""
    return unsafe.sub(lambda found: _NAMES.get(found[0]) or ascii(found[0])[1:-1], text)
