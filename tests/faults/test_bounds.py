"""Two hours and a million requests: what is kept and what a scrape says stay bounded.

What is real: 20,000 requests go through the wrapped WSGI application, and the store, history,
statistics, evaluator and page are the ones that serve. What is simulated: time (the samples and
evaluations of two hours carry the times they would have had), and the other 980,000 requests, which
are counted where the recorder counts them, in the cells and statistics of the same routes, and
whose paths and methods are not sent. Values of the host are made up. The last case floods routes.
"""

from __future__ import annotations

import gc
import itertools
import time
from pathlib import Path

import psutil
import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from proletto_otel import setup_telemetry
from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.core.conventions import HTTP_SERVER_REQUEST_DURATION
from proletto_otel.core.metrics.registry import MAX_CELLS, Registry, registry
from proletto_otel.metrics import exposition
from proletto_otel.monitoring import monitor
from proletto_otel.request.exchange import Exchange
from proletto_otel.request.route_stats import MAX_ROUTES, MINUTES, RouteStats
from proletto_otel.setup.telemetry import Telemetry
from proletto_otel.state.history import TIERS
from proletto_otel.testing import TelemetryCapture

REAL = 20_000
IN_ALL = 1_000_000
ROUTES = 12
HOURS_S = 7200
EVERY_S = 5
"""Seconds between samples: twelve times as often as by default."""
MIB = 1 << 20


class Shop:
    """Twelve routes under telemetry, nothing logged, and jobs run by hand."""

    def __init__(self, directory: Path) -> None:
        self.app = Flask("shop")
        for number in range(ROUTES):
            self.app.add_url_rule(f"/r{number}/<int:item>", f"r{number}", self._view)
        self.telemetry: Telemetry = setup_telemetry(
            self.app, log_console=False, log_files=False, traces_exporter="none",
            logs_exporter="none", request_logging=False, state_dir=str(directory),
        )  # fmt: skip
        self.components = self.telemetry.components
        self.telemetry.activate()
        self.components.ticker.stop(time.monotonic() + 5)
        self._wall = 0.0
        runtime = monitor.live()
        assert runtime is not None
        self.evaluator = runtime.evaluator
        self.evaluator._now = self.evaluator._clock = lambda: self._wall
        self._environs = [
            EnvironBuilder(path=f"/r{number}/7").get_environ() for number in range(ROUTES)
        ]

    @staticmethod
    def _view(item: int) -> str:
        return "fine"

    def serve(self, requests: int) -> None:
        """Real requests, round the routes."""
        for i in range(requests):
            body, status, _ = run_wsgi_app(self.app.wsgi_app, dict(self._environs[i % ROUTES]))
            b"".join(body)
            assert status == "200 OK"

    def observe(self, requests: int, wall: float) -> None:
        """Count requests that ended at unix time *wall* as the recorder does."""
        for number in range(ROUTES):
            route = f"/r{number}/<int:item>"
            cell = registry.histogram(HTTP_SERVER_REQUEST_DURATION).cell(
                ("GET", route, 200, None, "http")
            )
            stats = self.components.route_stats.stats("GET", route)
            ended = Exchange(self.telemetry.requests.recorder, {}, lambda *_: None)  # type: ignore[arg-type]
            ended.request_id, ended.end_ns, ended.status = "r", int(wall * 1e9), 200
            for i in range(requests // ROUTES + (number < requests % ROUTES)):
                ended.duration_s = 0.001 + i % 97 / 1000
                cell.observe(ended.duration_s, "", "")
                stats.add(ended, False)

    def sample(self, wall: float, load: float) -> None:
        """What the leader's jobs do at one moment: sample, evaluate, publish, fold."""
        self._wall = wall
        self.components.recording.past.history.add(wall, dict.fromkeys(INDICATORS, load))
        self.evaluator.tick()
        self.components.snapshots.publish()
        self.components.snapshots.fold()

    def page(self) -> bytes:
        """One scrape."""
        return bytes(self.app.test_client().get("/metrics").data)

    def counted(self) -> int:
        """Requests to the routes, over all series."""
        return sum(r.count for r in self.components.routes() if (r.route or "").startswith("/r"))


def rss() -> int:
    """Memory of this process in bytes."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def series() -> int:
    """Series of this process."""
    return sum(len(family.points) for family in registry.collect())


def disk(directory: Path) -> int:
    """Bytes that the state directory takes."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


@pytest.mark.timeout(3600)  # a million requests: minutes on a loaded machine
def test_two_hours_and_a_million_requests(
    telemetry_capture: TelemetryCapture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Store, memory, series and page after an eighth of the way are about those at the end."""
    shop = Shop(tmp_path / "state")
    began = time.time() - HOURS_S
    steps = HOURS_S // EVERY_S
    share = (IN_ALL - REAL) // steps
    shop.serve(REAL)
    at: dict[str, tuple[int, int, int, int]] = {}
    for step in range(steps):
        last = (IN_ALL - REAL) - share * (steps - 1)
        shop.observe(share if step < steps - 1 else last, began + step * EVERY_S)
        shop.sample(began + step * EVERY_S, float(step % 100))
        if step in (steps // 8, steps - 1):
            size = disk(tmp_path / "state")
            at[f"{step * EVERY_S} s"] = (size, rss(), series(), len(shop.page()))
    with capsys.disabled():
        for when, (size, memory, number, page) in at.items():
            print(f"\n{when}: state {size >> 10} KiB, memory {memory >> 20} MiB, "
                  f"{number} series, page {page >> 10} KiB", end="")  # fmt: skip
    (size_1, rss_1, series_1, page_1), (size_2, rss_2, series_2, page_2) = at.values()

    assert IN_ALL == shop.counted()
    assert size_2 < 8 * MIB + size_1
    assert rss_2 - rss_1 < 32 * MIB
    assert series_2 <= series_1 + 20
    assert page_2 < page_1 * 1.5 < 256 * 1024
    limit = shop.telemetry.config.monitor_max_samples
    rows = shop.components.store.query(
        "SELECT resolution, metric, COUNT(*) FROM samples GROUP BY 1, 2"
        " UNION ALL SELECT tier, metric, COUNT(*) FROM metric_points GROUP BY 1, 2"
    )
    most = {0: limit} | {seconds: HOURS_S // seconds + 1 for seconds, _ in TIERS}
    assert [] == [tuple(row) for row in rows if row[2] > most[row[0]]]
    assert set(most) == {row[0] for row in rows}
    assert all(len(e["minutes"]) <= MINUTES for e in shop.components.route_stats.section())
    assert len(monitor.history("cpu_percent", HOURS_S)) <= most[60]


def test_a_flood_of_routes_ends_in_one_series() -> None:
    """More routes and methods than an instrument holds: the rest are counted together."""
    flooded, route_stats = Registry(), RouteStats()
    histogram = flooded.histogram(HTTP_SERVER_REQUEST_DURATION)
    for number, method in itertools.product(range(3 * MAX_CELLS), ("GET", "POST")):
        histogram.cell((method, f"/flood{number}", 200, None, "http")).observe(0.1, "", "")
        route_stats.stats(method, f"/flood{number}")
    (family,) = flooded.collect()

    assert MAX_CELLS + 1 == len(family.points)
    assert 6 * MAX_CELLS == sum(p.value.count for p in family.points)  # type: ignore[union-attr]
    assert MAX_ROUTES == len(route_stats._routes)
    assert len(exposition.render([family])[0]) < 8 * MIB
