"""Failures of telemetry itself: each becomes a count and at most one log line a minute.

Under the project's own tests (`PROLETTO_STRICT=1`) the same failure is raised, so it cannot hide.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from types import TracebackType

from proletto_otel.core.conventions import INTERNAL_ERRORS
from proletto_otel.core.metrics.instruments import Instrument
from proletto_otel.core.metrics.values import Cell

LINE_INTERVAL_S = 60.0
"""One line a minute per key: enough to be seen, too few to flood."""
MAX_KEYS = 500
"""Beyond it nothing new is logged: keys may hold names that come from outside."""

strict = os.environ.get("PROLETTO_STRICT") == "1"

_log = logging.getLogger("proletto_otel")
# Made here and added to the process's registry there: the registry counts the callbacks that raise,
# so it imports this module.
failures = Instrument(INTERNAL_ERRORS, lambda _: Cell())
_logged_at: dict[str, float] = {}


def log_rate_limited(key: str, message: str, *args: object, level: int = logging.WARNING) -> bool:
    """Log *message*, at most once a minute per *key*; return whether it was logged."""
    # No lock, because a signal handler may come here: two threads at once may log a line twice.
    now = time.monotonic()
    if now - _logged_at.get(key, -LINE_INTERVAL_S) < LINE_INTERVAL_S or len(_logged_at) > MAX_KEYS:
        return False
    _logged_at[key] = now
    with contextlib.suppress(Exception):  # a handler of the program may raise
        _log.log(level, message, *args)
    return True


def forget_logged() -> None:
    """Let every key log again (tests, a new set-up)."""
    _logged_at.clear()


def count_failure(where: str, error: BaseException) -> None:
    """Count an error of ours at *where*, and log it at most once a minute."""
    failures.cell((where,)).add(1)
    log_rate_limited(
        f"internal:{where}", "telemetry step %s failed: %s", where, type(error).__name__
    )


# A class with `__slots__`, no generator: half the cost (0.9 µs instead of 1.6, measured) around
# each step of a request.
class suppressed:  # noqa: N801  reads as a statement: `with suppressed("request.capture"):`
    """Swallow and count any `Exception` inside; raise it when strict."""

    __slots__ = ("where",)

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        # `KeyboardInterrupt`, `SystemExit` and `GeneratorExit` end what runs here; they pass.
        if error is None or not isinstance(error, Exception):
            return False
        count_failure(self.where, error)
        return not strict
