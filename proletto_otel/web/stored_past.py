"""How far back the pages can look, and when the version that runs was deployed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from proletto_otel.core.errors import ConfigError
from proletto_otel.web.ranges import RANGES, LastDeploy

if TYPE_CHECKING:
    from proletto_otel.web.site import MonitorView

FRESH_S = 60.0
"""How long the oldest value is remembered: to find it takes some milliseconds."""
DEPLOY_FRESH_S = 5.0
"""How long the last deploy is remembered: as often as the overview is prepared."""
POINTS = 2000
"""Half an hour each over 30 days: so exact is the oldest value's time."""


class StoredPast:
    """Asks the monitor.

    Args:
        monitor: What pages read from.
        clock: Monotonic seconds.
    """

    def __init__(self, monitor: MonitorView, clock: Callable[[], float] = time.monotonic) -> None:
        self._monitor, self._clock = monitor, clock
        self._since: float | None = None
        self._asked = self._asked_deploy = -FRESH_S
        self._deploy: LastDeploy | None = None

    def last_deploy(self) -> LastDeploy | None:
        """The last deploy that is stored."""
        if self._clock() - self._asked_deploy > DEPLOY_FRESH_S:
            # not out of the overview: that is prepared while somebody looks at it
            found = self._monitor.annotations(0.0, kind="deploy")
            deploys = [LastDeploy(a.time, a.version) for a in found]
            self._deploy, self._asked_deploy = deploys[-1] if deploys else None, self._clock()
        return self._deploy

    def since(self) -> float | None:
        """Unix seconds of the oldest value, at most as far back as the longest range."""
        if self._clock() - self._asked > FRESH_S or self._since is None:
            self._since, self._asked = self._oldest(), self._clock()
        return self._since

    def _oldest(self) -> float | None:
        now = time.time()
        first = self._first(now - max(seconds for _, seconds in RANGES.values()) - 3600, now)
        # once more, in minutes: a bucket of half an hour begins before its first value
        exact = self._first(first, first + 7200) if first is not None else None
        return exact if exact is not None else first

    def _first(self, start: float, end: float) -> float | None:
        firsts = [p.time for p in self._monitor.request_series(start, end, points=POINTS)[:1]]
        with contextlib.suppress(ConfigError):  # the host is not measured
            firsts += [p.time for p in self._monitor.series("cpu_percent", start, end, POINTS)[:1]]
        return max(min(firsts), start) if firsts else None
