"""Default thresholds: numbers that suit a small service on one machine, each with its reason.

Registering a threshold on the same metric replaces the default; `PROLETTO_DEFAULT_THRESHOLDS=0`
drops them all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from proletto_otel.alerts.indicators import HEALTH_PREFIX
from proletto_otel.alerts.thresholds import Threshold

MIN_REQUESTS = 20
"""With fewer requests in five minutes one error would already be 5 %: no verdict."""
SLOW_FOR_S = 300.0
"""A critical check that is degraded this long is worth a warning."""


def defaults(cpu_count: int, max_open_files: int | None) -> list[Threshold]:
    """The defaults on a machine with *cpu_count* cores and that limit of open files a process."""
    thresholds = [
        Threshold(
            metric="cpu_percent", warning=90, critical=98, duration=900,
            reason="Work that takes every core for a quarter of an hour is no burst; "
            "above 98 % requests queue.",
        ),
        Threshold(
            metric="memory_percent", warning=90, critical=95, duration=300,
            reason="Below a tenth free the page cache goes; below a twentieth the kernel "
            "soon kills a process.",
        ),
        Threshold(
            metric="disk_percent", warning=85, critical=95, duration=300,
            reason="At 85 % there is a working day to clean up; most file systems keep 5 % "
            "for root, so at 95 % writes begin to fail.",
        ),
        Threshold(
            metric="load_15", warning=2.0 * cpu_count, duration=900,
            reason="Twice as many runnable tasks as cores for a quarter of an hour: everything "
            "takes at least twice as long.",
        ),
        Threshold(
            metric="error_rate", warning=5, critical=10, duration=300, min_requests=MIN_REQUESTS,
            reason="One request in twenty fails for people; one in ten is an outage. A guard "
            "keeps a quiet night's single error silent.",
        ),
        Threshold(
            metric="response_time_p95", warning=1.0, critical=2.5, duration=600,
            min_requests=MIN_REQUESTS,
            reason="After one second a person's thought is interrupted; at 2.5 s, a bucket edge "
            "of the histogram, many leave.",
        ),
    ]  # fmt: skip
    limit = max_open_files
    # RLIM_INFINITY is -1, and container runtimes often set a limit of about a million: no process
    # of a small service comes near it, so a threshold there would never say anything.
    if limit is not None and 0 < limit < 1_000_000:
        open_files = Threshold(
            metric="open_files", warning=round(0.7 * limit), critical=round(0.9 * limit),
            duration=300,
            reason=f"70 % and 90 % of the {limit:,} files a process may open here: at the limit no "
            "connection can be accepted.",
        )  # fmt: skip
        thresholds.append(open_files)
    return thresholds


def for_checks(checks: Iterable[tuple[str, bool]]) -> list[Threshold]:
    """One threshold per health check (name, critical): 0 healthy, 1 degraded, 2 unhealthy.

    An unhealthy check alerts at once, because it takes several failures in a row to become
    unhealthy. Only a critical check can be a critical alert, and only its degradation, if it
    lasts, a warning.
    """
    thresholds = []
    for name, critical in checks:
        metric = HEALTH_PREFIX + name
        # 0.5 and 1.5 lie between the states 0, 1 and 2: above 0.5 is degraded or worse, above 1.5
        # is unhealthy. Checks have a hysteresis of their own, so an end needs no second wait.
        if critical:
            made = Threshold(
                metric=metric, warning=0.5, critical=1.5, duration=SLOW_FOR_S,
                critical_duration=0, recover_after=0,
            )  # fmt: skip
        else:
            made = Threshold(metric=metric, warning=1.5)
        thresholds.append(made)
    return thresholds


def in_force(
    registered: Iterable[Threshold], base: Iterable[Threshold], checks: Iterable[tuple[str, bool]]
) -> list[Threshold]:
    """The registered thresholds, then those of *base* and of the checks on other metrics."""
    found = list(registered)
    taken = {threshold.metric for threshold in found}
    rest = [*base, *for_checks(checks)]
    return found + [threshold for threshold in rest if threshold.metric not in taken]


def for_this_machine() -> list[Threshold]:
    """The defaults with this machine's cores and this process's limit of open files."""
    limit: int | None = None
    # Windows has no `resource`: there the threshold on open files is left out.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return defaults(os.cpu_count() or 1, limit)
