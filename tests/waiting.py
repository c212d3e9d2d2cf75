"""How long a test waits for what comes sooner or later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 300.0
"""After this a test gives up. No passing test comes near it where nothing else runs: it decides how
busy a machine may be (twenty busy processes on two cores), and nothing about how fast we are."""
BUILD_S = 1500.0
"""The same for programs, images and packages that are made on first use."""


def until(condition: Callable[[], T], what: str = "", every_s: float = 0.02) -> T:
    """The first true value of *condition*.

    Raises:
        AssertionError: when there is none within `PATIENCE_S`, with *what* and what came last.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        late = f"not within {PATIENCE_S:.0f} s: {what or condition}; last {value!r}"
        assert time.monotonic() < deadline, late
        time.sleep(every_s)
    return value
