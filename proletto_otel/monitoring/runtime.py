"""Health and alerts put together and running: engine, evaluator, notifiers, gauges, ticker jobs.

`monitoring.monitor` holds the registrations; this is what they become once telemetry is set up.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from proletto_otel.alerts import defaults
from proletto_otel.alerts.evaluator import Evaluator, Watched
from proletto_otel.alerts.indicators import HEALTH_PREFIX, UNEVALUATED
from proletto_otel.alerts.notices import Origin
from proletto_otel.alerts.readings import Readings
from proletto_otel.alerts.silences import ACKNOWLEDGE, SILENCE, Silence
from proletto_otel.alerts.states import AlertState
from proletto_otel.alerts.store import AlertStore
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.grafana import trace_link
from proletto_otel.core.severity import RANK
from proletto_otel.health import probes
from proletto_otel.health.checks import Check
from proletto_otel.health.engine import RETRY_S
from proletto_otel.monitoring import overview_jobs, report
from proletto_otel.monitoring.causes import Causes
from proletto_otel.monitoring.exported_states import ExportedStates
from proletto_otel.monitoring.health_checks import health_engine
from proletto_otel.monitoring.inputs import Inputs
from proletto_otel.monitoring.past import Past
from proletto_otel.monitoring.registrations import Registrations
from proletto_otel.monitoring.request_summary import (
    OwnRoutes,
    endpoint,
    recent_durations,
    total,
)
from proletto_otel.monitoring.shares import DEFAULT, REGISTERED, Registered, Shares
from proletto_otel.notify import channels
from proletto_otel.notify.notifier import Notifier
from proletto_otel.notify.outbox import OutboxEntry
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state.store import StoreUnavailable

SHARE_S = 1.0
"""How soon another process takes over what a dead one evaluated."""
UNEVALUATED_S = 30.0
"""Age at which a state says nothing any more; at least three intervals."""

MISSING = Threshold(
    metric=UNEVALUATED, name=UNEVALUATED, warning=0, duration=60,
    reason="A threshold or a check that no process evaluates looks as if all were well; "
    "a minute is enough for a restart.",
)  # fmt: skip
"""Of this process alone: Grafana sees that a service is silent by itself."""

SHARE = "monitoring.share"
EVALUATE = "alerts.evaluate"
CHECK = "health.round"
RETRY = "health.retry"
KEEP = "alerts.samples"


class Runtime:
    """What registrations become once telemetry hands its `Inputs` in."""

    def __init__(self, inputs: Inputs, registrations: Registrations) -> None:
        self.inputs = inputs
        self._registrations = registrations
        config = inputs.config
        self._defaults = (
            [*defaults.for_this_machine(), MISSING] if config.default_thresholds else []
        )
        # First: the engine and the evaluator ask the shares what this process evaluates.
        self.shares = Shares(inputs.state, self._registered)
        self.engine = health_engine(inputs, self.shares)
        self._began = time.time()
        for check in registrations.checks.values():
            self.engine.register(check)
        self.alert_store = AlertStore(inputs.store)
        self.past = Past(inputs, self.shares)
        built = channels.build(
            channels.Needs(config=config, log=inputs.log, slack=inputs.slack, email=inputs.email)
        )
        self.notifiers = [Notifier(channel, self.alert_store.outbox) for channel in built]
        self.evaluator = self._evaluator()
        self._schedule()
        # Last: a scrape on another thread reads these gauges as soon as they are registered.
        self._exported = ExportedStates(
            self.engine, self.evaluator, self._evaluated_here, self.shares, registrations.indicator
        )

    @property
    def components(self) -> list[Component]:
        """What telemetry starts, stops and resets after a fork."""
        return [self.shares, self.engine, self.evaluator, *self.notifiers]

    def close(self) -> None:
        """Stop jobs and gauges."""
        for job in (SHARE, EVALUATE, CHECK, RETRY, KEEP, *overview_jobs.JOBS):
            self.inputs.cancel(job)
        self._exported.close()

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
        """Numbers of all requests, and of each endpoint."""
        routes = list(self.inputs.routes())
        return {"total": total(routes), "endpoints": [endpoint(r) for r in routes]}

    def health(self) -> report.HealthReport:
        """The service's health and every check's."""
        states = self.engine.states()
        return report.HealthReport(
            status=probes.overall(states),
            ready=probes.ready(states),
            checks=tuple(report.check(s, self.engine.uptime(s)) for s in states),
            unevaluated=self._unevaluated(),
        )

    def alerts(self) -> list[report.Alert]:
        """Every threshold and what is known about it, worst first."""
        states = self._states()
        silences = self.alert_store.silences()
        found = [
            report.alert(
                t,
                self._registrations.indicator(t.metric),
                states.get(t.name) or AlertState(name=t.name),
                silences,
                evaluated=self._is_evaluated(states.get(t.name) or AlertState(name=t.name)),
            )
            for t in self.thresholds()
        ]
        return sorted(found, key=lambda a: (-RANK[a.severity], a.state != "pending", a.name))

    def _states(self) -> Mapping[str, AlertState]:
        # The store has the states of all processes; where it cannot be used, this process has its
        # own.
        return self.alert_store.peek() or self.evaluator.own

    def _unevaluated(self) -> tuple[str, ...]:
        """What nobody evaluates, of this process's registrations and of others'."""
        states = self._states()
        late = {
            f"threshold:{t.name}"
            for t in self.thresholds()
            if not self._is_evaluated(states.get(t.name) or AlertState(name=t.name))
        }
        return tuple(sorted(late.union(self.shares.missing())))

    def channels(self) -> list[report.ChannelReport]:
        """The ways to reach people."""
        return [report.channel(n.name, n.status()) for n in self.notifiers]

    def test_channel(self, name: str, by: str) -> None:
        """Send a test message through one channel, past the outbox.

        Raises:
            ConfigError: for a channel that is not set up.
        """
        found = {n.name: n for n in self.notifiers}
        if name not in found:
            raise ConfigError.of("channel", name, f"one of {', '.join(found)}")
        made = report.test_message(self.inputs.config.service_name, by, time.time())
        found[name].put(OutboxEntry(None, name, made.at, made))

    def errors(self, limit: int) -> list[Mapping[str, Any]]:
        """The latest error groups."""
        return list(self.inputs.errors(limit))

    def exported_gauges(self) -> set[str]:
        """Names of gauges that are exported, those of `telemetry.meter` included."""
        return {f.name for f in self.inputs.families() if f.kind in ("gauge", "updown")}

    # --- what people do -------------------------------------------------------------------------
    def keep_silence(self, silence: Silence) -> bool:
        """Store a silence; False when there is no store for it."""
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

    # --- set-up ---------------------------------------------------------------------------------
    def _evaluator(self) -> Evaluator:
        config = self.inputs.config
        own_routes = OwnRoutes(config.metrics_path, config.admin_prefix)
        readings = Readings(
            system=self.inputs.system,
            families=self.inputs.families,
            health=self.engine.known,
            unevaluated=self.shares.missing,
            durations=lambda: recent_durations(self.inputs.routes(), own_routes, time.time()),
            excluded_routes=own_routes,
        )
        origin = Origin(
            service=config.service_name,
            environment=config.environment,
            host=self.inputs.host,
            dashboard_url=config.dashboard_url,
            runbook_url=config.runbook_url,
            trace_url=trace_link(config),
        )
        causes = Causes(
            checks=self.engine.known, routes=self.inputs.routes, unevaluated=self.shares.missing
        )
        watched = Watched(
            thresholds=self._evaluated_here,
            indicator=self._registrations.indicator,
            facts=causes.facts,
        )
        return Evaluator(
            self.alert_store, readings, self.notifiers, origin, watched,
            repeat_s=config.alert_repeat_s,
        )  # fmt: skip

    def _schedule(self) -> None:
        config, every = self.inputs.config, self.inputs.every
        # Every process takes part in the shares, else a follower could not take over. All other
        # jobs run where this process leads.
        every(min(SHARE_S, config.alert_interval_s), SHARE, self.shares.take)
        if config.monitor_scheduled_checks:
            seconds = config.monitor_health_check_interval
            every(seconds, CHECK, self.engine.run_scheduled, when=self._leads)
            every(min(RETRY_S, seconds), RETRY, self.engine.retry_failing, when=self._leads)
        every(config.alert_interval_s, EVALUATE, self._evaluate, when=self._can_evaluate)
        overview_jobs.Preparation(self).schedule()
        if self.inputs.keep is not None:
            own = self._registrations
            every(
                config.monitor_sample_interval,
                KEEP,
                lambda: self.past.keep(self.evaluator.last, own.gauges),
                when=self._leads,
            )

    def _evaluate(self) -> None:
        with self.inputs.one_reading():
            self.evaluator.tick()

    def _leads(self) -> bool:
        return self.shares.leads

    def _can_evaluate(self) -> bool:
        return self.shares.leads and self.inputs.is_system_known()

    def _registered(self) -> Registered:
        """What this process can evaluate, for `monitoring.shares`."""
        own = self._registrations
        found = {"samples:requests": (DEFAULT, "")}
        for t in self.thresholds():
            asked_for = t.name in own.thresholds or t.metric.startswith(HEALTH_PREFIX)
            rank = REGISTERED if asked_for else DEFAULT
            # Without the reason: processes of two releases that only word it differently agree.
            found[f"threshold:{t.name}"] = (rank, repr(replace(t, reason="")))
        for name, check in own.checks.items():
            found[f"check:{name}"] = (REGISTERED, f"{check.critical} {check.timeout}")
        for name in own.gauges:
            found[f"gauge:{name}"] = (REGISTERED, "")
        return found

    def _evaluated_here(self) -> list[Threshold]:
        return [t for t in self.thresholds() if f"threshold:{t.name}" in self.shares]

    def _is_evaluated(self, state: AlertState) -> bool:
        """Whether some process evaluated it lately; a process that just began waits a while."""
        last = max(state.evaluated_at, self._began)
        return time.time() - last <= max(3 * self.inputs.config.alert_interval_s, UNEVALUATED_S)
