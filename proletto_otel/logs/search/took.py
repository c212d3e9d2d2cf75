"""How many milliseconds a line says that something took: the access line of a request, a call.

A line names its number in the bytes, so most lines are ruled out before they are parsed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from proletto_otel.core import conventions as c
from proletto_otel.core.errors import ConfigError

FITS = "milliseconds, a number of at least 0 such as 250"
MAX_DIGITS = 15
"""Of a bound that rules lines out by the number of their digits."""


@dataclass(frozen=True, slots=True)
class Took:
    """A range of milliseconds, both ends in it; has what a `Needle` has."""

    least: float
    most: float
    folded: bool = False
    _pattern: re.Pattern[bytes] = field(init=False)

    def __post_init__(self) -> None:
        if not self.least <= self.most:
            expected = f"at least duration_min, which is {shown(self.least)}"
            raise ConfigError.of("duration_max", shown(self.most), expected)
        # The engine skips numbers with too few digits by itself. Searching 1,000,000 access lines
        # (539 MB, load 16) for those over 250 ms, which 1 % are: 1.5 s of CPU; each number as a
        # float: 3.2 s; each line parsed: 24 s. A request ID: 1.0 s, a text: 1.9 s.
        digits = min(len(str(int(max(self.least, 0.0)))), MAX_DIGITS)
        name = f'"{c.ACCESS_DURATION_MS}":'.encode()
        object.__setattr__(
            self,
            "_pattern",
            re.compile(
                rb"%s(?=-?[0-9]{%d}|[0-9.]+[eE])(-?[0-9][0-9.eE+-]*)" % (re.escape(name), digits)
            ),
        )

    def positions(self, text: bytes) -> list[int]:
        """Where such a number stands in *text*, last first."""
        found = [m.start() for m in self._pattern.finditer(text) if self._holds(_number(m[1]))]
        return found[::-1]

    def within(self, line: bytes) -> bool:
        """Whether *line* has such a number."""
        return any(self._holds(_number(m[1])) for m in self._pattern.finditer(line))

    def holds(self, value: object) -> bool:
        """Whether the field of a parsed line is in the range."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and self._holds(value)  # type: ignore[arg-type]  # it is a number

    def _holds(self, value: float) -> bool:
        # what another program wrote as `Infinity` is no time, and no number for the expression
        return self.least <= value <= self.most and value != math.inf


def took(least: float | None, most: float | None) -> Took | None:
    """The range; None: whatever it took.

    Raises:
        ConfigError: the range is empty, or begins nowhere.
    """
    if least is None and most is None:
        return None
    if least == math.inf:
        raise ConfigError.of("duration_min", shown(least), FITS)
    return Took(0.0 if least is None else least, math.inf if most is None else most)


def milliseconds(name: str, text: str) -> float | None:
    """The parameter *name* of an address: a number of milliseconds; None: it says nothing.

    Raises:
        ConfigError: it is no such number.
    """
    if not text:
        return None
    try:
        found = float(text.removesuffix("ms"))
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise ConfigError.of(name, text[:40], FITS)
    return found


def shown(value: float) -> str:
    """The bound as an address has it: microseconds are the finest that a line names."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
