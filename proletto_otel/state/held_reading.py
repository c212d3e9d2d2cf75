"""What one thread has read of the host's numbers, for as long as it wants to read them once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from proletto_otel.core.metrics.registry import Family
from proletto_otel.state.snapshot_files import Snapshot


class HeldReading(threading.local):
    """Empty outside of `hold`; inside it, what this thread read first.

    Reading and merging four workers takes some milliseconds of CPU. An evaluation of the alerts
    asks for their metrics three times and for their routes once: 20 ms, and 7 when it reads once.
    """

    _depth = 0
    families: list[Family] | None = None
    """Everything, merged; None: not read yet."""
    others: list[Snapshot] | None = None
    """What all other processes published; None: not read yet."""

    @property
    def is_open(self) -> bool:
        """Whether what is read now is to be used again."""
        return self._depth > 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Within it everything is read at most once."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self.families = self.others = None
