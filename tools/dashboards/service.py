"""Service overview: is it well, and if not, where to look."""

from __future__ import annotations

from proletto_otel.core import conventions as c
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from proletto_otel.stack.slo_rules import LEFT
from tools.dashboards import panels as p
from tools.dashboards.dashboard import (
    PICKED,
    PICKED_LOGS,
    RATE,
    VARIABLES,
    Dashboard,
    Row,
)  # fmt: skip
from tools.dashboards.limits import limits
from tools.dashboards.queries import Query

COUNT = q.series(q.COUNT, PICKED, q.REAL)
FAILED = q.series(q.COUNT, PICKED, q.REAL, q.FAILED)
BUCKETS = q.series(q.BUCKET, PICKED, q.REAL)
OPERATION = f"{q.METHOD}, {q.ROUTE}"
ERROR_LEVELS = 'severity_text=~"ERROR|CRITICAL|FATAL"'
FAILED_TRACES = (
    '{resource.service.name=~"$service" && status=error} | select('
    f"span.{c.HTTP_ROUTE}, span.{c.REQUEST_ID}, span.{c.HTTP_RESPONSE_STATUS_CODE}) "
    "with (most_recent=true)"
)


def percentile(share: float, *labels: str) -> str:
    """A percentile of the latency, by *labels*."""
    by = ", ".join(("le", *labels))
    return f"histogram_quantile({share:g}, sum by ({by}) (rate({BUCKETS}[{RATE}])))"


def ratio() -> str:
    """Failed requests in per cent; 0 where none failed."""
    every = f"sum(rate({COUNT}[{RATE}]))"
    return f"100 * (sum(rate({FAILED}[{RATE}])) or 0 * {every}) / ({every} > 0)"


def operations() -> list[Query]:
    """Columns of the table of operations."""
    by = f"sum by ({OPERATION})"
    rate, failed = f"{by} (rate({COUNT}[5m]))", f"{by} (rate({FAILED}[5m]))"
    spent = f"{by} (rate({q.series(q.SUM, PICKED, q.REAL)}[5m]))"
    buckets = f"sum by (le, {OPERATION}) (rate({BUCKETS}[5m]))"
    return [
        p.instant(rate),
        p.instant(f"100 * ({failed} or 0 * {rate}) / ({rate} > 0)"),
        p.instant(f"histogram_quantile(0.95, {buckets})"),
        p.instant(f"{spent} / scalar(sum(rate({q.series(q.SUM, PICKED, q.REAL)}[5m])))"),
    ]


def operations_table(title: str) -> p.PanelBuilder:
    """Rate, errors, latency and share of the time of each operation."""
    columns = [
        p.column(q.METHOD, "Method"), p.column(q.ROUTE, "Route", wrap=True),
        p.column("Value #A", "Requests", "reqps"), p.column("Value #B", "Errors", "percent"),
        p.column("Value #C", "95th percentile", "s"),
        p.column("Value #D", "Share of the time", "percentunit"),
    ]  # fmt: skip
    return p.table(
        title, "The busiest operations first; an empty route is a request that no route answered.",
        *operations(), width=p.GRID, height=9, overrides=columns,
    )  # fmt: skip


def dashboard() -> Dashboard:
    """The overview of one service."""
    active = q.series(c.HTTP_SERVER_ACTIVE_REQUESTS, PICKED)
    # Three in a row: of narrower ones Grafana cuts the titles.
    now = [
        p.stat("Requests", "Requests a second.", p.promql(f"sum(rate({COUNT}[{RATE}]))"),
               unit="reqps", width=8),
        p.stat("Errors now", "Requests that end in 5xx, of all.", p.promql(ratio()),
               unit="percent", steps=limits("error_rate"), width=8),
        p.stat("95th percentile", "One request of twenty takes longer.",
               p.promql(percentile(0.95)), unit="s", steps=limits("response_time_p95"),
               width=8),
        p.stat("Being served", "Requests under way in all workers.",
               p.promql(f"sum(last_over_time({active}[{q.GAUGE_WINDOW}]))"), unit="short", width=8),
        p.stat("Error budget left", "Of the objectives, over 30 days; the worst one.",
               p.promql(f"min({q.series(LEFT, PICKED)})"), unit="percentunit",
               steps=p.steps((None, p.RED), (0.0, p.AMBER), (0.25, p.GREEN)), width=8)
        .mappings([p.below(0, "used up")]),
        p.stat("Errors logged", "Lines of level ERROR and above in the last hour.",
               p.logql(f"sum(count_over_time({PICKED_LOGS} | {ERROR_LEVELS} [1h]))", now=True),
               unit="short", empty_while_well="0", width=8),
    ]  # fmt: skip
    traffic = [
        p.timeseries("Requests by route", "Requests a second of each method and route.",
                     p.promql(f"sum by ({OPERATION}) (rate({COUNT}[{RATE}]))",
                              f"{{{{{q.METHOD}}}}} {{{{{q.ROUTE}}}}}"),
                     unit="reqps", stacked=True),
        p.timeseries("Responses by status", "Requests a second of each status code.",
                     p.promql(f"sum by ({q.STATUS}) (rate({COUNT}[{RATE}]))",
                              f"{{{{{q.STATUS}}}}}"), unit="reqps", stacked=True),
        p.timeseries("Error ratio", "Requests that end in 5xx, of all, with the alert's limits.",
                     p.promql(ratio(), "errors"), unit="percent",
                     steps=limits("error_rate")),
        p.timeseries("Latency", "Half, 95 % and 99 % of the requests were faster; a dot is a "
                     "trace.",
                     *(p.promql(percentile(share), f"{100 * share:g} %", exemplar=True)
                       for share in (0.5, 0.95, 0.99)), unit="s"),
        operations_table("Operations"),
    ]  # fmt: skip
    last = [
        p.logs("Errors and warnings", "Open a line for its request ID and its trace.",
               f'{PICKED_LOGS} | severity_text=~"WARN.*|ERROR|CRITICAL|FATAL"', width=14),
        p.table("Failed requests", "The latest traces with an error; Tempo shows them after half "
                "a minute.", p.traceql(FAILED_TRACES), width=10, height=12, transformations=()),
    ]  # fmt: skip
    return Dashboard(
        uid=d.SERVICE, title="Service overview", variables=VARIABLES,
        description="Traffic, errors and latency of a service, and its objectives.",
        rows=[Row("", now), Row("Traffic, errors, latency", traffic), Row("What failed", last)],
    )  # fmt: skip
