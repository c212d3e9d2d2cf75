"""Collector killed, stores stopped, its disk full, under load: what arrives, and what does not."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stack.losses import (
    assert_arrived,
    assert_counted,
    assert_nothing_lost,
    kill_collector,
    refused,
    traffic,
    without_stores,
)  # fmt: skip
from tests.stack.receiver import Receiver
from tests.stack.servers import binary, missing
from tests.stack.system import System
from tests.stack.traffic import Service

RATE = 40
KILLS = 6
AWAY_S = 15.0
ARRIVAL_S = 150.0
QUEUE_MB = 2


@pytest.fixture
def own(tmp_path: Path) -> Iterator[System]:
    """A system that may be broken, not yet started."""
    for name in ("otelcol-contrib", "prometheus", "loki"):
        binary(name)
    running = System(tmp_path, Receiver())
    yield running
    running.close()


def start(system: System) -> None:
    """All three servers."""
    system.start_prometheus()
    system.start_loki()
    system.start_collector()


@contextmanager
def serving(system: System, name: str) -> Iterator[Service]:
    """The shop with two workers."""
    service = Service(name, system.folder / "app", system.otlp, ("--workers", "2"))
    service.start()
    try:
        yield service
    finally:
        service.server.stop()


@pytest.mark.timeout(400)
def test_killed_collector_loses_nothing(own: System) -> None:
    """SIGKILL again and again: what it had acknowledged is on its disk, the rest with us."""
    start(own)
    with serving(own, "killed") as service:
        with traffic(service, RATE) as made:
            kill_collector(own, KILLS, 2)
        assert_nothing_lost(own, service, made, ARRIVAL_S)


@pytest.mark.timeout(400)
def test_stopped_stores_lose_nothing(own: System) -> None:
    """Without Loki and Prometheus the collector keeps all on disk and hands it on afterwards."""
    start(own)
    with serving(own, "stopped") as service:
        with traffic(service, RATE) as made:
            time.sleep(2)
            without_stores(own, AWAY_S)
        assert_nothing_lost(own, service, made, ARRIVAL_S)


@pytest.fixture
def small_disk(own: System) -> Iterator[Path]:
    """The collector's queue lies on a disk of a few megabytes."""
    folder = own.folder / "queue"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={QUEUE_MB}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        missing("a file system cannot be mounted", "root")
    yield folder
    if "collector" in own.servers:
        own.stop("collector")
    subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@pytest.mark.timeout(400)
def test_full_disk_of_the_collector(own: System, small_disk: Path) -> None:
    """It refuses what it cannot keep, the library keeps that, drops nothing, and sends it later.

    What the collector had acknowledged and not handed on may be lost by the collector: it removes
    items from its queue whose state it cannot write down (`persistent_queue.go`). The counts catch
    up all the same, and with room again everything arrives.
    """
    start(own)
    with serving(own, "full") as service:
        with traffic(service, RATE) as made:
            time.sleep(2)
            filler = small_disk / "filler"
            fill(filler)
            without_stores(own, AWAY_S)
            assert refused(own) > 0
            filler.unlink()
            time.sleep(2)
            before = len(made)
            time.sleep(3)
        assert_arrived(own, service, made[before:], ARRIVAL_S)
        assert_counted(own, service, made, ARRIVAL_S)
        assert not re.findall(
            r"^proletto_telemetry_dropped_total.* [1-9].*$",
            service.fetch("GET", "/metrics")[2],
            re.M,
        )
