"""What a glance at a text shows: most log lines hold nothing that can be a secret.

One `bytes.translate` sorts all characters into kinds, so that the checks are searches for bytes.
"""

from __future__ import annotations

_RUN, _MARK, _BLANK = ord("a"), ord("!"), ord(" ")


# A table of 256 bytes for `bytes.translate`: characters of tokens, marks that stand between a name
# and a value or begin an encoding, everything else. Characters beyond ASCII arrive as `?`.
_KINDS = bytes(
    _RUN
    if i < 128 and (chr(i).isalnum() or chr(i) in "_/+.-")
    else _MARK
    if i < 128 and chr(i) in "=:@<\"'%\n$|\\&"
    else _BLANK
    for i in range(256)
)
_DIGITS = bytes(ord("0") if 48 <= i <= 57 else _BLANK for i in range(256))
# The shortest token of any provider has 16 characters, the shortest card number 13 digits.
_LONG_RUN, _LONG_NUMBER = b"a" * 16, b"0" * 13


MARKS, LONG_WORD, LONG_NUMBER, PHRASE = 1, 2, 4, 8
"""What a glance finds: marks, a word as long as a token, a number as long as a card's, the
beginning of an option or of a credential that needs no mark."""


def at(text: str) -> int:
    """What in *text* could be a secret (under 1 µs on a log line); 0: nothing."""
    raw = text.encode("ascii", "replace")
    kinds = raw.translate(_KINDS)
    found = 0
    if kinds.find(b"!") >= 0:  # `in` takes three times as long on bytes, not on texts
        found = MARKS
    if kinds.find(_LONG_RUN) >= 0:
        found |= LONG_WORD
    if raw.translate(_DIGITS, b" .-").find(_LONG_NUMBER) >= 0:
        found |= LONG_NUMBER
    if (
        "--" in text
        or "earer " in text
        or "asic " in text
        or "EARER " in text
        or "token " in text  # not the end of "broken", a word of many errors
        or "Token " in text
        or "\uff1a" in text  # the colon of other scripts
    ):
        found |= PHRASE
    return found


_WITHOUT_MARKS = ("earer", "asic", "token", "igest", "egotia", "failing row")
"""In lower case: what calls for a detector in a text without marks."""


def only_name(text: str) -> str:
    """The name in `ValueError: order 7 is broken`, where its colon is the only mark; else empty.

    Every error has such a text: when the name promises no secret, there is nothing to scan for.
    """
    name, colon, rest = text.partition(": ")
    if not colon or not text.isascii() or not name.replace(".", "").isidentifier():
        return ""
    low = rest.lower()
    odd = at(rest) or "-" in rest or any(word in low for word in _WITHOUT_MARKS)
    return "" if odd else name


_ASCII_LOWER = {ord("A") + i: ord("a") + i for i in range(26)}


def lower(text: str) -> str:
    """*text* in lower case, as long as before, so that positions in both are the same."""
    # A few characters become two in lower case (U+0130); then only ASCII is changed.
    low = text.lower()
    return low if len(low) == len(text) else text.translate(_ASCII_LOWER)
