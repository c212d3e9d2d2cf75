"""Times as text. Each part is formatted when it changes: many records share a millisecond.

A call in the same millisecond costs 0.4 us, `strftime` 3 us.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MILLISECONDS = tuple(map("%03d".__mod__, range(1000)))
"""The three digits of each."""


class Clock:
    """Formats times; each part is made when it changes."""

    def __init__(self, pattern: str, split: Callable[[float], time.struct_time], dot: str) -> None:
        self._pattern = pattern
        self._split = split
        self._dot = dot
        self._second: tuple[int, str] = (-1, "")
        self.latest: tuple[int, str] = (-1, "")
        """The latest millisecond, and how it is written."""

    def __call__(self, time_ns: int) -> str:
        """*time_ns* with milliseconds."""
        millisecond = time_ns // 1_000_000
        known, text = self.latest
        if millisecond != known:
            second = millisecond // 1000
            latest, prefix = self._second
            if second != latest:
                prefix = time.strftime(self._pattern, self._split(second)) + self._dot
                self._second = (second, prefix)
            text = prefix + MILLISECONDS[millisecond % 1000]
            self.latest = (millisecond, text)  # one store: threads see a pair that belongs together
        return text


utc = Clock("%Y-%m-%dT%H:%M:%S", time.gmtime, ".")
"""`2025-05-10T06:35:12.548`: the timestamp of JSON lines, UTC."""
local = Clock("%Y-%m-%d %H:%M:%S", time.localtime, ",")
"""`2025-05-10 06:35:12,548`: `asctime` as the standard library writes it, local time."""
