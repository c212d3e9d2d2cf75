"""When the overview is prepared: jobs of the leader's ticker, while somebody looks.

What it is made of lives in `monitoring.prepare_overview`, which nobody imports before that:
with the overview's classes it is code of 65 KB.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proletto_otel.monitoring.runtime import Runtime

JOBS = ("overview.prepare", "overview.follow")
"""Names of the ticker's jobs."""
PREPARE_S = 2.0
"""How often the leader makes it when no request comes in."""
FOLLOW_S = 0.5
"""How often the leader looks whether requests were recorded since.

An open page is red less than five seconds after requests began to fail, by the sum of what each
step may wait: a worker's numbers that are in no shared memory are published within 0.5 s
(`PUBLISH_S`), recorded within 2 s (`RECORD_S`), prepared within 0.5 s, and asked for within 1.375 s
(`POLL_S` of the page, a tenth more at most): 4.4 s, and 0.6 s are left to do it.
"""


class Preparation:
    """The leader's two jobs: prepare regularly, and as soon as requests were recorded.

    They may be recorded by another process: each group of processes with the same registrations
    prepares its own overview, and one process of the host records.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._recorded: int | None = None
        self._followed_at = float("-inf")

    def schedule(self) -> None:
        """Let the ticker do it while somebody looks."""
        regular, follow = JOBS
        inputs, shares = self._runtime.inputs, self._runtime.shares

        def is_wanted() -> bool:
            return shares.leads and inputs.viewing.lately()

        inputs.every(PREPARE_S, regular, self.regularly, when=is_wanted)
        inputs.every(FOLLOW_S, follow, self.follow, when=is_wanted)

    def regularly(self) -> None:
        """Prepare it, unless requests were the reason to do so just before."""
        if time.monotonic() - self._followed_at >= PREPARE_S + FOLLOW_S:
            self._recorded = self._runtime.past.requests.recorded()
            _prepare(self._runtime)

    def follow(self) -> None:
        """Prepare it if requests were recorded since it was prepared."""
        recorded = self._runtime.past.requests.recorded()
        if recorded != self._recorded:
            self._recorded, self._followed_at = recorded, time.monotonic()
            _prepare(self._runtime)


def _prepare(runtime: Runtime) -> None:
    from proletto_otel.monitoring import prepare_overview

    prepare_overview.job(runtime)
