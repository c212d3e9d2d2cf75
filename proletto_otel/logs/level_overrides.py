"""Levels that an operator gave to loggers at run time, in this process.

The standard library's loggers get them by `setLevel`, and their own level back afterwards. Our
loggers and structlog's ask `LevelOverrides`; without such levels there is none to ask.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from proletto_otel.core.bounded_cache import BoundedCache

ROOT = "root"
"""The name that stands for all loggers without a level of their own."""
MAX_NAMES = 2000


class LevelOverrides:
    """Levels by logger name; those of `shop` hold for `shop.payments`, too.

    Args:
        levels: Level numbers by logger name.
    """

    __slots__ = ("_inherited", "_levels")

    def __init__(self, levels: Mapping[str, int]) -> None:
        self._levels = dict(levels)
        self._inherited = BoundedCache(self._of_nearest, MAX_NAMES)

    def level_of(self, name: str, own: int, default: int) -> int:
        """The lowest level that the logger *name* records.

        Args:
            name: Its name.
            own: The level that the program gave it; 0: none.
            default: The level of loggers without one.
        """
        return self._levels.get(name) or own or self._inherited[name] or default

    def _of_nearest(self, name: object) -> int:
        above = str(name)
        while above:
            if above in self._levels:
                return self._levels[above]
            above = above.rpartition(".")[0]
        return self._levels.get(ROOT, 0)


class StdlibLevels:
    """The standard library's loggers that have another level than the program gave them."""

    def __init__(self) -> None:
        self._set: dict[str, tuple[int, int]] = {}
        """By name: the level before, and ours."""

    def apply(self, levels: Mapping[str, int]) -> None:
        """Give the loggers these levels, and all others their own one back."""
        for name, (before, ours) in list(self._set.items()):
            if levels.get(name) != ours:
                del self._set[name]
                found = logging.getLogger(name)
                if found.level == ours:  # otherwise the program has changed it meanwhile
                    found.setLevel(before)
        for name, level in levels.items():
            if name not in self._set:
                found = logging.getLogger(name)
                self._set[name] = found.level, level
                found.setLevel(level)


def known_loggers() -> list[str]:
    """The loggers of this process by name."""
    return sorted([ROOT, *map(str, logging.Logger.manager.loggerDict)])
