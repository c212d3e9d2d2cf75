"""One scan of one text: the spans found to be secret, and what is left of its budget."""

from __future__ import annotations

import re
from collections.abc import Iterator

REDACTED = "[redacted]"
NOT_SCANNED = "...[not scanned further]"
MAX_STEPS = 3000
"""Python-level steps (about 1 µs each) spent on one text, all its decodings together. The longest
ordinary text, a JSON body of 32 KB, takes 3,000; a text that needs more is cut where they end."""


class Scan:
    """Where secrets stand in a text, found by any number of detectors on the same text."""

    __slots__ = ("literals_only", "spans", "steps", "text")

    def __init__(self, text: str, steps: int = MAX_STEPS, literals_only: bool = False) -> None:
        self.text = text
        self.steps = steps
        self.literals_only = literals_only
        """Whether the text is source code: names of variables are no values."""
        self.spans: list[tuple[int, int, str]] = []

    def add(self, start: int, end: int) -> None:
        """Mark a secret."""
        if end > start:
            self.spans.append((start, end, REDACTED))

    def spend(self, steps: int, position: int) -> bool:
        """Take *steps* of the budget; when it is used up, the text from *position* on is cut."""
        self.steps -= steps
        if self.steps >= 0:
            return True
        self.cut(position)
        return False

    def cut(self, position: int) -> None:
        """Leave out the text from *position* on."""
        self.spans.append((position, len(self.text), NOT_SCANNED))

    def each(
        self, pattern: re.Pattern[str], start: int = 0, text: str | None = None
    ) -> Iterator[re.Match[str]]:
        """The matches of *pattern*, within the budget; *text*: the same in lower case."""
        for match in pattern.finditer(self.text if text is None else text, start):
            if not self.spend(1, match.start()):
                return
            yield match

    def result(self) -> str:
        """The text without its secrets; spans that overlap become one."""
        if not self.spans:
            return self.text
        text = self.text
        parts: list[str] = []
        done = 0
        # Detectors overlap: a token in a URL in a quoted value is found three times.
        for start, end, stand_in in _merged(self.spans):
            parts += [text[done:start], stand_in]
            done = end
        return "".join((*parts, text[done:]))


def _merged(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    merged: list[tuple[int, int, str]] = []
    for start, end, stand_in in sorted(spans):
        if merged and start < merged[-1][1]:
            before = merged[-1]
            if stand_in == NOT_SCANNED and end > before[1]:
                merged[-1] = (before[0], before[1], before[2])
                merged.append((before[1], end, stand_in))
            elif end > before[1]:
                merged[-1] = (before[0], end, before[2])
        else:
            merged.append((start, end, stand_in))
    return merged
