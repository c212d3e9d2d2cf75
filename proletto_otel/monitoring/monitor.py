"""`monitor`: thresholds, health checks and gauges to register, and what is known to read.

It can be used before `setup_telemetry`: registrations wait until telemetry binds it. Where the
data comes from is handed in as `Inputs`; how it is judged lives in `health` and `alerts`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proletto_otel.core.conventions import Metric
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.registry import Value, registry
from proletto_otel.monitoring.inputs import Inputs
from proletto_otel.monitoring.lazy_start import LazyStart

if TYPE_CHECKING:
    from proletto_otel.alerts.indicators import Indicator
    from proletto_otel.alerts.silences import Silence
    from proletto_otel.alerts.slos import Slo
    from proletto_otel.alerts.thresholds import Threshold
    from proletto_otel.health.checks import Check, CheckFunction
    from proletto_otel.health.states import CheckState, Transition
    from proletto_otel.monitoring.report import Alert, HealthReport
    from proletto_otel.monitoring.runtime import Runtime
    from proletto_otel.notify.notification import Notice

HOUR_S = 3600.0
_GAUGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-/]{0,254}")


class Monitor:
    """Everything about the service's health in one place; `monitor` is the process's one."""

    def __init__(self) -> None:
        self._thresholds: dict[str, Threshold] = {}
        self._checks: dict[str, Check] = {}
        self._gauges: dict[str, Indicator] = {}
        self._slos: dict[str, Slo] = {}
        self._runtime: Runtime | None = None
        self._later: LazyStart | None = None

    # --- registering ----------------------------------------------------------------------------
    def register_threshold(
        self, metric: str, warning_threshold: float | None = None,
        critical_threshold: float | None = None, duration: float = 0, *,
        direction: str = "", min_requests: int = 0, name: str = "", reason: str = "",
    ) -> Threshold:  # fmt: skip
        """Tell people when *metric* stays strictly beyond a limit.

        Args:
            metric: `cpu_percent`, `memory_percent`, `disk_percent` (0 to 100), `open_files`,
                `network_connections`, `load_1`, `load_5`, `load_15`, `error_rate` (0 to 100),
                `response_time_avg`, `response_time_p95` (seconds), or a registered gauge.
            warning_threshold: limit of a warning, in the metric's unit.
            critical_threshold: limit of a critical alert.
            duration: seconds without a break that the value must be beyond the limit.
            direction: `above` or `below`; by default what the metric's meaning says.
            min_requests: request metrics: no verdict with fewer requests in five minutes.
            name: for a second threshold on the same metric; the same name again replaces.
            reason: why these numbers, for those who are woken by them.

        Returns:
            The threshold as it was understood.

        Raises:
            ConfigError: for an unknown metric or limits that cannot work.

        >>> monitor.register_threshold(metric="cpu_percent", warning_threshold=80).duration
        0
        """
        from proletto_otel.alerts.thresholds import Threshold

        indicator = self._known(metric)
        made = Threshold(
            metric=metric, warning=warning_threshold, critical=critical_threshold,
            duration=duration, direction=direction or indicator.direction, name=name,
            min_requests=min_requests, reason=reason,
        )  # fmt: skip
        self._thresholds = {**self._thresholds, made.name: made}
        return made

    def register_slo(
        self, name: str, objective: float = 0.999, sli: str = "availability", *,
        latency_threshold: float | None = None, route: str = "",
    ) -> Slo:  # fmt: skip
        """Promise a share of good requests over 30 days; the same name again replaces.

        The alert rules come from `python -m proletto_otel alert-rules`.

        Args:
            name: what messages and dashboards call it.
            objective: the share of good requests, between 0 and 1.
            sli: `availability` (a 5xx is bad) or `latency` (a slow request is bad too).
            latency_threshold: seconds, an edge of the latency histogram's buckets.
            route: only requests of this route.

        Raises:
            ConfigError: for an argument that does not fit.

        >>> monitor.register_slo("availability", objective=0.999).sli
        'availability'
        """
        from proletto_otel.alerts.slos import Slo

        made = Slo(
            name=name, objective=objective, sli=sli, latency_threshold=latency_threshold,
            route=route,
        )  # fmt: skip
        self._slos = {**self._slos, made.name: made}
        return made

    def register_health_check(
        self, name: str, check: CheckFunction, critical: bool = True, timeout: float = 2,
        degraded_above: float | None = None,
    ) -> Check:  # fmt: skip
        """Watch something the service depends on; the same name again replaces.

        Args:
            name: what people and metrics call it.
            check: function without arguments, sync or async; returns a bool, None (healthy), a
                status word or a `HealthResult`, or raises. Ready-made: `database_check(db)`,
                `redis_check(url)`, `http_check(url)`, `disk_check(path)`, `tcp_check(host, port)`.
            critical: whether `/readyz` answers 503 while it is unhealthy.
            timeout: seconds it may take, at most 60; longer is a failure.
            degraded_above: seconds above which a success counts as degraded.

        Raises:
            ConfigError: for an argument that does not fit.
        """
        from proletto_otel.health.checks import Check

        made = Check(
            name=name, function=check, critical=critical, timeout=timeout,
            degraded_above=degraded_above,
        )  # fmt: skip
        self._checks = {**self._checks, made.name: made}
        if self._runtime is not None:
            self._runtime.engine.register(made)
        return made

    def register_gauge(
        self, name: str, read: Callable[[], float | None], *, unit: str = "", title: str = ""
    ) -> None:
        """Measure something of your own; it can have thresholds and is exported as a metric.

        Args:
            name: `queue_depth`; letters, digits and `_ . - /`.
            read: returns the present value, or None when there is none. Called off the request
                path, in each worker; a threshold looks at the worst worker.
            unit: shown behind the value: `s`, `By`, `%`, `{job}`.
            title: how a message begins; the name by default.

        Raises:
            ConfigError: for a name that does not fit or is taken.
        """
        from proletto_otel.alerts.indicators import INDICATORS, gauge

        if not isinstance(name, str) or not _GAUGE_NAME.fullmatch(name):
            raise ConfigError.of("name", name, "a letter, then letters, digits and _ . - /")
        if name in INDICATORS:
            raise ConfigError.of("name", name, "a name that is not built in")
        if not callable(read):
            raise ConfigError.of("read", read, "a function without arguments")
        self._gauges = {**self._gauges, name: gauge(name, unit, title)}
        metric = Metric(name=name, kind="gauge", unit=unit, description=title or name)
        registry.observe(metric, lambda: _observed(read))

    def unregister(self, name: str) -> None:
        """Take a threshold, an objective, a health check or a gauge away."""
        self._slos = {n: slo for n, slo in self._slos.items() if n != name}
        self._thresholds = {n: t for n, t in self._thresholds.items() if n != name}
        if name in self._gauges:
            self._gauges = {n: g for n, g in self._gauges.items() if n != name}
            registry.forget(Metric(name=name, kind="gauge", unit="", description=""))
        if name in self._checks:
            self._checks = {n: c for n, c in self._checks.items() if n != name}
            if self._runtime is not None:
                self._runtime.engine.unregister(name)

    # --- reading --------------------------------------------------------------------------------
    def get_system_metrics(self) -> dict[str, float | None]:
        """The host's present values by metric name; None where the system does not tell."""
        return runtime.system() if (runtime := self._live()) is not None else {}

    def get_api_metrics(self) -> Mapping[str, Any]:
        """Requests of all workers: `total` and one entry per endpoint under `endpoints`."""
        return (
            runtime.api()
            if (runtime := self._live()) is not None
            else {"total": {}, "endpoints": []}
        )

    def get_health(self) -> HealthReport:
        """The service's health and every check's; runs checks only when nobody did lately."""
        if (runtime := self._live()) is not None:
            return runtime.health()
        from proletto_otel.monitoring.report import HealthReport

        return HealthReport(status="healthy", ready=True, checks=())

    def get_check_states(self) -> list[CheckState]:
        """Every check's present state, for probes; at most a second old."""
        return runtime.engine.states() if (runtime := self._live()) is not None else []

    def get_alerts(self, firing: bool = False) -> list[Alert]:
        """Every threshold and its state; only the *firing* ones if asked. Worst first."""
        found = runtime.alerts() if (runtime := self._live()) is not None else []
        return [alert for alert in found if alert.state == "firing" or not firing]

    def get_notices(self, limit: int = 100) -> list[Notice]:
        """What people were told about alerts, newest first."""
        return runtime.shared_alerts.events(limit) if (runtime := self._live()) is not None else []

    def get_errors(self, limit: int = 50) -> list[Mapping[str, Any]]:
        """Groups of errors, the latest first."""
        return list(runtime.errors(limit)) if (runtime := self._live()) is not None else []

    def history(self, metric: str, since: float = HOUR_S) -> list[tuple[float, float]]:
        """Past values of *metric* as (unix time in seconds, value), oldest first.

        Args:
            metric: as for `register_threshold`.
            since: seconds back from now; values above 1e9 are unix times.

        Raises:
            ConfigError: for an unknown metric.
        """
        self._known(metric)
        begin = since if since > 1e9 else time.time() - since
        return runtime.history(metric, begin) if (runtime := self._live()) is not None else []

    def health_history(self, check: str, since: float = 0.0) -> list[Transition]:
        """Changes of a check's status, oldest first; *since* is a unix time in seconds."""
        return runtime.engine.history(check, since) if (runtime := self._live()) is not None else []

    def get_slos(self) -> list[Slo]:
        """The registered objectives."""
        return list(self._slos.values())

    # --- silencing ------------------------------------------------------------------------------
    def silence(self, name: str, seconds: float, by: str, reason: str = "") -> Silence | None:
        """Tell nobody about the alert *name* (`*`: about any) for so many *seconds*.

        Returns:
            The silence; None when it could not be kept (no telemetry, no store).

        Raises:
            ConfigError: for an unknown alert, no person, or a time that does not fit.
        """
        from proletto_otel.alerts.silences import SILENCE

        return self._keep(name, SILENCE, seconds, by, reason)

    def acknowledge(
        self, name: str, by: str, seconds: float = 4 * HOUR_S, reason: str = ""
    ) -> Silence | None:
        """Say that *by* works on the alert *name*: nothing new is told unless it gets worse.

        Returns:
            The acknowledgement; None when it could not be kept.

        Raises:
            ConfigError: for an unknown alert, no person, or a time that does not fit.
        """
        from proletto_otel.alerts.silences import ACKNOWLEDGE

        return self._keep(name, ACKNOWLEDGE, seconds, by, reason)

    def unsilence(self, name: str) -> bool:
        """End silence and acknowledgement of *name*; return whether there was one."""
        runtime = self._live()
        return runtime is not None and runtime.end_silences(name)

    def get_silences(self) -> list[Silence]:
        """Silences and acknowledgements that hold."""
        return runtime.shared_alerts.silences() if (runtime := self._live()) is not None else []

    # --- for telemetry --------------------------------------------------------------------------
    def _bind(self, sources: Inputs) -> list[Any]:
        """Begin with *sources*; return the components whose life telemetry rules."""
        from proletto_otel.monitoring.runtime import Runtime

        self._close()
        self._runtime = Runtime(
            sources, lambda: self._thresholds, self._indicator, lambda: self._gauges
        )
        for check in self._checks.values():
            self._runtime.engine.register(check)
        return self._runtime.components

    def _bind_later(self, sources: Inputs, adopt: Callable[[Any], None]) -> list[Any]:
        """As `_bind`, once this process serves or somebody asks; *adopt* gets the components."""
        self._unbind()
        self._later = LazyStart(sources, lambda: self._bind(sources), adopt)
        return [self._later]

    def _live(self) -> Runtime | None:
        if self._runtime is None and self._later is not None:
            self._later.begin()
        return self._runtime

    def _unbind(self) -> None:
        """Forget the sources; registrations stay."""
        self._later = None
        self._close()

    def _close(self) -> None:
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None

    def _reset(self) -> None:
        """Forget everything (tests)."""
        self._unbind()
        for name in list(self._gauges):
            self.unregister(name)
        self._thresholds, self._checks, self._slos = {}, {}, {}

    def _known(self, metric: Any) -> Indicator:
        from proletto_otel.alerts.indicators import HEALTH_PREFIX, INDICATORS, gauge

        names = [*INDICATORS, *self._gauges]
        if isinstance(metric, str):
            if metric in names or metric in {HEALTH_PREFIX + name for name in self._checks}:
                return self._indicator(metric)
            if (runtime := self._live()) is not None and metric in runtime.exported_gauges():
                return gauge(metric)
        raise ConfigError(
            f"metric={metric!r}: expected one of {', '.join(names)}, or a gauge that was "
            "registered before (monitor.register_gauge)"
        )

    def _indicator(self, metric: str) -> Indicator:
        from proletto_otel.alerts.indicators import HEALTH_PREFIX, INDICATORS, gauge, health

        if metric.startswith(HEALTH_PREFIX):
            return health(metric.removeprefix(HEALTH_PREFIX))
        return INDICATORS.get(metric) or self._gauges.get(metric) or gauge(metric)

    def _keep(self, name: str, kind: str, seconds: float, by: str, reason: str) -> Silence | None:
        from proletto_otel.alerts.silences import EVERYTHING, checked
        from proletto_otel.core.severity import CRITICAL

        runtime = self._live()
        if runtime is None:
            return None
        known = {alert.name: alert for alert in runtime.alerts()}
        if name != EVERYTHING and name not in known:
            raise ConfigError(f"name={name!r}: expected * or one of {', '.join(known)}")
        level = known[name].severity if name in known else CRITICAL
        made = checked(name, kind, seconds, by, reason, level=level, at=time.time())
        return made if runtime.keep_silence(made) else None


def _observed(read: Callable[[], float | None]) -> Sequence[tuple[tuple[Value, ...], float]]:
    with suppressed("gauge.read"):
        value = read()
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return [((), float(value))]
    return []


monitor = Monitor()
"""The process's monitor."""
