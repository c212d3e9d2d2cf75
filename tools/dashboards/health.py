"""Health and alerts: what is wrong now, and who says so."""

from __future__ import annotations

from proletto_otel.core import conventions as c
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from proletto_otel.stack.threshold_rules import health_value
from tools.dashboards import panels as p
from tools.dashboards.dashboard import PICKED, VARIABLES, Dashboard, Row

_SERVICE = p.column("service_name", "Service")


def dashboard() -> Dashboard:
    """The dashboard of health checks and alerts."""
    state = q.latest(c.HEALTH_CHECK_STATUS, PICKED)
    alert = q.latest(c.ALERT_STATE, PICKED)
    beat = q.series(c.HEARTBEAT, PICKED)
    checks = f"max by (service_name, check, critical, state) ({state}) == 1"
    now = [
        p.alert_list("Firing alerts", "Of Grafana, of all services.", width=12, height=10),
        p.table("Alerts of the applications", "What the applications themselves say is wrong.",
                p.instant("max by (service_name, alert, name, severity) "
                          f"({alert}) == 1"), height=10, empty_while_well="Nothing fires.",
                overrides=[
                    _SERVICE, p.column("alert", "Alert"), p.column("name", "Threshold"),
                    p.column("severity", "Severity",
                             colours={"warning": p.AMBER, "critical": p.RED}),
                ]),
    ]  # fmt: skip
    health = [
        p.table("Health checks", "The state each check is in.", p.instant(checks), height=9,
                overrides=[
                    _SERVICE, p.column("check", "Check"), p.column("critical", "Critical"),
                    p.column("state", "State", colours={
                        "healthy": p.GREEN, "degraded": p.AMBER, "unhealthy": p.RED}),
                ]),
        p.timeseries("Health over time", "0 healthy, 1 degraded, 2 unhealthy.",
                     p.promql(health_value(PICKED), "{{service_name}} {{check}}"),
                     unit="none", height=9).max(2),
        p.timeseries("Duration of checks", "When they last ran.",
                     p.promql(f"max by (service_name, check) "
                              f"({q.latest(c.HEALTH_CHECK_DURATION, PICKED)})",
                              "{{service_name}} {{check}}"), unit="s"),
        p.timeseries("Last sign of life", "Seconds since a service sent its latest sample.",
                     p.promql(f"time() - max by (service_name) (max_over_time({beat}[6h]))",
                              "{{service_name}}"), unit="s",
                     steps=p.steps((None, p.GREEN), (180, p.RED))),
    ]  # fmt: skip
    return Dashboard(
        uid=d.HEALTH, title="Health and alerts", variables=VARIABLES,
        description="Alerts of Grafana and of the applications, health checks, silent services.",
        rows=[Row("Alerts", now), Row("Health", health)],
    )  # fmt: skip
