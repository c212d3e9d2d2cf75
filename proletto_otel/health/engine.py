"""The engine: decides when checks run, and gives every worker the same answer.

With a schedule the host's leader runs all checks every interval and the other workers read what
it found. Without one (or when the results are stale) whoever is asked runs them, at most once per
cache time. How outcomes become states lives in `health.states`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.record import record
from proletto_otel.health.checks import Check, Runner
from proletto_otel.health.results import UNHEALTHY, UNKNOWN, Outcome
from proletto_otel.health.states import CheckState, Transition, Uptime, uptime
from proletto_otel.health.store import HealthStore
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.runtime.single_flight import SingleFlight

VIEW_S = 1.0
"""Workers agree within this time: a view of the shared states is not older."""
GOOD_CACHE_S = 5.0
"""Without a schedule: seconds after which a success is checked again."""
BAD_CACHE_S = 1.0
"""Without a schedule: seconds after which a failure is checked again."""
RETRY_S = 3.0
"""With a schedule: seconds after which a failing check runs again, so that recovery shows."""
RACE_S = 0.5
"""Two workers that run a check within this time count as one run."""
DAY_S = 86400.0


@record(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Whether and how often the leader runs the checks."""

    enabled: bool = True
    """`MONITOR_SCHEDULED_CHECKS`."""

    interval_s: float = 60.0
    """`MONITOR_HEALTH_CHECK_INTERVAL`."""


class HealthEngine(Component):
    """All checks of a service."""

    name = "health"

    def __init__(
        self, shared: HealthStore, schedule: Schedule, *,
        redact: Callable[[str], str] = str, is_mine: Callable[[str], bool] = lambda name: True,
        now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.shared = shared
        self.schedule = schedule
        self._redact = redact
        self._is_mine = is_mine
        self._now = now
        self._clock = clock
        self._runners: dict[str, Runner] = {}
        self._round = SingleFlight("proletto-health-round", self._run_round, clock)
        self._retry = SingleFlight("proletto-health-retry", self._run_failing, clock)
        self.forked()

    def forked(self) -> None:
        """Start with fresh locks; no check of the parent runs in the child."""
        # The parent's lock may be held by a thread that is not in the child.
        self._lock = threading.Lock()
        self._view: dict[str, CheckState] = {}
        self._viewed_at = float("-inf")
        self._known: dict[str, CheckState] = {}
        self._known_at = float("-inf")
        self._round.forked()
        self._retry.forked()
        for runner in list(self._runners.values()):
            runner.forked()

    def start(self) -> None:
        """Nothing to do: a check's thread starts with its first run."""

    def stop(self, deadline: float) -> None:
        """Nothing to do: check threads are daemons and hold nothing of ours."""

    def register(self, check: Check) -> None:
        """Add *check*; one of the same name is replaced."""
        # Replaced, not changed: threads iterate over it without a lock.
        self._runners = {**self._runners, check.name: Runner(check, self._clock)}
        self._viewed_at = float("-inf")

    def unregister(self, name: str) -> None:
        """Take a check away, with its state."""
        self._runners = {n: r for n, r in self._runners.items() if n != name}
        self.shared.forget([name])

    @property
    def checks(self) -> list[Check]:
        """The registered checks, by name."""
        return [runner.check for _, runner in sorted(self._runners.items())]

    def run_scheduled(self) -> None:
        """Run all checks in a thread of their own (the leader's job); one round at a time."""
        if self._runners:
            with suppressed("health.round"):
                # `join` raises when no thread can be started; the next interval tries again.
                self._round.join()

    def retry_failing(self) -> None:
        """Ask checks that fail again, in a thread of their own (the leader's job).

        Only a recovery counts: how many failures make a check unhealthy is the schedule's matter.
        """
        if any(state.failures for state in self.shared.load().values()):
            with suppressed("health.retry"):
                self._retry.join()

    def run_now(self, min_age_s: float = 0.0) -> dict[str, CheckState]:
        """Run all checks at the same time and record what they say."""
        return self._run(list(self._runners.values()), min_age_s)

    def states(self) -> list[CheckState]:
        """The state of every registered check, at most `VIEW_S` old, by name.

        Waits for checks only when nobody ran them lately, and then not past their deadlines.
        """
        with self._lock:
            # Under the lock: of many requests at once one asks, the others wait for its answer.
            if self._clock() - self._viewed_at >= VIEW_S:
                view, now = self.shared.load(), self._now()
                # With a schedule nothing is due while the leader works: a probe reads one table.
                due = [r for n, r in self._runners.items() if self._due(view.get(n), now)]
                if due:
                    view.update(self._run(due, RACE_S))
                self._view, self._viewed_at = view, self._clock()
            view = self._view
        return [view.get(c.name) or CheckState(name=c.name, critical=c.critical)
                for c in self.checks]  # fmt: skip

    def known(self) -> list[CheckState]:
        """The shared states that are not stale, at most `VIEW_S` old, without running anything."""
        # Without the lock: two threads that read the store at once both read what is right.
        if self._clock() - self._known_at >= VIEW_S:
            self._known, self._known_at = self.shared.load(), self._clock()
        found = [self._known[c.name] for c in self.checks if c.name in self._known]
        return [s for s in found if self._now() - s.checked_at <= self._believed_s(None)]

    def history(self, name: str, since: float = 0.0) -> list[Transition]:
        """Changes of status of one check, oldest first, *since* in unix seconds."""
        return self.shared.transitions(name, since)

    def uptime(self, state: CheckState, window_s: float = DAY_S) -> Uptime:
        """How much of the last *window_s* seconds the check was up."""
        now = self._now()
        # All that the store holds: fewer would cut off the beginning of the window for a check that
        # flaps.
        changes = self.shared.transitions(state.name, now - window_s, limit=5000)
        return uptime(changes, state, now - window_s, now)

    def _due(self, state: CheckState | None, now: float) -> bool:
        if state is None or not state.checked_at:
            return True
        # a clock set back must not make an old result young for ever
        return not -1.0 <= now - state.checked_at <= self._believed_s(state)

    def _believed_s(self, state: CheckState | None) -> float:
        """Seconds after which a result of this state is no longer used."""
        if self.schedule.enabled or state is None:
            return self.shared.rules.stale_after_s
        bad = state.status in (UNHEALTHY, UNKNOWN) or state.failures
        return BAD_CACHE_S if bad else GOOD_CACHE_S

    def _run_round(self) -> None:
        with suppressed("health.round"):
            mine = [runner for name, runner in self._runners.items() if self._is_mine(name)]
            # At most half an interval: with one of less than a second each round would count as the
            # one before it.
            self._run(mine, min(RACE_S, self.schedule.interval_s / 2))

    def _run_failing(self) -> None:
        failing = {name for name, state in self.shared.load().items() if state.failures}
        with suppressed("health.retry"):
            mine = [
                r for name, r in self._runners.items() if name in failing and self._is_mine(name)
            ]
            pending = [runner.start() for runner in mine]
            outcomes = [self._clean(outcome()) for outcome in pending]
            # Failures of a retry are not recorded: three of them within nine seconds would make a
            # check unhealthy, which takes three minutes by the schedule.
            recovered = [o for o in outcomes if o.status != UNHEALTHY]
            if recovered:
                self.shared.record(recovered, self._critical)

    def _run(self, runners: Iterable[Runner], min_age_s: float) -> dict[str, CheckState]:
        # All are started before the first is awaited: together they take as long as the slowest.
        pending = [runner.start() for runner in runners]
        outcomes = [self._clean(outcome()) for outcome in pending]
        return self.shared.record(outcomes, self._critical, min_age_s)

    def _clean(self, outcome: Outcome) -> Outcome:
        if not outcome.message:
            return outcome
        # Here once, before the store: messages go to pages, alerts and logs, and may hold a URL
        # with a password.
        return Outcome(
            name=outcome.name, status=outcome.status, message=self._redact(outcome.message),
            duration_s=outcome.duration_s, timed_out=outcome.timed_out,
        )  # fmt: skip

    def _critical(self, name: str) -> bool:
        runner = self._runners.get(name)
        return runner is not None and runner.check.critical
