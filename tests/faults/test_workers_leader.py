"""One worker leads the host; when it dies another takes over within one interval."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.workers import Server, serving
from tests.waiting import until

LOAD = "system_cpu_load_average_1m"
INTERVAL_S = 1.0


def leader(server: Server) -> int | None:
    """The worker that holds the lead, as the kernel sees it."""
    (lock,) = server.directory.glob("logs/.state/**/leader.lock")
    number = lock.stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].endswith(f":{number}"):
            return int(fields[4])
    return None


def samples(server: Server, name: str) -> list[float]:
    """All series of a metric on one page."""
    text = server.get("/metrics")[1].decode()
    families = text_string_to_metric_families(text)
    return [s.value for f in families for s in f.samples if s.name == name]


def test_the_lead_passes_on_when_the_leader_is_killed(tmp_path: Path) -> None:
    """Host gauges come from one worker; it is killed, and another goes on within an interval."""
    settings = {"MONITOR_SAMPLE_INTERVAL": str(INTERVAL_S)}
    with serving(tmp_path, "-w", "4", **settings) as server:
        workers = server.directory / "logs" / ".state" / "proletto" / "workers"
        until(lambda: len(list(workers.glob("*.live"))) == 4)
        until(lambda: leader(server) in server.pids())
        until(lambda: len(samples(server, LOAD)) == 1)
        first = leader(server)
        assert first is not None

        os.kill(first, signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: leader(server) not in (None, first))
        took = time.monotonic() - killed

        until(lambda: len(samples(server, LOAD)) == 1)
        assert leader(server) in server.pids()
    print(f"lead taken over after {took:.2f} s")
