"""Regular expressions that are compiled when they are first used.

The hundred patterns of the package take a fifth of its import to compile; a program that starts
needs a dozen of them. `compile_one` makes the others in the background, so that no request waits.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast

_waiting: list[LazyPattern] = []


class LazyPattern:
    """Stands in for a `re.Pattern`: has its methods, made at the first use of one."""

    def __init__(self, source: str | bytes, flags: int) -> None:
        self._source = source
        self._flags = flags
        _waiting.append(self)

    def is_compiled(self) -> bool:
        """Whether it was used."""
        return len(self.__dict__) > 2  # beside what `__init__` put there

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # `copy` and `inspect` ask for what a pattern has not
            raise AttributeError(name)
        # Found in the instance from then on: as fast as the pattern's own method.
        found = getattr(re.compile(self._source, self._flags), name)
        self.__dict__[name] = found
        return found


def lazy_pattern(source: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As `re.compile`, at the first use; for patterns that a test compiles."""
    return cast("re.Pattern[AnyStr]", LazyPattern(source, flags))


def compile_one() -> None:
    """Compile one that no use has compiled yet (0.1 to 4 ms); for a background thread."""
    while _waiting:
        pattern = _waiting.pop()
        if not pattern.is_compiled():
            _ = pattern.search
            return


def are_waiting() -> bool:
    """Whether `compile_one` has something to do."""
    return bool(_waiting)
