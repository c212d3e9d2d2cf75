"""Single flight: however many ask, one thread works, and nobody waits past the deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """One run of a function in a daemon thread."""

    __slots__ = ("_done", "_function", "result", "started")

    def __init__(self, name: str, function: Callable[[], T], started: float) -> None:
        self.started = started
        self.result: T | None = None
        self._function = function
        self._done = threading.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether the function came back."""
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait at most *seconds*; return whether the function came back."""
        return self._done.wait(max(seconds, 0))

    def _run(self) -> None:
        try:
            self.result = self._function()
        finally:  # also when it raises: waiters would otherwise wait out their deadline
            self._done.set()


class SingleFlight(Generic[T]):
    """Runs *function* for all who ask at the same time once."""

    def __init__(
        self, name: str, function: Callable[[], T], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._function = function
        self._clock = clock
        self.forked()

    def forked(self) -> None:
        """Forget a run of the parent process: its thread is not here."""
        self._lock = threading.Lock()
        self._flight: SharedCall[T] | None = None

    def join(self) -> SharedCall[T]:
        """The run that is under way, or a new one.

        Raises:
            RuntimeError: when no thread can be started.
        """
        # A run that hangs stays the one that is joined, so a function that never comes back holds
        # one thread, and not one for each probe.
        with self._lock:
            if self._flight is None or self._flight.over:
                self._flight = SharedCall(self.name, self._function, self._clock())
            return self._flight
