"""What this process says about itself: processor, memory, threads, files, connections, collector.

A gauge is asked at every scrape and push, so a measurement is used again for two seconds.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import Any

from proletto_otel.metrics.host import Psutil, Series, Share

FRESH_S = 2.0
"""No value of this worker is measured more often than this."""
COSTLY = 5000
"""What took long is asked again only after so many times as long: connections are found by a walk
over the host's whole socket table, 9 ms with an empty one and more on a busy host."""
OLDEST_S = 60.0
"""But no number is older than this."""


class Worker:
    """Measures this process, on Linux without psutil.

    Args:
        psutil: How psutil is asked.
        clock: Monotonic seconds.
    """

    def __init__(
        self, psutil: Psutil | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._psutil = psutil or Psutil()
        self._clock = clock
        self._process: Any = None
        self._latest: dict[str, tuple[float, float | None]] = {}
        self._cpu = Share()
        self._connections, self._connections_until = 0, float("-inf")
        self._collected = [stats["collections"] for stats in gc.get_stats()]

    def cpu(self) -> Series:
        """Processor time over time, as a share of the processors that it may use."""
        return self._measured("cpu", self._share)

    def memory(self) -> Series:
        """Resident memory in bytes."""
        return self._measured("memory", lambda own: own.memory_info().rss)

    def threads(self) -> Series:
        """Number of threads."""
        return self._measured("threads", lambda own: own.num_threads())

    def open_files(self) -> Series:
        """Number of open files and sockets."""
        return self._measured("open_files", lambda own: own.num_fds())

    def connections(self) -> Series:
        """Number of network connections."""
        return self._measured("connections", self._sockets)

    def collections(self) -> Series:
        """Runs of the garbage collector by generation; those of the parent are not ours."""
        found = enumerate(stats["collections"] for stats in gc.get_stats())
        return {generation: runs - self._collected[generation] for generation, runs in found}

    def _measured(self, name: str, question: Callable[[Any], float | None]) -> Series:
        """The present value, at most two seconds old; nothing where the system refuses."""

        def measure() -> float | None:
            # resolved at call time: a process object made before a fork measures the parent
            if self._process is None or self._process.pid != os.getpid():
                self._process = self._psutil.process()
            return question(self._process)

        at, value = self._latest.get(name, (float("-inf"), None))
        if self._clock() - at >= FRESH_S:
            value = self._psutil.ask_process(measure)
            self._latest[name] = self._clock(), value
        return {} if value is None else {"": value}

    def _share(self, own: Any) -> float | None:
        times = own.cpu_times()
        used = self._cpu.of(times.user + times.system, self._clock())
        if used is None:
            return None
        try:
            # Not the processors of the machine: a worker that is pinned to one of eight is fully
            # busy at one eighth of those.
            return used / (len(os.sched_getaffinity(0)) or 1)
        except (AttributeError, OSError):  # not on macOS
            return used / (os.cpu_count() or 1)

    def _sockets(self, own: Any) -> float:
        began = self._clock()
        if began >= self._connections_until:
            # The pause follows from what the walk cost: how large the table is shows only then.
            self._connections = len(own.net_connections("inet"))
            ended = self._clock()
            self._connections_until = ended + min(COSTLY * (ended - began), OLDEST_S)
        return self._connections
