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

SAMPLE_S = 0.05
"""CPU time that `slowness` takes: some of the scheduler's turns, of 3 ms or less each."""


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


def slowness() -> float:
    """How many times longer than its CPU time a computation takes here and now; 1 when quiet.

    A deadline that the library promises (an exit within 5 s) holds for a process that gets a
    core when it asks for one; beside twenty busy ones each of its steps waits for its turn.
    """
    began, cpu = time.monotonic(), time.thread_time()
    while (used := time.thread_time() - cpu) < SAMPLE_S:
        pass
    return max(1.0, (time.monotonic() - began) / used)
