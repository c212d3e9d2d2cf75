"""Errors and logs: what fails, since when, and everything about one request."""

from __future__ import annotations

from proletto_otel.core import conventions as c
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from tools.dashboards import panels as p
from tools.dashboards.dashboard import (
    PICKED,
    PICKED_LOGS,
    RATE,
    VARIABLES,
    Dashboard,
    Row,
    text_variable,
)  # fmt: skip
from tools.dashboards.service import ERROR_LEVELS, FAILED_TRACES

GROUP = f"{q.EXCEPTION}, {q.FILE}, {q.LINE}, {q.FINGERPRINT}"
FINGERPRINT = f'{q.FINGERPRINT}!=""'
REQUEST_ID = text_variable("request_id", "Request ID")
SEARCH = text_variable("search", "Text in the line")


def dashboard() -> Dashboard:
    """The dashboard of errors and logs."""
    errors = q.series(c.ERRORS, PICKED)
    by_group = f"sum by ({GROUP})"
    recent = f"{by_group} (count_over_time({PICKED_LOGS} | {FINGERPRINT} [15m]))"
    earlier = f"{by_group} (count_over_time({PICKED_LOGS} | {FINGERPRINT} [6h] offset 15m))"
    columns = [
        p.column(q.EXCEPTION, "Exception", wrap=True), p.column(q.FILE, "File", wrap=True),
        p.column(q.LINE, "Line", width=60), p.column("Value #A", "Times", "short"),
        p.column(q.FINGERPRINT, "Fingerprint"),
    ]  # fmt: skip
    top = [
        p.timeseries("Errors by exception", "Log lines of level ERROR and above, a second.",
                     p.promql(f'label_replace(sum by ({q.EXCEPTION}, component)'
                              f' (rate({errors}[{RATE}])), "{q.EXCEPTION}", "no exception",'
                              f' "{q.EXCEPTION}", "")',
                              f"{{{{{q.EXCEPTION}}}}} {{{{component}}}}"), unit="cps"),
        p.timeseries("Lines by level", "Log lines a second.",
                     p.logql(f"sum by (severity_text) (rate({PICKED_LOGS} [$__auto]))",
                             "{{severity_text}}"), unit="cps", stacked=True),
        p.table("Error groups of the last hour", "One row per fingerprint: what was raised where.",
                p.logql(f"topk(20, {by_group} (count_over_time({PICKED_LOGS} | {FINGERPRINT} "
                        "[1h])))", now=True),
                overrides=columns, width=14, empty_while_well="No errors."),
        p.table("New since a quarter of an hour", "Groups that the six hours before did not have.",
                p.logql(f"{recent} unless {earlier}", now=True),
                overrides=columns, width=10, empty_while_well="Nothing new."),
    ]  # fmt: skip
    found = f'{PICKED_LOGS} | {q.REQUEST_ID}=~"$request_id.*" |~ "(?i)$search"'
    one = [
        p.logs("Lines", "Everything that fits the two boxes above; an ID shows its request alone.",
               found, width=14),
        p.table("Trace of the request", "Empty until an ID is typed in above: any of its traces.",
                p.traceql(f'{{span.{c.REQUEST_ID}="$request_id"}}'), width=10, height=6,
                transformations=(), empty_while_well="Type a request ID above."),
        p.table("Failed requests", "The latest traces with an error.", p.traceql(FAILED_TRACES),
                width=10, height=6, transformations=()),
        p.logs("Errors", "Lines of level ERROR and above, with their stack traces.",
               f'{PICKED_LOGS} | {ERROR_LEVELS} | {q.REQUEST_ID}=~"$request_id.*"'),
    ]  # fmt: skip
    return Dashboard(
        uid=d.ERRORS, title="Errors and logs", variables=(*VARIABLES, REQUEST_ID, SEARCH),
        description="Error groups, log lines, and one request by its ID.",
        rows=[Row("Errors", top), Row("Requests and lines", one)],
    )  # fmt: skip
