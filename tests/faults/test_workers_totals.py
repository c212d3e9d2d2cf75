"""Four workers, one killed and others recycled: totals are exact and never fall."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.workers import Key, Server, Traffic, serving
from tests.waiting import until


def exact(found: Counter[Key], traffic: Traffic) -> bool:
    """Whether each number is what was answered, give or take what a dead worker had in flight."""
    keys = found.keys() | traffic.answered.keys() | traffic.broken.keys()
    lost = traffic.broken
    return all(traffic.answered[k] <= found[k] <= traffic.answered[k] + lost[k] for k in keys)


class Watch:
    """Scrapes in turn, whoever answers, and remembers every number that fell."""

    def __init__(self, server: Server) -> None:
        self.fell: list[tuple[Key, int, int]] = []
        self.scrapes = 0
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        before: Counter[Key] = Counter()
        while not self._stop.is_set():
            with suppress(OSError):  # the worker that was asked died
                now = self._server.counts()
                self.fell += [(k, n, now[k]) for k, n in before.items() if now[k] < n]
                before = now
                self.scrapes += 1

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("options", [(), ("--preload",), ("-k", "gthread", "--threads", "4")])
def test_totals_are_the_requests(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Requests served by four workers add up exactly, by route and status, whoever is asked."""
    with serving(tmp_path, "-w", "4", *options) as server:
        watch = Watch(server)
        traffic = Traffic(server, 600)
        traffic.wait()
        watch.end()

        until(lambda: all(server.counts() == traffic.answered for _ in range(8)))

    assert not traffic.broken
    assert [] == watch.fell
    assert watch.scrapes > 0


def test_a_killed_worker_loses_no_finished_request(tmp_path: Path) -> None:
    """SIGKILL half way, nobody scraping: totals by route are exact but for what was in flight."""
    with serving(tmp_path, "-w", "4") as server:
        traffic = Traffic(server, 3000)
        until(lambda: traffic.sent > 1500)
        os.kill(server.pids()[0], signal.SIGKILL)
        traffic.wait()

        until(lambda: exact(server.counts(), traffic))
        until(lambda: all(exact(server.counts(), traffic) for _ in range(8)))


def test_numbers_never_fall_while_workers_come_and_go(tmp_path: Path) -> None:
    """One worker is killed, others end after their share: no scrape, of whomever, tells less."""
    recycling = ("--max-requests", "400", "--max-requests-jitter", "100")
    with serving(tmp_path, "-w", "4", *recycling) as server:
        first = set(server.pids())
        watch = Watch(server)
        traffic = Traffic(server, 3000)
        until(lambda: traffic.sent > 1500)
        os.kill(server.pids()[0], signal.SIGKILL)
        traffic.wait()
        watch.end()
        until(lambda: exact(server.counts(), traffic))
        assert not first & set(server.pids())

    assert [] == watch.fell
    assert watch.scrapes > 10


def test_services_that_share_a_log_directory_keep_their_numbers(tmp_path: Path) -> None:
    """Two services write their logs side by side; neither counts the requests of the other."""
    logs = str(tmp_path / "logs")
    for name in ("shop", "stock"):
        (tmp_path / name).mkdir()
    with (
        serving(tmp_path / "shop", "-w", "2", LOG_DIR=logs, APP_NAME="shop") as shop,
        serving(tmp_path / "stock", "-w", "2", LOG_DIR=logs, APP_NAME="stock") as stock,
    ):
        traffic = Traffic(shop, 120), Traffic(stock, 240)
        for each in traffic:
            each.wait()
        for server, sent in zip((shop, stock), traffic, strict=True):
            until(lambda s=server, t=sent: all(s.counts() == t.answered for _ in range(4)))

    found = {path.name for path in (tmp_path / "logs").iterdir()}
    assert {"shop.log", "stock.log", ".state"} <= found
    assert {"shop", "stock"} == {p.name for p in Path(logs, ".state").iterdir() if p.is_dir()}
