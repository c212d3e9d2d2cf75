"""Registrations: the thresholds, health checks and gauges that a program asked for.

They can be made before telemetry is set up, and they outlive it. What they become once telemetry
runs lives in `monitoring.runtime`.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from proletto_otel.core.conventions import Metric
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.metrics.registry import registry
from proletto_otel.runtime.bounded_read import BoundedRead

if TYPE_CHECKING:
    from proletto_otel.alerts.indicators import Indicator
    from proletto_otel.alerts.slos import Slo
    from proletto_otel.alerts.thresholds import Threshold
    from proletto_otel.health.checks import Check, CheckFunction

_GAUGE_NAME = lazy_pattern(r"[A-Za-z][A-Za-z0-9_.\-/]{0,254}")


class Live(Protocol):
    """What runs already and has to hear of a registration that comes later."""

    def check_registered(self, check: Check) -> None: ...
    def check_unregistered(self, name: str) -> None: ...
    def exported_gauges(self) -> Iterable[str]: ...


class Registrations:
    """What was registered, by name; the same name again replaces."""

    def __init__(self) -> None:
        # replaced, never changed in place: the evaluator reads them on another thread
        self.thresholds: Mapping[str, Threshold] = {}
        self.checks: Mapping[str, Check] = {}
        self.gauges: Mapping[str, Indicator] = {}
        self.readers: Mapping[str, BoundedRead[float | None]] = {}
        """What reads each gauge."""
        self.slos: Mapping[str, Slo] = {}

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

        indicator = self.known(metric)
        made = Threshold(
            metric=metric, warning=warning_threshold, critical=critical_threshold,
            duration=duration, direction=direction or indicator.direction, name=name,
            min_requests=min_requests, reason=reason,
        )  # fmt: skip
        if indicator.unit == "%" and made.looks_like_ratio:
            log_rate_limited(
                f"threshold.{made.name}",
                "threshold %s: its unit is per cent, 0 to 100; limits of at most 1 look like a "
                "share: 80 for four fifths, not 0.8",
                made.name,
            )
        self.thresholds = {**self.thresholds, made.name: made}
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
        self.slos = {**self.slos, made.name: made}
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
        self.checks = {**self.checks, made.name: made}
        if (running := self.running()) is not None:
            running.check_registered(made)
        return made

    def register_gauge(
        self, name: str, read: Callable[[], float | None], *, unit: str = "", title: str = ""
    ) -> None:
        """Measure something of your own; it can have thresholds and is exported as a metric.

        Args:
            name: `queue_depth`; of A-Z, a-z, 0-9 and `_ . - /`, the first not a digit.
            read: returns the present value (any real number), or None when there is none. Called
                in each worker about twice a second, on a thread of its own inside the application's
                context, and given one second; a threshold compares the worst worker.
            unit: shown after the value: `s`, `By`, `%`, `{job}`.
            title: how a message begins; the name by default.

        Raises:
            ConfigError: for a name that does not fit or is taken.
        """
        from proletto_otel.alerts.indicators import INDICATORS, gauge

        if not isinstance(name, str) or not _GAUGE_NAME.fullmatch(name):
            raise ConfigError.of("name", name, "A-Z or a-z, then A-Z, a-z, 0-9 and _ . - /")
        if name in INDICATORS:
            raise ConfigError.of("name", name, "a name that is not built in")
        if not callable(read):
            raise ConfigError.of("read", read, "a function without arguments")
        self.gauges = {**self.gauges, name: gauge(name, unit, title)}
        metric = Metric(name=name, kind="gauge", unit=unit, description=title or name)
        # Bounded, because a function of the application may hang, and a scrape must not.
        reader = BoundedRead(f"gauge {name}", lambda: self._number(read))
        self.readers = {**self.readers, name: reader}
        registry.observe(
            metric, lambda: [((), value)] if (value := reader.read()) is not None else []
        )

    def unregister(self, name: str) -> None:
        """Take a threshold, an objective, a health check or a gauge away."""
        self.slos = {n: slo for n, slo in self.slos.items() if n != name}
        self.thresholds = {n: t for n, t in self.thresholds.items() if n != name}
        if name in self.gauges:
            self.gauges = {n: g for n, g in self.gauges.items() if n != name}
            self.readers = {n: r for n, r in self.readers.items() if n != name}
            # From the registry, too: each scrape would go on calling the function.
            registry.forget(Metric(name=name, kind="gauge", unit="", description=""))
        if name in self.checks:
            self.checks = {n: c for n, c in self.checks.items() if n != name}
            if (running := self.running()) is not None:
                running.check_unregistered(name)

    # --- for the rest of monitoring -------------------------------------------------------------
    def running(self) -> Live | None:
        """What runs now, without starting it; None before telemetry is set up."""
        return None

    def live(self) -> Live | None:
        """As `running`, but started if it waits to be."""
        return self.running()

    def surroundings(self) -> AbstractContextManager[object]:
        """What gauges are read inside of: the application's context, once there is one."""
        return nullcontext()

    def _number(self, read: Callable[[], object]) -> float | None:
        with self.surroundings():
            value = read()
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
            raise TypeError(f"expected a number or None, got {type(value).__name__}")
        return float(value)

    def indicator(self, metric: str) -> Indicator:
        """What *metric* means: built in, a registered gauge, a health check, or any gauge."""
        from proletto_otel.alerts.indicators import (
            HEALTH_PREFIX,
            INDICATORS,
            NOT_EVALUATED,
            UNEVALUATED,
            gauge,
            health,
        )

        if metric == UNEVALUATED:
            return NOT_EVALUATED
        if metric.startswith(HEALTH_PREFIX):
            return health(metric.removeprefix(HEALTH_PREFIX))
        return INDICATORS.get(metric) or self.gauges.get(metric) or gauge(metric)

    def known(self, metric: Any) -> Indicator:
        """The indicator of *metric*, if there is such a metric.

        Raises:
            ConfigError: naming those that there are.
        """
        from proletto_otel.alerts.indicators import HEALTH_PREFIX, INDICATORS, gauge

        names = [*INDICATORS, *self.gauges]
        if isinstance(metric, str):
            if metric in names or metric in {HEALTH_PREFIX + name for name in self.checks}:
                return self.indicator(metric)
            # Asked last, as it collects every metric: a gauge of `telemetry.meter` may have limits.
            if (live := self.live()) is not None and metric in live.exported_gauges():
                return gauge(metric)
        raise ConfigError(
            f"metric={metric!r}: expected one of {', '.join(names)}, or a gauge that was "
            "registered before (monitor.register_gauge)"
        )
