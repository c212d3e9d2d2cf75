"""A bounded cache: a dictionary that makes missing values and never exceeds its limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar("Made")


class BoundedCache(dict[Any, Made]):
    """A dictionary that makes the value of a missing key with *make*; it is emptied when full.

    Looking a key up makes what is missing, so `table[key]` is all a caller writes, and a hit costs
    no call.

    Args:
        make: Makes the value of a key.
        limit: Keys that are kept.
    """

    def __init__(self, make: Callable[[Any], Made], limit: int) -> None:
        super().__init__()
        self._make = make
        self._limit = limit

    def __missing__(self, key: Any) -> Made:
        # Emptied as a whole: an order of use would have to be changed at each hit, under a lock.
        # What is still in use is made again at once.
        if len(self) >= self._limit:
            self.clear()
        made = self[key] = self._make(key)
        return made
