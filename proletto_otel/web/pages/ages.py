"""How old a value is that was not measured for this page, and from when on it is stale."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proletto_otel.core.conventions import HEARTBEAT
from proletto_otel.metrics.system_metrics import OLDEST_S

if TYPE_CHECKING:
    from proletto_otel.monitoring.report import Alert, CheckReport
    from proletto_otel.web.asked import Asked
    from proletto_otel.web.site import Site

INTERVALS = 3
"""A value that is older than so many of its intervals is stale: nobody measures it any more."""
LEAST_S = 15.0
"""No value is stale sooner: a busy machine is late by some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """The age of a value, or of the oldest of several that are shown together."""

    at: float
    """When it was measured, unix seconds."""
    age_s: float
    is_stale: bool
    """Whether it is older than three of its intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentHost:
    """A host that sent nothing for so long that what is shown lacks it."""

    host: str
    age: Age
    """Of its newest sample."""


def age(at: float | None, interval_s: float, until: float | None = None) -> Age | None:
    """The age of what was measured *at* a unix time; None where that is not known.

    Args:
        at: Unix seconds.
        interval_s: How often it is measured.
        until: End of the time that is shown, where it is over: what was fresh then is not stale.
    """
    if not at:
        return None
    now = time.time()
    limit = max(INTERVALS * interval_s, LEAST_S)
    return Age(
        at=at,
        age_s=round(max(now - at, 0.0), 1),
        is_stale=(now if until is None else until) - at > limit,
    )


def of_hosts(asked: Asked, newest: Mapping[str, float]) -> dict[str, Age]:
    """Of the newest sample of each host that Prometheus has, by host."""
    chosen = asked.range
    interval_s = asked.site.config.metric_interval_ms / 1000
    found = {
        host: age(at, interval_s, chosen.end if chosen.is_over else None)
        for host, at in newest.items()
    }
    return {host: one for host, one in found.items() if one is not None}


def newest(found: Iterable[Age]) -> Age | None:
    """The newest of several."""
    return max(found, key=lambda one: one.at, default=None)


def silent(by_host: Mapping[str, Age]) -> list[SilentHost]:
    """Hosts that are stale while others are not, the one that was heard of last first."""
    if all(one.is_stale for one in by_host.values()):
        return []
    stale = [SilentHost(host=host, age=one) for host, one in by_host.items() if one.is_stale]
    return sorted(stale, key=lambda one: -one.age.at)


def of_system(site: Site) -> Age | None:
    """Of the host's metrics: the leader's sample. None: they are measured for this page."""
    for family in site.recent_families():
        if family.name == HEARTBEAT.name and family.points:
            at = max(float(point.value) for point in family.points)  # type: ignore[arg-type]  # a gauge
            return age(at, min(site.config.monitor_sample_interval, OLDEST_S))
    return None


def of_alerts(site: Site, alerts: Iterable[Alert]) -> Age | None:
    """Of the values that thresholds were compared with: the oldest one."""
    times = [a.evaluated_at for a in alerts if a.evaluated_at and a.state != "unevaluated"]
    return age(min(times, default=None), site.config.alert_interval_s)


def of_check(site: Site, check: CheckReport) -> Age | None:
    """Of a check's result."""
    return age(check.checked_at, site.config.monitor_health_check_interval)


def of_checks(site: Site, checks: Iterable[CheckReport]) -> Age | None:
    """Of the oldest result."""
    times = [check.checked_at for check in checks if check.checked_at]
    return age(min(times, default=None), site.config.monitor_health_check_interval)
