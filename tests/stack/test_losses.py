"""Collector killed, stores stopped, its disk full, under load: what arrives, and what does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.losses import (
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

RATE = 40
KILLS = 6
AWAY_S = 15.0
ARRIVAL_S = 150.0
QUEUE_MB = 2


@pytest.fixture
def own(tmp_path: Path) -> Iterator[System]:
    """A system that may be broken."""
    with breakable_system(tmp_path) as running:
        yield running


def test_killed_collector_loses_nothing(own: System) -> None:
    """SIGKILL again and again: what it had acknowledged is on its disk, the rest with us."""
    with serving(own, "killed") as service:
        with traffic(service, RATE) as made:
            kill_collector(own, KILLS, 2)
        assert_nothing_lost(own, service, made, ARRIVAL_S)


def test_stopped_stores_lose_nothing(own: System) -> None:
    """Without Loki and Prometheus the collector keeps all on disk and hands it on afterwards."""
    with serving(own, "stopped") as service:
        with traffic(service, RATE) as made:
            time.sleep(2)
            without_stores(own, AWAY_S)
        assert_nothing_lost(own, service, made, ARRIVAL_S)


def test_full_disk_of_the_collector(own: System) -> None:
    """It refuses what it cannot keep, the library keeps that, drops nothing, and sends it later.

    What the collector had acknowledged and not handed on may be lost by the collector: it removes
    items from its queue whose state it cannot write down (`persistent_queue.go`). The counts catch
    up all the same, and with room again everything arrives.
    """
    own.stop("collector")
    with small_disk(own, QUEUE_MB) as disk:
        own.start_collector()
        with serving(own, "full") as service:
            with traffic(service, RATE) as made:
                time.sleep(2)
                filler = disk / "filler"
                fill(filler)
                without_stores(own, AWAY_S)
                assert refused(own) > 0
                filler.unlink()
                time.sleep(2)
                before = len(made)
                time.sleep(3)
            assert_arrived(own, service, made[before:], ARRIVAL_S)
            assert_counted(own, service, made, ARRIVAL_S)
            assert_nothing_dropped(service)
