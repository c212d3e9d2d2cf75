"""Checks: what is asked, how long it may take, and one run of it off the caller's thread.

Ready-made checks live in `health.ready_made.database`, `health.ready_made.redis`,
`health.ready_made.http` and `health.ready_made.host`; when a check runs is the engine's business.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.trace_context import without_instrumentation
from proletto_otel.health.results import (
    DEGRADED,
    HEALTHY,
    MAX_MESSAGE,
    UNHEALTHY,
    HealthResult,
    Outcome,
    read,
)
from proletto_otel.runtime.single_flight import SingleFlight

CheckFunction = Callable[[], "object | Awaitable[object]"]

MAX_TIMEOUT_S = 60.0
KEPT_BACK_S = 0.1
"""Part of a deadline reserved for the answer, so that a probe gets it within the deadline."""

_NAME = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9 _.:/-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing the service depends on."""

    name: str
    """What people and metrics call it, 1 to 64 characters: `database`."""

    function: CheckFunction
    """Sync or async; returns a bool, None, a status word or a `HealthResult`, or raises."""

    critical: bool = True
    """Whether `/readyz` answers 503 while it is unhealthy."""

    timeout: float = 2.0
    """Seconds it may take; longer is a failure."""

    degraded_above: float | None = None
    """Seconds above which a success counts as degraded."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ConfigError.of("name", self.name, "1 to 64 of A-Z a-z 0-9 _ . : / - space")
        if not callable(self.function):
            raise ConfigError.of("check", self.function, "a function without arguments")
        _seconds("timeout", self.timeout, MAX_TIMEOUT_S)
        if self.degraded_above is not None:
            _seconds("degraded_above", self.degraded_above, self.timeout)


def _seconds(name: str, value: Any, most: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 < value <= most:
        raise ConfigError.of(name, value, f"seconds, more than 0, at most {most:g}")


class Runner:
    """Runs one check: one thread at a time, none waits past the deadline."""

    def __init__(self, check: Check, clock: Callable[[], float] = time.monotonic) -> None:
        self.check = check
        self._clock = clock
        self._flight = SingleFlight(f"proletto-health-{check.name}", self._run, clock)

    def forked(self) -> None:
        """Forget the parent's run."""
        self._flight.forked()

    def start(self) -> Callable[[], Outcome]:
        """Begin a run (or join the one under way); call the result for its outcome."""
        try:
            # Joined, not begun each time: a check that hangs holds one thread, not one per probe.
            flight = self._flight.join()
        except RuntimeError:  # can't start new thread
            return lambda: self._outcome(HealthResult(UNHEALTHY, "no thread could be started"), 0)

        def outcome() -> Outcome:
            # Counted from the start of the run, which another caller may have begun. A tenth of a
            # short timeout, so that 0.1 s of reserve does not use up all of it.
            allowed = self.check.timeout - min(KEPT_BACK_S, self.check.timeout / 10)
            if flight.wait(flight.started + allowed - self._clock()) and flight.result:
                return flight.result
            return self._overdue(self._clock() - flight.started)

        return outcome

    def _run(self) -> Outcome:
        started = self._clock()
        try:
            # Spans of a driver's own instrumentation would be noise, once a minute for ever.
            with without_instrumentation():
                answer = self.check.function()
                if inspect.isawaitable(answer):
                    import asyncio  # 20 ms that only those with async checks pay

                    # With a limit of its own: a coroutine can be cancelled, a thread cannot.
                    answer = asyncio.run(asyncio.wait_for(answer, self.check.timeout))
            result = read(answer)
        except BaseException as error:  # SystemExit in a check must not end a thread unseen
            result = HealthResult(UNHEALTHY, _describe(error))
        return self._outcome(result, self._clock() - started)

    def _outcome(self, result: HealthResult, duration_s: float) -> Outcome:
        status, message = result.status, result.message[:MAX_MESSAGE]
        limit = self.check.degraded_above
        if status == HEALTHY and limit is not None and duration_s > limit:
            status = DEGRADED
            message = f"slow: took {duration_s:.3f} s, more than {limit:g} s"
        return Outcome(name=self.check.name, status=status, message=message, duration_s=duration_s)

    def _overdue(self, running_s: float) -> Outcome:
        limit = self.check.timeout
        message = f"timeout: no answer within {limit:g} s"
        # Said once it is clear that the thread hangs: each later run joins that one.
        if running_s > 2 * limit:
            message += f"; still running after {running_s:.0f} s"
        return Outcome(
            name=self.check.name, status=UNHEALTHY, message=message, duration_s=limit,
            timed_out=True,
        )  # fmt: skip


def _describe(error: BaseException) -> str:
    """Type and first line of *error*; its own `__str__` may raise."""
    try:
        # Only the first line: in the following ones drivers repeat statement and parameters.
        text = str(error).strip().partition("\n")[0]
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
