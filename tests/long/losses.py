"""Ten minutes without Loki and Prometheus, a collector killed twenty times, its disk full.

`pytest -s tests/long/losses.py` (after `make backends`); `PROLETTO_LOSSES_MINUTES` (default 10),
`PROLETTO_LOSSES_KILLS` (default 20) and `PROLETTO_LOSSES_RATE` (requests a second, default 40).
The short version, of a quarter of a minute, is `tests/stack/test_losses.py`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stack.losses import (
    SERVER,
    assert_arrived,
    assert_counted,
    assert_nothing_dropped,
    assert_nothing_lost,
    breakable_system,
    fill,
    kill_collector,
    refused,
    serving,
    small_disk,
    traffic,
    without_stores,
)
from tests.stack.system import System
from tests.stack.traffic import Request, Service

MINUTES = float(os.environ.get("PROLETTO_LOSSES_MINUTES", "10"))
KILLS = int(os.environ.get("PROLETTO_LOSSES_KILLS", "20"))
RATE = int(os.environ.get("PROLETTO_LOSSES_RATE", "40"))
KILL_PAUSE_S = 2.0
ARRIVAL_S = 600.0
QUEUE_MB = 8


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """The three servers, started."""
    with breakable_system(tmp_path) as running:
        yield running


@contextmanager
def killed_meanwhile(system: System, times: int, pause_s: float) -> Iterator[None]:
    """The collector is killed again and again by another thread; it runs when the block ends."""
    thread = threading.Thread(target=kill_collector, args=(system, times, pause_s))
    thread.start()
    yield
    thread.join()
    assert "collector" in system.servers


def report(system: System, service: Service, made: list[Request], began: float) -> None:
    """Print what was asked, how fast, what came twice, and when all of it was there."""
    spans = [span for span in system.tempo.of(service.name) if span.kind == SERVER]
    ids = {span.attributes["request_id"] for span in spans}
    print(
        f"{service.name}: {len(made)} requests, {len(spans) - len(ids)} spans twice; "
        f"all there {time.monotonic() - began:.0f} s after the load",
        flush=True,
    )


@pytest.mark.timeout(KILLS * 60 + 1200)
def test_collector_killed_often_loses_nothing(system: System) -> None:
    """SIGKILL under load while the stores take everything."""
    with serving(system, "killed") as service:
        with traffic(service, RATE) as made:
            kill_collector(system, KILLS, KILL_PAUSE_S)
        began = time.monotonic()
        assert_nothing_lost(system, service, made, ARRIVAL_S)
        report(system, service, made, began)


@pytest.mark.timeout(MINUTES * 60 + 1800)
def test_stores_away_and_collector_killed_lose_nothing(system: System) -> None:
    """Minutes of load without Loki and Prometheus; the collector is killed all the while."""
    with serving(system, "away") as service:
        with traffic(service, RATE) as made:
            time.sleep(5)
            with killed_meanwhile(system, KILLS, MINUTES * 60 / (KILLS + 1)):
                without_stores(system, MINUTES * 60)
            time.sleep(5)
        began = time.monotonic()
        assert len(made) > RATE * MINUTES * 60 / 2
        assert_nothing_lost(system, service, made, ARRIVAL_S)
        assert_nothing_dropped(service)
        report(system, service, made, began)


@pytest.mark.timeout(MINUTES * 60 + 1800)
def test_collector_with_a_full_disk_loses_no_count(system: System) -> None:
    """The collector refuses for minutes: we drop nothing; counts and what follows arrive."""
    system.stop("collector")
    with small_disk(system, QUEUE_MB) as disk:
        system.start_collector()
        with serving(system, "full") as service:
            with traffic(service, RATE) as made:
                time.sleep(5)
                filler = disk / "filler"
                fill(filler)
                without_stores(system, MINUTES * 30)
                assert refused(system) > 0
                filler.unlink()
                time.sleep(2)
                before = len(made)
                time.sleep(10)
            began = time.monotonic()
            assert_arrived(system, service, made[before:], ARRIVAL_S)
            assert_counted(system, service, made, ARRIVAL_S)
            assert_nothing_dropped(service)
            report(system, service, made, began)
