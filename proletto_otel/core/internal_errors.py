"""How telemetry steps aside: a failure of ours becomes a count and at most one line a minute.

Under the project's own tests (`PROLETTO_STRICT=1`) the same failure is raised, so it cannot hide.
"""

from __future__ import annotations

import logging
import os
import time
from types import TracebackType

from proletto_otel.core.conventions import INTERNAL_ERRORS
from proletto_otel.core.metrics.registry import registry

NOTICE_INTERVAL_S = 60.0
"""One line a minute per subject: enough to be seen, too few to flood."""
MAX_SUBJECTS = 500

strict = os.environ.get("PROLETTO_STRICT") == "1"

_log = logging.getLogger("proletto_otel")
_errors = registry.counter(INTERNAL_ERRORS)
_said: dict[str, float] = {}


def log_rate_limited(key: str, message: str, *args: object, level: int = logging.WARNING) -> bool:
    """Say *message* on the console, at most once a minute per *key*; return whether it was said."""
    now = time.monotonic()
    if now - _said.get(key, -NOTICE_INTERVAL_S) < NOTICE_INTERVAL_S or len(_said) > MAX_SUBJECTS:
        return False
    _said[key] = now
    _log.log(level, message, *args)
    return True


def forget_notices() -> None:
    """Let every subject speak again (tests, a new set-up)."""
    _said.clear()


def failed(where: str, error: BaseException) -> None:
    """Count an error of ours at *where* and say so, at most once a minute."""
    _errors.cell((where,)).add(1)
    log_rate_limited(
        f"internal:{where}", "telemetry step %s failed: %s", where, type(error).__name__
    )


class suppressed:  # noqa: N801  reads as a statement: `with silence("request.capture"):`
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
        if error is None or not isinstance(error, Exception):
            return False
        failed(self.where, error)
        return not strict
