"""What a program or a page learns about alerts and health: typed, ready to be shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proletto_otel.alerts.indicators import Indicator
from proletto_otel.alerts.silences import ACKNOWLEDGE, SILENCE, Silence, of
from proletto_otel.alerts.states import AlertState
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.record import record
from proletto_otel.core.severity import OK
from proletto_otel.health.states import CheckState, Uptime
from proletto_otel.notify.notification import ALERT, FIRING, Notification


@record(frozen=True, slots=True, kw_only=True)
class Alert:
    """One threshold and what is known about it."""

    name: str
    """The threshold's name: `cpu_percent`, `health:database`."""

    alert: str
    """CamelCase; the heading in the runbook."""

    metric: str
    title: str
    state: str
    """`ok`, `pending` (a limit is passed, not yet for long enough), `firing`, or `unevaluated`:
    no process evaluates it, so nothing can be said."""

    severity: str
    """`ok`, `warning` or `critical`."""

    value: float | None
    """The last value, in `unit`; None: no data."""

    evaluated_at: float | None
    """When a process last evaluated it, unix seconds; None: never."""

    unit: str
    warning: float | None
    critical: float | None
    direction: str
    duration: float
    """Seconds a limit must be passed."""

    since: float | None
    """When the limit was passed, unix seconds."""

    silenced_until: float | None
    acknowledged_by: str | None
    acknowledged_until: float | None
    reason: str
    """Why these limits."""


@record(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """One health check, its state and its uptime."""

    name: str
    status: str
    """`healthy`, `degraded`, `unhealthy` or `unknown`."""

    critical: bool
    since: float | None
    """When it took this status, unix seconds."""

    checked_at: float | None
    duration_s: float
    failures: int
    """Failures in a row."""

    message: str
    uptime_24h: float | None
    """Share (0 to 1) of the known part of the last day in which it was up."""

    known_24h_s: float = 0.0
    """Seconds of that part: a service that began an hour ago knows an hour."""


@record(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """The service's health and every check's."""

    status: str
    """`healthy`, `degraded` or `unhealthy`."""

    ready: bool
    checks: tuple[CheckReport, ...]
    unevaluated: tuple[str, ...] = ()
    """Thresholds and checks that a process of the service registered and none evaluates."""


@record(frozen=True, slots=True, kw_only=True)
class GaugeReport:
    """One registered gauge of this process."""

    name: str
    value: float | None
    """The last value; None: none yet, or older than a minute."""

    age_s: float
    """Seconds since it was read."""

    error: str
    """What went wrong the last time it was read; empty when nothing did."""


@record(frozen=True, slots=True, kw_only=True)
class ChannelReport:
    """One way to reach people, as this process sees it."""

    name: str
    queued: int
    """Messages that wait here."""

    last_error: str
    """Type of what went wrong last; empty when nothing did."""


def alert(
    threshold: Threshold, indicator: Indicator, state: AlertState, silences: Iterable[Silence],
    *, evaluated: bool = True,
) -> Alert:  # fmt: skip
    """The report of one threshold; *evaluated*: whether somebody did that lately."""
    # It is read twice, and an iterator would be empty the second time.
    silences = list(silences)
    silent = of(threshold.name, SILENCE, silences)
    known = of(threshold.name, ACKNOWLEDGE, silences)
    word = "firing" if state.level != OK else "pending" if state.pending else "ok"
    return Alert(
        name=threshold.name,
        alert=indicator.alert,
        metric=threshold.metric,
        title=indicator.title,
        state=word if evaluated else "unevaluated",
        severity=state.level,
        value=state.value,
        evaluated_at=state.evaluated_at or None,
        unit=indicator.unit,
        warning=threshold.warning,
        critical=threshold.critical,
        direction=threshold.direction,
        duration=threshold.duration,
        since=state.since or None,
        silenced_until=silent.until if silent else None,
        acknowledged_by=known.by if known else None,
        acknowledged_until=known.until if known else None,
        reason=threshold.reason,
    )


def check(state: CheckState, of_the_day: Uptime) -> CheckReport:
    """The report of one check."""
    return CheckReport(
        name=state.name,
        status=state.status,
        critical=state.critical,
        since=state.since or None,
        checked_at=state.checked_at or None,
        duration_s=state.duration_s,
        failures=state.failures,
        message=state.message,
        uptime_24h=of_the_day.share,
        known_24h_s=of_the_day.known_s,
    )


def channel(name: str, status: Mapping[str, object]) -> ChannelReport:
    """The report of one channel."""
    queued = status.get("queued")
    return ChannelReport(
        name=name,
        queued=queued if isinstance(queued, int) else 0,
        last_error=str(status.get("last_error") or ""),
    )


def test_message(service: str, by: str, at: float) -> Notification:
    """What arrives when somebody tries a channel."""
    return Notification(
        kind=ALERT, event=FIRING, severity="warning", title=f"TEST · {service}",
        summary=f"A test that {by} asked for: nothing is wrong.", since=at, at=at,
        data={"test": True},
    )  # fmt: skip
