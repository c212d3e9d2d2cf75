"""What the history of metrics and requests takes: bytes, and how long its reads last.

    python -m bench.history [--routes 100] [--metrics 20]

Fills a store as a service with so many routes would in 90 days of traffic, then prints the bytes of
each kind, what a day adds, what the leader's job takes, and how long the pages' reads take.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from proletto_otel.request import durations, status_codes
from proletto_otel.request.request_days import add_up_a_day
from proletto_otel.request.request_history import DDL as REQUESTS
from proletto_otel.request.request_history import TIERS as REQUEST_TIERS
from proletto_otel.request.request_history import RequestHistory
from proletto_otel.request.request_series import RequestSeries
from proletto_otel.request.request_totals import RequestTotals, Route
from proletto_otel.state.history import DDL as METRICS
from proletto_otel.state.history import TIERS as METRIC_TIERS
from proletto_otel.state.metric_series import MetricSeries
from proletto_otel.state.store import Store

DAY_S = 86_400
HOUR_S = 3600
REPEATS = 15
NOW = time.time() // 10_800 * 10_800


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=100)
    parser.add_argument("--metrics", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory))
        store.define(*METRICS, *REQUESTS)
        empty = store.size_bytes()
        fill_metrics(store, asked.metrics)
        metrics = store.size_bytes() - empty
        fill_requests(store, asked.routes)
        requests = store.size_bytes() - metrics - empty
        say(f"metrics: {asked.metrics}, all tiers full", f"{metrics / 1e6:.1f} MB")
        say(f"requests: {asked.routes} routes, all tiers full", f"{requests / 1e6:.1f} MB")
        a_day(store, asked.routes, asked.metrics, metrics, requests)
        reads(store)
        leader(store, asked.routes)
        store.stop(time.monotonic() + 5)


def fill_metrics(store: Store, metrics: int) -> None:
    """Every tier of every metric, as far back as it is stored."""
    store.write(
        "INSERT INTO metric_names VALUES (?, ?, ?)", [(i, f"m{i}", NOW) for i in range(metrics)]
    )
    rows = (
        (tier, metric, int(at), random.random() * 50, random.random() * 100, 1234.5678, tier // 5)
        for tier, stored_s in METRIC_TIERS
        for metric in range(metrics)
        for at in range(int(NOW - stored_s), int(NOW), tier)
    )
    store.write("INSERT INTO metric_points VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def fill_requests(store: Store, routes: int) -> None:
    """Every route asked in every bucket."""
    for route in range(routes):
        store.write(
            "INSERT INTO request_routes VALUES (?, 'GET', ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, x'', 0)",
            [(route + 1, f"/r{route}/<int:item>")],
        )
    for tier, stored_s in REQUEST_TIERS:
        packed = [typical(tier) for _ in range(50)]
        store.write(
            f"INSERT INTO request_points VALUES ({', '.join('?' * 13)})",
            (
                (tier, at, route, 0, 0, tier, 3, 5, 1, 1, tier + 9, 12.345, random.choice(packed))
                for at in range(int(NOW - stored_s), int(NOW), tier)
                for route in range(routes + 1)
            ),
        )
        store.write(
            "INSERT INTO request_codes VALUES (?, ?, ?, ?)",
            (
                (tier, at, route, status_codes.packed({200: tier, 301: 3, 404: 5, 500: 1}))
                for at in range(int(NOW - stored_s), int(NOW), tier)
                for route in range(routes + 1)
            ),
        )
    store.write("INSERT OR REPLACE INTO request_clock VALUES (1, 0, ?)", [(NOW,)])
    while add_up_a_day(store):
        pass


def typical(n: int) -> bytes:
    """The durations of *n* requests around 50 ms."""
    fine = durations.empty()
    for _ in range(n):
        took = random.lognormvariate(-3, 0.7)
        fine[next((i for i, edge in enumerate(durations.EDGES) if edge >= took), 0)] += 1
    return durations.packed(durations.sparse(fine))


def a_day(store: Store, routes: int, metrics: int, metric_bytes: int, request_bytes: int) -> None:
    """Rows that a day adds, times the mean bytes of a row."""
    for name, tiers, bytes_, series in (
        ("metrics", METRIC_TIERS, metric_bytes, metrics),
        ("requests", REQUEST_TIERS, request_bytes, routes + 1),
    ):
        rows = series * sum(stored_s // tier for tier, stored_s in tiers)
        a_day = series * sum(DAY_S // tier for tier, _ in tiers)
        say(f"{name}: a row", f"{bytes_ / rows:.0f} bytes")
        say(
            f"{name}: written a day before the first is deleted",
            f"{a_day * bytes_ / rows / 1e6:.1f} MB",
        )


def reads(store: Store) -> None:
    """The pages' reads."""
    series, requests = MetricSeries(store), RequestSeries(store)
    for name, span in (("1 h", HOUR_S), ("24 h", DAY_S), ("7 d", 7 * DAY_S), ("30 d", 30 * DAY_S),
                       ("1 year", 365 * DAY_S)):  # fmt: skip
        timed(f"series, one metric, {name}", lambda s=span: series.points("m1", NOW - s, NOW))
    timed("series, 12 metrics, 24 h",
          lambda: [series.points(f"m{i}", NOW - DAY_S, NOW) for i in range(12)])  # fmt: skip
    for name, span in (("1 h", HOUR_S), ("24 h", DAY_S), ("7 d", 7 * DAY_S), ("90 d", 90 * DAY_S)):
        timed(f"request_series, all, {name}", lambda s=span: requests.points(NOW - s, NOW))
    timed("request_series, one route, 7 d",
          lambda: requests.points(NOW - 7 * DAY_S, NOW, "/r1/<int:item>"))  # fmt: skip
    timed("request_statuses, one route, 30 d",
          lambda: requests.statuses(NOW - 30 * DAY_S, NOW, "/r1/<int:item>"))  # fmt: skip
    timed("latency_heatmap, all, 24 h", lambda: requests.heatmap(NOW - DAY_S, NOW))
    timed("request_endpoints, 1 h", lambda: requests.endpoints(NOW - HOUR_S, NOW))
    timed("request_endpoints, 24 h", lambda: requests.endpoints(NOW - DAY_S, NOW))
    timed("request_endpoints, 7 d", lambda: requests.endpoints(NOW - 7 * DAY_S, NOW))
    timed("request_endpoints, 30 d", lambda: requests.endpoints(NOW - 30 * DAY_S, NOW))


def leader(store: Store, routes: int) -> None:
    """The leader's job when every route was asked since the last time, and when none was."""
    history = RequestHistory(store)
    served: dict[Route, RequestTotals] = {}

    def record() -> None:
        history.record(served)

    def all_asked() -> None:
        for i in range(routes):
            before = served.get(
                ("GET", f"/r{i}/<int:item>"), RequestTotals(start_ns=time.time_ns())
            )
            more = RequestTotals(
                classes=[0, 0, 9, 0, 0, 0], codes={200: 9}, timed=9, seconds=1.0,
                durations={"80": 5, "85": 4}, start_ns=before.start_ns,
            )  # fmt: skip
            more.add(before)
            served["GET", f"/r{i}/<int:item>"] = more
        record()

    timed(f"leader stores {routes} routes", all_asked)
    timed("leader stores an idle service", record)


def timed(name: str, read: Callable[[], object]) -> None:
    """CPU time: the median of some runs, and the slowest."""
    took = []
    for _ in range(REPEATS):
        began = time.thread_time()
        read()
        took.append(1000 * (time.thread_time() - began))
    say(name, f"{statistics.median(took):.1f} ms (slowest {max(took):.1f})")


def say(name: str, what: str) -> None:
    """One line of the report."""
    sys.stdout.write(f"{name:52} {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
