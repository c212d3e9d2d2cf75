"""Health and alerts put together and running: engine, evaluator, notifiers, gauges, ticker jobs.

`monitoring.monitor` keeps the registrations; this is what they become once telemetry is set up.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from proletto_otel.alerts import defaults
from proletto_otel.alerts.evaluator import Evaluator, Watched
from proletto_otel.alerts.indicators import HEALTH_PREFIX, INDICATORS
from proletto_otel.alerts.notices import Origin
from proletto_otel.alerts.readings import Readings
from proletto_otel.alerts.silences import ACKNOWLEDGE, SILENCE, Silence
from proletto_otel.alerts.states import AlertState
from proletto_otel.alerts.store import AlertStore
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.conventions import ALERT_STATE, HEALTH_CHECK_DURATION, HEALTH_CHECK_STATUS
from proletto_otel.core.metrics.registry import Observations, registry
from proletto_otel.core.severity import CRITICAL, RANK, WARNING
from proletto_otel.health import probes
from proletto_otel.health.checks import Check
from proletto_otel.health.engine import HealthEngine, Schedule
from proletto_otel.health.results import STATUSES
from proletto_otel.health.states import Rules
from proletto_otel.health.store import HealthStore
from proletto_otel.monitoring import report
from proletto_otel.monitoring.inputs import Inputs
from proletto_otel.monitoring.registrations import Registrations
from proletto_otel.monitoring.request_summary import OwnRoutes, endpoint, facts, total
from proletto_otel.notify import channels
from proletto_otel.notify.notifier import Notifier
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state.store import StoreUnavailable

STALE_MARGIN_S = 10.0
"""A scheduled result is believed for two intervals and this much more."""

EVALUATE = "alerts.evaluate"
CHECK = "health.round"
KEEP = "alerts.samples"


class Runtime:
    """What registrations become once telemetry hands its `Inputs` in."""

    def __init__(self, inputs: Inputs, registrations: Registrations) -> None:
        self.inputs = inputs
        self._registrations = registrations
        config = inputs.config
        self._defaults = defaults.for_this_machine() if config.default_thresholds else []
        self.engine = _engine(inputs)
        for check in registrations.checks.values():
            self.engine.register(check)
        self.alert_store = AlertStore(inputs.store)
        built = channels.build(
            channels.Needs(config=config, log=inputs.log, slack=inputs.slack, email=inputs.email)
        )
        self.notifiers = [Notifier(channel, self.alert_store.outbox) for channel in built]
        self.evaluator = self._evaluator()
        self._schedule()
        self._measure()

    @property
    def components(self) -> list[Component]:
        """What telemetry starts, stops and tells of forks."""
        return [self.engine, self.evaluator, *self.notifiers]

    def close(self) -> None:
        """Stop jobs and gauges."""
        for job in (EVALUATE, CHECK, KEEP):
            self.inputs.cancel(job)
        for metric in (HEALTH_CHECK_STATUS, HEALTH_CHECK_DURATION, ALERT_STATE):
            registry.forget(metric)

    def thresholds(self) -> list[Threshold]:
        """Registered ones, defaults for metrics without one, and one per health check."""
        registered = self._registrations.thresholds.values()
        checks = [(check.name, check.critical) for check in self.engine.checks]
        return defaults.in_force(registered, self._defaults, checks)

    # --- registrations that come later ---------------------------------------------------------
    def check_registered(self, check: Check) -> None:
        """Run *check* from now on."""
        self.engine.register(check)

    def check_unregistered(self, name: str) -> None:
        """Forget a check and its state."""
        self.engine.unregister(name)

    # --- what pages and programs read -----------------------------------------------------------
    def system(self) -> dict[str, float | None]:
        """The host's present values."""
        return dict(self.inputs.system())

    def api(self) -> dict[str, Any]:
        """Requests in all and by endpoint."""
        routes = list(self.inputs.routes())
        return {"total": total(routes), "endpoints": [endpoint(r) for r in routes]}

    def health(self) -> report.HealthReport:
        """The service's health and every check's."""
        states = self.engine.states()
        return report.HealthReport(
            status=probes.overall(states),
            ready=probes.ready(states),
            checks=tuple(report.check(s, self.engine.uptime(s)) for s in states),
        )

    def alerts(self) -> list[report.Alert]:
        """Every threshold and what is known about it, worst first."""
        states = self.alert_store.peek() or self.evaluator.own
        silences = self.alert_store.silences()
        found = [
            report.alert(
                t,
                self._registrations.indicator(t.metric),
                states.get(t.name) or AlertState(name=t.name),
                silences,
            )
            for t in self.thresholds()
        ]
        return sorted(found, key=lambda a: (-RANK[a.severity], a.state != "pending", a.name))

    def errors(self, limit: int) -> list[Mapping[str, Any]]:
        """The latest error groups."""
        return list(self.inputs.errors(limit))

    def history(self, metric: str, begin: float) -> list[tuple[float, float]]:
        """Samples of a metric since a unix time."""
        return list(self.inputs.history(metric, begin))

    def exported_gauges(self) -> set[str]:
        """Names of gauges that are exported, those of `telemetry.meter` included."""
        return {f.name for f in self.inputs.families() if f.kind in ("gauge", "updown")}

    # --- what people do -------------------------------------------------------------------------
    def keep_silence(self, silence: Silence) -> bool:
        """Keep a silence; False when there is no store for it."""
        with contextlib.suppress(StoreUnavailable):
            self.alert_store.keep_silence(silence)
            return True
        return False

    def end_silences(self, name: str) -> bool:
        """End silence and acknowledgement of *name*; return whether there was one."""
        ended = False
        with contextlib.suppress(StoreUnavailable):
            for kind in (SILENCE, ACKNOWLEDGE):
                ended = self.alert_store.end_silence(name, kind) or ended
        return ended

    # --- assembly -------------------------------------------------------------------------------
    def _evaluator(self) -> Evaluator:
        config = self.inputs.config
        readings = Readings(
            system=self.inputs.system,
            families=self.inputs.families,
            health=self.engine.known,
            excluded_routes=OwnRoutes(config.metrics_path, config.admin_prefix),
        )
        origin = Origin(
            service=config.service_name,
            environment=config.environment,
            host=self.inputs.host,
            dashboard_url=config.dashboard_url,
            runbook_url=config.runbook_url,
            trace_url=config.trace_url,
        )
        watched = Watched(
            thresholds=self.thresholds,
            indicator=self._registrations.indicator,
            facts=self._facts,
        )
        return Evaluator(
            self.alert_store, readings, self.notifiers, origin, watched,
            repeat_s=config.alert_repeat_s,
        )  # fmt: skip

    def _schedule(self) -> None:
        config, every = self.inputs.config, self.inputs.every
        if config.monitor_scheduled_checks:
            seconds = config.monitor_health_check_interval
            every(seconds, CHECK, self.engine.run_scheduled, leader=True)
        every(config.alert_interval_s, EVALUATE, self.evaluator.tick, leader=True)
        if self.inputs.keep is not None:
            every(config.monitor_sample_interval, KEEP, self._keep_samples, leader=True)

    def _keep_samples(self) -> None:
        """Remember the requests' indicators and the registered gauges for `history`."""
        reading, keep = self.evaluator.last, self.inputs.keep
        names = [i.name for i in INDICATORS.values() if i.requests] + list(
            self._registrations.gauges
        )
        if reading is not None and keep is not None:
            keep(
                time.time(),
                {name: reading.value(Threshold(metric=name, warning=0)) for name in names},
            )

    def _measure(self) -> None:
        registry.observe(HEALTH_CHECK_STATUS, self._check_states)
        registry.observe(HEALTH_CHECK_DURATION, self._check_durations)
        registry.observe(ALERT_STATE, self._alert_states)

    def _check_states(self) -> Observations:
        """Only the leader speaks for the host."""
        for state in self.engine.known() if self.inputs.is_leader() else ():
            for word in STATUSES:
                critical = "true" if state.critical else "false"
                yield (state.name, word, critical), float(state.status == word)

    def _check_durations(self) -> Observations:
        for state in self.engine.known() if self.inputs.is_leader() else ():
            yield (state.name,), state.duration_s

    def _alert_states(self) -> Iterator[tuple[tuple[str, str, str], float]]:
        if not self.inputs.is_leader():
            return
        own = self.evaluator.own
        for threshold in self.thresholds():
            state = own.get(threshold.name)
            for level in (WARNING, CRITICAL):
                if state is not None and threshold.limit(level) is not None:
                    alert = self._registrations.indicator(threshold.metric).alert
                    yield (alert, threshold.name, level), float(state.level == level)

    def _facts(self, threshold: Threshold) -> dict[str, str]:
        """What helps to find the cause: a check's message, a request to look at."""
        metric = threshold.metric
        if metric.startswith(HEALTH_PREFIX):
            known = {s.name: s for s in self.engine.known()}
            state = known.get(metric.removeprefix(HEALTH_PREFIX))
            return {"message": state.message} if state is not None else {}
        indicator = INDICATORS.get(metric)
        if indicator is None or not indicator.requests:
            return {}
        return facts(list(self.inputs.routes()), slow=metric != "error_rate")


def _engine(inputs: Inputs) -> HealthEngine:
    config = inputs.config
    interval = config.monitor_health_check_interval
    rules = Rules(
        failures=config.monitor_unhealthy_threshold, stale_after_s=2 * interval + STALE_MARGIN_S
    )
    schedule = Schedule(enabled=config.monitor_scheduled_checks, interval_s=interval)
    return HealthEngine(HealthStore(inputs.store, rules), schedule, redact=inputs.redact)
