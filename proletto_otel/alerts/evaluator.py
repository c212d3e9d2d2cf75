"""The evaluator: reads the indicators, moves alert states on, hands notices to the channels.

Thresholds become states in `alerts.states`, states become notices as `alerts.notify_policy` says,
and notices are sent by the notifiers of `notify`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace

from proletto_otel.alerts.indicators import Indicator
from proletto_otel.alerts.notices import Notice, Origin, notice
from proletto_otel.alerts.notify_policy import Announcement, decide
from proletto_otel.alerts.readings import Reading, Readings
from proletto_otel.alerts.silences import Silence
from proletto_otel.alerts.states import AlertState, advance
from proletto_otel.alerts.store import AlertStore
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.delivery import ledger as process_ledger
from proletto_otel.core.record import record
from proletto_otel.core.severity import CRITICAL, WARNING
from proletto_otel.notify.notification import RESOLVED
from proletto_otel.notify.notifier import EXPIRES_S, Notifier
from proletto_otel.notify.outbox import OutboxEntry
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state.store import StoreUnavailable

ADOPT_S = 30.0
"""Seconds between two reads of the outbox for entries that another process left there."""


@record(frozen=True, kw_only=True)
class Watched:
    """The thresholds to evaluate, and the meaning of their metrics."""

    thresholds: Callable[[], Iterable[Threshold]]
    """Those that this process evaluates now."""

    indicator: Callable[[str], Indicator]
    """What a metric means, by its name."""

    facts: Callable[[Threshold], dict[str, str]] = field(default=lambda _: {})
    """More to know about an alert: the last error's request ID, what a check said."""


@record(frozen=True, slots=True)
class Step:
    """What one evaluation decided for one threshold."""

    state: AlertState
    notice: Notice | None


@record(frozen=True, slots=True)
class Round:
    """Input of one evaluation: times, values, thresholds and facts."""

    mono: float
    wall: float
    reading: Reading
    thresholds: list[Threshold]
    facts: dict[str, dict[str, str]]
    """By threshold name; only of those beyond a limit."""


class Evaluator(Component):
    """Evaluates every watched threshold at each `tick`.

    Args:
        store: What the host remembers about its alerts.
        readings: Where the values come from.
        notifiers: One for each channel.
        origin: The service, for messages.
        watched: The thresholds.
        repeat_s: Seconds after which an alert that goes on is announced again; 0: never.
        ledger: Counts what was handed to the channels.
        clock: Monotonic seconds.
        now: Unix seconds.
    """

    name = "alerts"

    def __init__(
        self, store: AlertStore, readings: Readings, notifiers: Sequence[Notifier],
        origin: Origin, watched: Watched, *, repeat_s: float = 0.0,
        ledger: Ledger = process_ledger,
        clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.store = store
        self.readings = readings
        self.notifiers = notifiers
        self._origin = origin
        self._watched = watched
        self._repeat_s = repeat_s
        self._ledger = ledger
        self._clock = clock
        self._now = now
        self.forked()

    def forked(self) -> None:
        """Start empty in a child process; the states are in the store."""
        self._own: dict[str, AlertState] = {}
        # Whether the last evaluation ran without the store.
        self._was_alone = False
        self.last: Reading | None = None
        self._adopted_at = float("-inf")
        self._is_window_read = False

    def tick(self) -> list[Notice]:
        """Evaluate once; return the notices that were made."""
        mono = self._clock()
        self._read_window(mono)
        now = self._round(mono)
        try:
            notices, entries = self._with_store(now)
        except StoreUnavailable:
            notices, entries = self._without_store(now)
        for entry in entries:
            self._ledger.emitted(entry.channel)
        # Sent after the commit: a rolled back transaction must not have notified anybody.
        self._send(entries)
        self._adopt(mono)
        return notices

    @property
    def own(self) -> Mapping[str, AlertState]:
        """The states of the last evaluation in this process."""
        return self._own

    def _round(self, mono: float) -> Round:
        """Collect all values and facts before the transaction, which must not wait for them."""
        reading = self.last = self.readings.take(mono)
        thresholds = list(self._watched.thresholds())
        # both levels are asked: a threshold may have a critical limit only
        beyond = [
            threshold
            for threshold in thresholds
            if (value := reading.value(threshold)) is not None
            and (threshold.beyond(WARNING, value) or threshold.beyond(CRITICAL, value))
        ]
        facts = {t.name: self._watched.facts(t) for t in beyond}
        return Round(mono, self._now(), reading, thresholds, facts)

    def _with_store(self, now: Round) -> tuple[list[Notice], list[OutboxEntry]]:
        """States, events and outbox change together, so the next leader goes on from here."""
        entries: list[OutboxEntry] = []
        with self.store.transaction() as connection:
            stored = self.store.states(connection)
            # States of this process win only after an evaluation without the store: they are
            # newer than what it holds. Otherwise the store wins, as another process may have led.
            before = {**stored, **self._own} if self._was_alone else {**self._own, **stored}
            steps = self._steps(now, before, self.store.silences(connection))
            self.store.save(connection, [step.state for step in steps])
            notices = [step.notice for step in steps if step.notice is not None]
            for made in notices:
                # One entry per channel: a retry on one does not send again on the others.
                entries += self.store.post(connection, made, self._channels(made))
            # The window is written too, so that a new leader knows the last five minutes at once.
            if now.reading.keep:
                self.store.keep_reading(connection, now.mono, now.reading.totals)
        self._remember(steps, alone=False)
        for entry in entries:
            self._ledger.spooled(entry.channel, 1)
        return notices, entries

    def _without_store(self, now: Round) -> tuple[list[Notice], list[OutboxEntry]]:
        """Evaluate with the states of this process, as a locked store must not stop alerts."""
        steps = self._steps(now, self._own, [])
        self._remember(steps, alone=True)
        notices = [step.notice for step in steps if step.notice is not None]
        return notices, [
            OutboxEntry(None, channel, now.wall, made.as_notification())
            for made in notices
            for channel in self._channels(made)
        ]

    def _remember(self, steps: Iterable[Step], alone: bool) -> None:
        self._own = {step.state.name: step.state for step in steps}
        self._was_alone = alone

    def _steps(
        self, now: Round, before: Mapping[str, AlertState], silences: Sequence[Silence]
    ) -> list[Step]:
        steps = []
        for threshold in now.thresholds:
            # Keyed by name, not metric: two thresholds may watch one metric under two names.
            known = before.get(threshold.name) or AlertState(name=threshold.name)
            value = now.reading.value(threshold)
            state = advance(known, threshold, value, now.mono, now.wall)
            after, announced = decide(state, silences, now.wall, self._repeat_s)
            made = self._notice(now, threshold, known, state, announced) if announced else None
            steps.append(Step(replace(after, evaluated_at=now.wall), made))
        return steps

    def _notice(
        self, now: Round, threshold: Threshold, before: AlertState, state: AlertState,
        announced: Announcement,
    ) -> Notice:  # fmt: skip
        resolved = announced.event == RESOLVED
        if resolved:
            # `advance` has cleared the start of the new state already
            since = before.since or state.changed
        else:
            since = state.since_of(announced.severity, now.mono, now.wall)
        return notice(
            threshold, self._watched.indicator(threshold.metric), self._origin,
            severity=announced.severity, resolved=resolved, value=state.value, since=since,
            at=now.wall, facts={} if resolved else now.facts.get(threshold.name, {}),
        )  # fmt: skip

    def _channels(self, made: Notice) -> list[str]:
        notification = made.as_notification()
        return [n.name for n in self.notifiers if n.channel.wants(notification)]

    def _send(self, entries: Iterable[OutboxEntry]) -> None:
        # Only queued here: each notifier sends from a thread of its own and refuses duplicates.
        by_name = {notifier.name: notifier for notifier in self.notifiers}
        for entry in entries:
            if entry.channel in by_name:
                by_name[entry.channel].put(entry)

    def _adopt(self, mono: float) -> None:
        """Send what another process left in the outbox (it ended, or was killed)."""
        if mono - self._adopted_at < ADOPT_S:
            return
        self._adopted_at = mono
        waiting = self.store.outbox.waiting()
        self._send(waiting)
        channels = {notifier.name for notifier in self.notifiers}
        for entry in waiting:
            # The channel was removed from the settings, so no notifier will ever send this. It is
            # dropped only after an hour, as another worker may still have it.
            if entry.channel not in channels and self._now() - entry.at > EXPIRES_S:
                with contextlib.suppress(StoreUnavailable):
                    self.store.outbox.remove(entry.id or 0)
                    self._ledger.spooled(entry.channel, -1)
                    self._ledger.dropped(entry.channel, "expired")

    def _read_window(self, mono: float) -> None:
        """Continue with the request readings of the previous leader; once."""
        if self._is_window_read:
            return
        self._is_window_read = True
        window = self.readings.window
        # Cleared also when the store fails: own readings from an earlier lead have a gap, and a
        # window across a gap would count requests of a longer time than five minutes.
        window.readings.clear()
        with contextlib.suppress(StoreUnavailable), self.store.transaction() as connection:
            window.readings.extend(self.store.readings(connection, mono))
