"""The breaker: when a peer that fails may be asked again.

One thread asks, so half-open needs no lock: once the pause is over one request goes out, and its
outcome closes the breaker or opens it for longer. What a failure is, the caller decides:
`export.destination` and `export.signal_exporter`, `runtime.queue_worker`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

FIRST_PAUSE_S = 1.0
"""A dead peer is asked at most once a second."""
LONGEST_PAUSE_S = 30.0
GROWTH = 1.6
"""1 s, 1.6 s … 30 s is reached at the ninth failure, half a minute into an outage."""
SPREAD = 0.1
"""Up to a tenth longer, so that many workers do not ask in step."""
LONGEST_RETRY_AFTER_S = 900.0
"""A peer that asks for more is asked again after this."""


class Breaker:
    """Open after one failure, for a pause that grows with each further one.

    Args:
        clock: Monotonic seconds.
        spread: Share of the pause added at random, from 0 to 1.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[], float] = lambda: random.uniform(0, SPREAD),
    ) -> None:
        self._clock = clock
        self._spread = spread
        self.failures = 0
        """Failures in a row."""
        self._not_before = 0.0

    @property
    def state(self) -> str:
        """`closed`, `open`, or `half-open` when the next request is a probe."""
        if not self.failures:
            return "closed"
        return "half-open" if self.ready() else "open"

    def ready(self) -> bool:
        """Whether a request may go out now."""
        return not self.failures or self._clock() >= self._not_before

    def wait_s(self) -> float:
        """Seconds until `ready`."""
        return max(0.0, self._not_before - self._clock()) if self.failures else 0.0

    def succeeded(self) -> None:
        """The peer took a request."""
        self.failures = 0

    def failed(self, retry_after_s: float | None = None) -> None:
        """The peer did not; *retry_after_s* is what it asked for, in seconds."""
        # The exponent is capped because a float overflows after some 1,500 failures (12 hours).
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * GROWTH ** min(self.failures, 20))
        # What the peer asks for replaces our pause, also when it is shorter: it knows its load.
        if retry_after_s is not None:
            pause = min(max(retry_after_s, 0.0), LONGEST_RETRY_AFTER_S)
        self.failures += 1
        self._not_before = self._clock() + pause * (1 + self._spread())
