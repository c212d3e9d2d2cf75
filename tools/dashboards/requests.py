"""Requests in depth: which route is slow or fails, and how slow is slow."""

from __future__ import annotations

from proletto_otel.core import conventions as c
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from tools.dashboards import panels as p
from tools.dashboards.dashboard import PICKED, RATE, VARIABLES, Dashboard, Row
from tools.dashboards.limits import limits
from tools.dashboards.service import (
    BUCKETS,
    COUNT,
    OPERATION,
    operations_table,
    percentile,
)  # fmt: skip

SATISFIED_S, TOLERATED_S = "0.25", "1"
"""Apdex: satisfied below a quarter of a second, tolerating below one; edges of the histogram."""
LABEL = f"{{{{{q.METHOD}}}}} {{{{{q.ROUTE}}}}}"


def _faster(edge: str) -> str:
    # Whether an edge is written `1` or `1.0` depends on the way the series came in.
    bucket = q.series(q.BUCKET, PICKED, q.REAL, rf'le=~"{edge}(\\.0)?"', f'{q.STATUS}!~"5.."')
    return f"sum(rate({bucket}[{RATE}]))"


def apdex() -> str:
    """Between 0 and 1; a failed request satisfies nobody."""
    good = f"({_faster(SATISFIED_S)} + {_faster(TOLERATED_S)}) / 2"
    return f"{good} / (sum(rate({COUNT}[{RATE}])) > 0)"


def dashboard() -> Dashboard:
    """The dashboard of requests."""
    active = q.series(c.HTTP_SERVER_ACTIVE_REQUESTS, PICKED)
    worker = q.series(c.PROCESS_MEMORY_USAGE, PICKED)
    busy = f"sum(last_over_time({active}[{q.GAUGE_WINDOW}]))"
    workers = f"count(last_over_time({worker}[{q.GAUGE_WINDOW}]))"
    latency = [
        p.heatmap("Latency of all requests", "How many requests took how long.",
                  f"sum by (le) (increase({BUCKETS}[{RATE}]))"),
        p.timeseries("Latency percentiles", "With the limits of the alert on the 95th percentile.",
                     *(p.promql(percentile(share), f"{100 * share:g} %", exemplar=share == 0.95)
                       for share in (0.5, 0.75, 0.95, 0.99)),
                     unit="s", steps=limits("response_time_p95")),
        p.timeseries("95th percentile by route", "The slowest ten.",
                     p.promql(f"topk(10, {percentile(0.95, q.METHOD, q.ROUTE)})", LABEL),
                     unit="s", table_legend=True, width=p.GRID),
    ]  # fmt: skip
    answers = [
        operations_table("Slowest and busiest routes"),
        p.timeseries("Status by route", "Requests a second.",
                     p.promql(f"sum by ({OPERATION}, {q.STATUS}) (rate({COUNT}[{RATE}]))",
                              f"{{{{{q.STATUS}}}}} {LABEL}"),
                     unit="reqps", table_legend=True, width=p.GRID),
    ]  # fmt: skip
    load = [
        p.timeseries("Apdex", "1: everybody answered within 0.25 s. Half counts up to 1 s, failed "
                     "requests do not.", p.promql(apdex(), "apdex"), unit="none",
                     width=8).max(1),
        p.timeseries("Being served", "Requests under way, and the workers that serve them.",
                     p.promql(busy, "requests"), p.promql(workers, "workers"), unit="short",
                     width=8),
        p.timeseries("Requests for each worker", "Above the threads of a worker, requests wait.",
                     p.promql(f"{busy} / {workers}", "requests a worker"), unit="short", width=8),
    ]  # fmt: skip
    return Dashboard(
        uid=d.REQUESTS, title="Requests in depth", variables=VARIABLES,
        description="Latency and status of each route.",
        rows=[Row("Latency", latency), Row("Routes", answers), Row("Saturation", load)],
    )  # fmt: skip
