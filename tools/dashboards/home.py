"""Home: which services there are, how they are, and where to begin."""

from __future__ import annotations

from proletto_otel.core import conventions as c
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from tools.dashboards import panels as p
from tools.dashboards.dashboard import Dashboard, Row

WHERE = f"""\
**A service is slow or fails:** [Service](/d/{d.SERVICE}), then [Requests](/d/{d.REQUESTS}).

**You have a request ID:** type it into [Errors and logs](/d/{d.ERRORS}).

**An alert came:** [Health](/d/{d.HEALTH}); what to do is in the [Runbook](/d/{d.RUNBOOK}).

**A machine or a worker:** [System and workers](/d/{d.SYSTEM}). **A promise:** [SLO](/d/{d.SLO}).

**Nothing arrives:** [Telemetry pipeline](/d/{d.PIPELINE}), and `python -m proletto_otel doctor`.
"""


def services() -> p.PanelBuilder:
    """A row per service."""
    by = f"sum by ({q.SERVICE})"
    count = q.series(q.COUNT, q.REAL)
    failed = q.series(q.COUNT, q.REAL, q.FAILED)
    rate = f"{by} (rate({count}[5m]))"
    buckets = f"sum by (le, {q.SERVICE}) (rate({q.series(q.BUCKET, q.REAL)}[5m]))"
    beat = q.series(c.HEARTBEAT)
    columns = [
        p.column(q.SERVICE, "Service", links=[
            {"title": "Open", "url": f"/d/{d.SERVICE}?var-service=${{__value.text}}"}]),
        p.column("Value #A", "Requests", "reqps"), p.column("Value #B", "Errors", "percent"),
        p.column("Value #C", "95th percentile", "s"), p.column("Value #D", "Last seen", "s"),
    ]  # fmt: skip
    return p.table(
        "Services", "Every service that sent something in the last hour.",
        p.instant(rate),
        p.instant(f"100 * ({by} (rate({failed}[5m])) or 0 * {rate}) / ({rate} > 0)"),
        p.instant(f"histogram_quantile(0.95, {buckets})"),
        p.instant(f"time() - max by ({q.SERVICE}) (max_over_time({beat}[1h]))"),
        width=14, height=10, overrides=columns,
    )  # fmt: skip


def dashboard() -> Dashboard:
    """The home page: one row for each service."""
    first = [services(), p.text("Where to begin", WHERE, width=10, height=10)]
    second = [
        p.alert_list("Firing alerts", "Of all services and of the stack.", height=9),
        p.up_or_down("Parts of the stack that answer", "Those that answer Prometheus are up.",
                     width=12, height=9),
    ]  # fmt: skip
    return Dashboard(
        uid=d.HOME, title="Home", annotations=False, rows=[Row("", first), Row("", second)],
        description="The services, and where to begin.",
    )  # fmt: skip
