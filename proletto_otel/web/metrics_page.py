"""The page of `/metrics` made once for all who ask at the same time.

What the page holds is made by what telemetry hands in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WAIT_S = 5.0
"""How long an answer may wait for others: half of Prometheus's usual time-out."""
Page = tuple[bytes | str, str]


class ScrapeBusy(Exception):
    """Others are being served for longer than anybody waits."""


class SharedPage:
    """Makes one page at a time; who waited takes the page that was begun after it asked.

    Args:
        make: Takes the Accept header, returns the body and its content type.
        wait_s: Seconds that an asker waits at most.
    """

    def __init__(self, make: Callable[[str], Page], wait_s: float = WAIT_S) -> None:
        self._make = make
        self._wait_s = wait_s
        self.forked()

    def forked(self) -> None:
        """A fresh lock in a child, and no page of the parent."""
        self._lock = threading.Lock()
        self._accept = ""
        self._began_ns = -1
        self._page: Page = ("", "")

    def __call__(self, accept: str) -> Page:
        """The page, with everything that was counted before this call.

        Raises:
            ScrapeBusy: no turn came within the time.
        """
        asked_ns = time.monotonic_ns()
        lock = self._lock
        if not lock.acquire(timeout=self._wait_s):
            raise ScrapeBusy
        try:
            if self._began_ns < asked_ns or self._accept != accept:
                began_ns = time.monotonic_ns()
                self._page = self._make(accept)
                self._accept, self._began_ns = accept, began_ns
            return self._page
        finally:
            lock.release()
