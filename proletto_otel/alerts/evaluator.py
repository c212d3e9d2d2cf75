"""The evaluator: reads the indicators, moves the alert states on, and hands out what is to be told.

It runs on the host's leader only. States, the outbox and the past change in one transaction, so
another leader goes on where this one stopped. Sending is the notifiers' business.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from proletto_otel.alerts.indicators import Indicator
from proletto_otel.alerts.notices import Origin, notice
from proletto_otel.alerts.readings import Reading, Readings
from proletto_otel.alerts.silences import SILENCE, Silence, of, quiet
from proletto_otel.alerts.states import AlertState, advance
from proletto_otel.alerts.store import AlertStore
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.delivery import ledger as process_ledger
from proletto_otel.core.severity import CRITICAL, OK, RANK, WARNING
from proletto_otel.notify.notification import Notice
from proletto_otel.notify.notifier import EXPIRES_S, Notifier
from proletto_otel.notify.outbox import OutboxEntry
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state.store import StoreUnavailable

ADOPT_S = 30.0
"""How often the leader looks for letters that a process left in the outbox."""

Facts = Callable[[Threshold], dict[str, str]]
"""More to know about an alert: the last error's request ID, what a check said."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one evaluation decided for one threshold."""

    state: AlertState
    notice: Notice | None


@dataclass(frozen=True, slots=True)
class Round:
    """One evaluation: when, of what, and what is known beside the values."""

    mono: float
    wall: float
    reading: Reading
    thresholds: list[Threshold]
    facts: dict[str, dict[str, str]]
    """By threshold name; only of those beyond a limit."""


class Evaluator(Component):
    """Evaluates every threshold at each `tick`."""

    name = "alerts"

    def __init__(
        self, shared: AlertStore, readings: Readings, notifiers: Sequence[Notifier],
        origin: Origin, *,
        thresholds: Callable[[], Iterable[Threshold]],
        indicator: Callable[[str], Indicator],
        facts: Facts = lambda threshold: {},
        ledger: Ledger = process_ledger,
        clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.shared = shared
        self.readings = readings
        self.notifiers = notifiers
        self._origin = origin
        self._thresholds = thresholds
        self._indicator = indicator
        self._facts = facts
        self._ledger = ledger
        self._clock = clock
        self._now = now
        self.forked()

    def forked(self) -> None:
        """Begin without the parent's memory; the store has it."""
        self._own: dict[str, AlertState] = {}
        self._was_alone = False
        self.last: Reading | None = None
        self._adopted_at = float("-inf")
        self._window_read = False

    def start(self) -> None:
        """Nothing to do: the ticker calls `tick`."""

    def stop(self, deadline: float) -> None:
        """Nothing to do: everything known is in the store."""

    def tick(self) -> list[Notice]:
        """Evaluate once (the leader's job); return what people are told."""
        mono = self._clock()
        self._remember_window(mono)
        now = self._round(mono)
        try:
            letters = self._with_store(now)
        except StoreUnavailable:
            letters = self._alone(now)
        self._send(letters)
        self._adopt(mono)
        return list({id(letter.notice): letter.notice for letter in letters}.values())

    @property
    def own(self) -> dict[str, AlertState]:
        """The states of the last evaluation in this process."""
        return self._own

    def _round(self, mono: float) -> Round:
        """Everything that is asked of others, before the transaction begins."""
        reading = self.last = self.readings.take(mono)
        thresholds = list(self._thresholds())
        facts = {t.name: self._facts(t) for t in thresholds if _beyond(t, reading.value(t))}
        return Round(mono, self._now(), reading, thresholds, facts)

    def _with_store(self, now: Round) -> list[OutboxEntry]:
        letters: list[OutboxEntry] = []
        with self.shared.transaction() as connection:
            stored = self.shared.states(connection)
            before = {**stored, **self._own} if self._was_alone else {**self._own, **stored}
            steps = self._steps(now, before, self.shared.silences(connection))
            self.shared.save(connection, [step.state for step in steps])
            for step in steps:
                if step.notice is not None:
                    channels = self._channels(step.notice)
                    letters += self.shared.post(connection, step.notice, channels)
            if now.reading.keep:
                self.shared.keep_reading(connection, now.mono, now.reading.totals)
        self._keep(steps, alone=False)
        for letter in letters:
            self._ledger.spooled(letter.channel, 1)
        return letters

    def _alone(self, now: Round) -> list[OutboxEntry]:
        steps = self._steps(now, self._own, [])
        self._keep(steps, alone=True)
        told = [step.notice for step in steps if step.notice is not None]
        return [OutboxEntry(None, name, now.wall, n) for n in told for name in self._channels(n)]

    def _keep(self, steps: Iterable[Step], alone: bool) -> None:
        self._own = {step.state.name: step.state for step in steps}
        self._was_alone = alone

    def _steps(
        self, now: Round, before: dict[str, AlertState], silences: list[Silence]
    ) -> list[Step]:
        steps = []
        for threshold in now.thresholds:
            known = before.get(threshold.name) or AlertState(name=threshold.name)
            value = now.reading.value(threshold)
            state = advance(known, threshold, value, now.mono, now.wall)
            steps.append(self._told(now, threshold, known, state, silences))
        return steps

    def _told(
        self, now: Round, threshold: Threshold, before: AlertState, state: AlertState,
        silences: list[Silence],
    ) -> Step:  # fmt: skip
        """Decide whether people hear of *state*: they do when it is worse than what they know."""
        if state.level == state.told:
            return Step(state, None)
        heard = replace(state, told=state.level)
        if RANK[state.level] > RANK[state.told]:
            if quiet(threshold.name, state.level, silences):
                return Step(state, None)  # said when the silence ends, if it still holds
            return Step(heard, self._notice(now, threshold, state, state.since, state.level))
        if state.level != OK or of(threshold.name, SILENCE, silences) is not None:
            return Step(heard, None)
        since = before.since or state.changed
        return Step(heard, self._notice(now, threshold, state, since, state.told, resolved=True))

    def _notice(
        self, now: Round, threshold: Threshold, state: AlertState, since: float, severity: str,
        resolved: bool = False,
    ) -> Notice:  # fmt: skip
        return notice(
            threshold, self._indicator(threshold.metric), self._origin, severity=severity,
            resolved=resolved, value=state.value, since=since, at=now.wall,
            facts={} if resolved else now.facts.get(threshold.name, {}),
        )  # fmt: skip

    def _channels(self, told: Notice) -> list[str]:
        return [n.name for n in self.notifiers if n.channel.wants(told)]

    def _send(self, letters: Iterable[OutboxEntry], new: bool = True) -> None:
        by_name = {notifier.name: notifier for notifier in self.notifiers}
        for letter in letters:
            if new:
                self._ledger.emitted(letter.channel)
            if letter.channel in by_name:
                by_name[letter.channel].put(letter)

    def _adopt(self, mono: float) -> None:
        """Send what another process left in the outbox (it ended, or was killed)."""
        if mono - self._adopted_at >= ADOPT_S:
            self._adopted_at = mono
            waiting = self.shared.outbox.waiting()
            self._send(waiting, new=False)
            self._give_up(waiting)

    def _give_up(self, letters: Iterable[OutboxEntry]) -> None:
        """Letters of a channel that was switched off are dropped when they are old."""
        spoken = {notifier.name for notifier in self.notifiers}
        for letter in letters:
            if letter.channel not in spoken and self._now() - letter.at > EXPIRES_S:
                with contextlib.suppress(StoreUnavailable):
                    self.shared.outbox.remove(letter.id or 0)
                    self._ledger.spooled(letter.channel, -1)
                    self._ledger.dropped(letter.channel, "expired")

    def _remember_window(self, mono: float) -> None:
        """Go on with the request readings of the leader before."""
        if self._window_read:
            return
        self._window_read = True
        window = self.readings.window
        window.readings.clear()
        try:
            with self.shared.transaction() as connection:
                window.readings.extend(self.shared.readings(connection, mono))
        except StoreUnavailable:
            return


def _beyond(threshold: Threshold, value: float | None) -> bool:
    if value is None:
        return False
    return threshold.beyond(WARNING, value) or threshold.beyond(CRITICAL, value)
