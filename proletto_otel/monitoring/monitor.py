"""`monitor`: thresholds, health checks and gauges to register, and what is known to read.

It can be used before `setup_telemetry`: registrations wait until telemetry binds it. Where the
data comes from is handed in as `Inputs`; how it is judged lives in `health` and `alerts`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from proletto_otel.core.errors import ConfigError
from proletto_otel.monitoring.inputs import Inputs
from proletto_otel.monitoring.lazy_start import LazyStart
from proletto_otel.monitoring.past_reads import PastReads
from proletto_otel.monitoring.registrations import Registrations

if TYPE_CHECKING:
    from proletto_otel.alerts.notices import PastNotice
    from proletto_otel.alerts.silences import Silence
    from proletto_otel.alerts.slos import Slo
    from proletto_otel.errors.groups import ErrorGroups
    from proletto_otel.health.states import CheckState, Transition
    from proletto_otel.logs.search.search import LogSearch
    from proletto_otel.logs.shared_levels import SharedLevels
    from proletto_otel.monitoring.report import Alert, ChannelReport, GaugeReport, HealthReport
    from proletto_otel.monitoring.runtime import Runtime
    from proletto_otel.runtime.lifecycle import Component
    from proletto_otel.state.thread_dumps import ThreadDumps

HOUR_S = 3600.0


class Monitor(PastReads):
    """Everything about the service's health in one place; `monitor` is the process's one."""

    def __init__(self) -> None:
        super().__init__()
        self.binding = Binding(self)

    # --- reading --------------------------------------------------------------------------------
    def get_system_metrics(self) -> dict[str, float | None]:
        """The host's present values by metric name; None where the system does not tell."""
        return runtime.system() if (runtime := self.live()) is not None else {}

    def get_api_metrics(self) -> Mapping[str, Any]:
        """Requests of all workers: `total` and one entry per endpoint under `endpoints`."""
        return (
            runtime.api()
            if (runtime := self.live()) is not None
            else {"total": {}, "endpoints": []}
        )

    def get_health(self) -> HealthReport:
        """The service's health and every check's; runs checks only when nobody did lately."""
        if (runtime := self.live()) is not None:
            return runtime.health()
        from proletto_otel.monitoring.report import HealthReport

        # Nothing is checked yet, so nothing is known to be ill; probes may come before the set-up.
        return HealthReport(status="healthy", ready=True, checks=())

    def get_check_states(self) -> list[CheckState]:
        """Every check's present state, for probes; at most a second old."""
        return runtime.engine.states() if (runtime := self.live()) is not None else []

    def get_alerts(self, firing: bool = False) -> list[Alert]:
        """Every threshold and its state; only the *firing* ones if asked. Worst first."""
        found = runtime.alerts() if (runtime := self.live()) is not None else []
        return [alert for alert in found if alert.state == "firing" or not firing]

    def get_notices(self, limit: int = 100) -> list[PastNotice]:
        """The notices about alerts, newest first."""
        return runtime.alert_store.events(limit) if (runtime := self.live()) is not None else []

    def get_errors(self, limit: int = 50) -> list[Mapping[str, Any]]:
        """Groups of errors, the latest first."""
        return list(runtime.errors(limit)) if (runtime := self.live()) is not None else []

    @property
    def errors(self) -> ErrorGroups:
        """The host's error groups with their occurrences; empty before telemetry is set up."""
        runtime = self.live()
        if runtime is not None and runtime.inputs.error_groups is not None:
            return runtime.inputs.error_groups
        from proletto_otel.errors.groups import ErrorGroups
        from proletto_otel.state.store import Store

        return ErrorGroups(Store(None))

    @property
    def logs(self) -> LogSearch:
        """Search of the structured log file and its rotated files."""
        runtime = self.live()
        if runtime is not None and runtime.inputs.log_search is not None:
            return runtime.inputs.log_search()
        from proletto_otel.logs.search.search import LogSearch

        return LogSearch(None, "telemetry is not set up")

    @property
    def log_levels(self) -> SharedLevels | None:
        """Levels of loggers for all workers, for a while; None before telemetry is set up."""
        return runtime.inputs.log_levels if (runtime := self.live()) is not None else None

    @property
    def thread_dumps(self) -> ThreadDumps | None:
        """Stacks of any worker's threads; None before telemetry is set up."""
        return runtime.inputs.thread_dumps if (runtime := self.live()) is not None else None

    def health_history(self, check: str, since: float = 0.0) -> list[Transition]:
        """Changes of a check's status, oldest first; *since* is a unix time in seconds."""
        return runtime.engine.history(check, since) if (runtime := self.live()) is not None else []

    def get_slos(self) -> list[Slo]:
        """The registered objectives."""
        return list(self.slos.values())

    def get_gauges(self) -> list[GaugeReport]:
        """The registered gauges of this process: last value, its age, what is wrong."""
        from proletto_otel.monitoring.report import GaugeReport

        found = ((name, reader.last()) for name, reader in self.readers.items())
        return [
            GaugeReport(name=name, value=r.value, age_s=r.age_s, error=r.error) for name, r in found
        ]

    # --- silencing ------------------------------------------------------------------------------
    def silence(self, name: str, seconds: float, by: str, reason: str = "") -> Silence | None:
        """Tell nobody about the alert *name* (`*`: about any) for so many *seconds*.

        Returns:
            The silence; None when it could not be stored (no telemetry, no store).

        Raises:
            ConfigError: for an unknown alert, no person, or a time that does not fit.
        """
        from proletto_otel.alerts.silences import SILENCE

        return self._keep(name, SILENCE, seconds, by, reason)

    def acknowledge(
        self, name: str, by: str, seconds: float = 4 * HOUR_S, reason: str = ""
    ) -> Silence | None:
        """Say that *by* works on the alert *name*: no new notification unless it gets worse.

        Returns:
            The acknowledgement; None when it could not be stored.

        Raises:
            ConfigError: for an unknown alert, no person, or a time that does not fit.
        """
        from proletto_otel.alerts.silences import ACKNOWLEDGE

        return self._keep(name, ACKNOWLEDGE, seconds, by, reason)

    def unsilence(self, name: str) -> bool:
        """End silence and acknowledgement of *name*; return whether there was one."""
        runtime = self.live()
        return runtime is not None and runtime.end_silences(name)

    def get_silences(self) -> list[Silence]:
        """Silences and acknowledgements that hold."""
        return runtime.alert_store.silences() if (runtime := self.live()) is not None else []

    # --- channels -------------------------------------------------------------------------------
    def get_channels(self) -> list[ChannelReport]:
        """The ways to reach people, as this process sees them."""
        return runtime.channels() if (runtime := self.live()) is not None else []

    def test_channel(self, name: str, by: str) -> None:
        """Send a test message through a channel; *by* is named in it.

        Raises:
            ConfigError: for a channel that is not set up.
        """
        if (runtime := self.live()) is not None:
            runtime.test_channel(name, by)

    # --- for set-up and tests -------------------------------------------------------------------
    def running(self) -> Runtime | None:
        """What runs now, without starting it; None before telemetry is set up."""
        return self.binding.runtime

    def live(self) -> Runtime | None:
        """What runs, started now if it waits to be; None before telemetry is set up."""
        return self.binding.started()

    def surroundings(self) -> AbstractContextManager[object]:
        """What gauges are read inside of."""
        return self.binding.surroundings()

    def reset(self) -> None:
        """Forget the inputs and every registration (tests)."""
        self.binding.release()
        for name in list(self.gauges):
            self.unregister(name)
        self.thresholds, self.checks, self.slos = {}, {}, {}

    def _keep(self, name: str, kind: str, seconds: float, by: str, reason: str) -> Silence | None:
        from proletto_otel.alerts.silences import EVERYTHING, checked
        from proletto_otel.core.severity import CRITICAL

        runtime = self.live()
        if runtime is None:
            return None
        known = {alert.name: alert for alert in runtime.alerts()}
        if name != EVERYTHING and name not in known:
            raise ConfigError(f"name={name!r}: expected * or one of {', '.join(known)}")
        level = known[name].severity if name in known else CRITICAL
        # The level as it is now: an acknowledged warning that becomes critical is notified.
        made = checked(name, kind, seconds, by, reason, level=level, at=time.time())
        return made if runtime.keep_silence(made) else None


class Binding:
    """Joins a monitor's registrations with the telemetry of this process; set-up calls it."""

    def __init__(self, registrations: Registrations) -> None:
        self._registrations = registrations
        self._lazy: LazyStart | None = None
        self._context: WeakMethod[Callable[[], AbstractContextManager[object]]] | None = None
        self.runtime: Runtime | None = None
        """What runs; None before the set-up, and until a lazy start begins."""

    def now(self, inputs: Inputs) -> list[Component]:
        """Begin with *inputs*; return the components that telemetry starts and stops."""
        from proletto_otel.monitoring.runtime import Runtime

        self._close()
        # Registrations were made before, at import, and outlive this: a second set-up uses them
        # again.
        self.runtime = Runtime(inputs, self._registrations)
        return self.runtime.components

    def later(self, inputs: Inputs, adopt: Callable[[Component], None]) -> list[Component]:
        """As `now`, once this process serves or somebody asks; *adopt* gets the components."""
        self.release()
        self._lazy = LazyStart(inputs, lambda: self.now(inputs), adopt)
        return [self._lazy]

    def started(self) -> Runtime | None:
        """The running monitoring; a lazy start begins now."""
        if self.runtime is None and self._lazy is not None:
            self._lazy.begin()
        return self.runtime

    def use_context(self, make: Callable[[], AbstractContextManager[object]]) -> None:
        """Read gauges inside of what *make*, a method, makes; the first living one counts."""
        if self._context is None or self._context() is None:
            self._context = WeakMethod(make)  # no application lives longer because of us

    def surroundings(self) -> AbstractContextManager[object]:
        """What `use_context` was given, or nothing."""
        make = self._context() if self._context is not None else None
        return make() if make is not None else nullcontext()

    def release(self) -> None:
        """Forget the inputs; registrations stay."""
        self._lazy = self._context = None
        self._close()

    def _close(self) -> None:
        if self.runtime is not None:
            self.runtime.close()
            self.runtime = None


monitor = Monitor()
"""The process's monitor."""
