"""Alert and check states as metrics: `proletto.alert.state`, `proletto.health.check.*`.

Each process exports what it evaluates itself (`monitoring.shares`), so one speaks for each.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from proletto_otel.alerts.evaluator import Evaluator
from proletto_otel.alerts.indicators import Indicator
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.conventions import ALERT_STATE, HEALTH_CHECK_DURATION, HEALTH_CHECK_STATUS
from proletto_otel.core.metrics.registry import Observations, registry
from proletto_otel.core.severity import CRITICAL, WARNING
from proletto_otel.health.engine import HealthEngine
from proletto_otel.health.results import STATUSES
from proletto_otel.health.states import CheckState


class ExportedStates:
    """Lets the registry read the states until `close`."""

    def __init__(
        self, engine: HealthEngine, evaluator: Evaluator,
        thresholds: Callable[[], Sequence[Threshold]], shares: Container[str],
        indicator: Callable[[str], Indicator],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._evaluator = evaluator
        self._thresholds = thresholds
        self._shares = shares
        self._indicator = indicator
        registry.observe(HEALTH_CHECK_STATUS, self._check_states)
        registry.observe(HEALTH_CHECK_DURATION, self._check_durations)
        registry.observe(ALERT_STATE, self._alert_states)

    def close(self) -> None:
        """Take the gauges out of the registry."""
        for metric in (HEALTH_CHECK_STATUS, HEALTH_CHECK_DURATION, ALERT_STATE):
            registry.forget(metric)

    def _check_states(self) -> Observations:
        for state in self._checks():
            # One series for each word, 0 or 1: Prometheus has no texts as values, and a status that
            # ended goes to 0 instead of staying as it was.
            for word in STATUSES:
                critical = "true" if state.critical else "false"
                yield (state.name, word, critical), float(state.status == word)

    def _check_durations(self) -> Observations:
        for state in self._checks():
            yield (state.name,), state.duration_s

    def _checks(self) -> list[CheckState]:
        # `known` and not `states`, which may run checks: a scrape must not wait for a database.
        return [s for s in self._engine.known() if f"check:{s.name}" in self._shares]

    def _alert_states(self) -> Iterator[tuple[tuple[str, str, str], float]]:
        own = self._evaluator.own
        # Who evaluates nothing, as every worker but one, need not find out what it would evaluate.
        for threshold in self._thresholds() if own else ():
            state = own.get(threshold.name)
            for level in (WARNING, CRITICAL):
                if state is not None and threshold.limit(level) is not None:
                    alert = self._indicator(threshold.metric).alert
                    yield (alert, threshold.name, level), float(state.level == level)
