"""SLO and error budget: how much may still fail this month, and how fast it goes."""

from __future__ import annotations

from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from proletto_otel.stack.slo_rules import BAD, LEFT, OBJECTIVE, RATIO, REQUESTS
from tools.dashboards import panels as p
from tools.dashboards.dashboard import PICKED, VARIABLES, Dashboard, Row

NAME = "{{service_name}} {{slo}}"
BUDGET_COLOURS = ((None, p.RED), (0.0, p.AMBER), (0.25, p.GREEN))


def _burn(window: str) -> str:
    ratio = q.series(f"{RATIO}{window}", PICKED)
    return f"{ratio} / (1 - {q.series(OBJECTIVE, PICKED)})"


def dashboard() -> Dashboard:
    """The dashboard of the objectives."""
    now = [
        p.stat("Error budget left", "Of 30 days; below 0 the objective is missed.",
               p.promql(q.series(LEFT, PICKED), NAME), unit="percentunit", width=7, height=6,
               steps=p.steps(*BUDGET_COLOURS)),
        p.stat("Good requests in 30 days", "Beside the objective.",
               p.promql(f"1 - {q.series(RATIO + '30d', PICKED)}", NAME),
               p.promql(q.series(OBJECTIVE, PICKED), f"objective {NAME}"), unit="percentunit",
               width=10, height=6).decimals(3),
        p.stat("Burn rate of the last hour", "1 uses the budget up in exactly 30 days; from 14.4 "
               "on somebody is called.", p.promql(_burn("1h"), NAME), unit="none", width=7,
               height=6, steps=p.steps((None, p.GREEN), (1, p.AMBER), (14.4, p.RED))),
    ]  # fmt: skip
    windows = ("5m", "30m", "1h", "6h", "1d", "3d")
    over_time = [
        p.timeseries("Burn rate", "Over six windows; the alerts look at pairs of them.",
                     *(p.promql(_burn(window), f"{NAME} {window}") for window in windows),
                     unit="none", table_legend=True, width=p.GRID,
                     steps=p.steps((None, p.GREEN), (1, p.AMBER), (14.4, p.RED))),
        p.timeseries("Budget left over time", "It comes back when bad days are 30 days old.",
                     p.promql(q.series(LEFT, PICKED), NAME), unit="percentunit",
                     from_zero=False),
        p.timeseries("Bad requests", "In five minutes, and all of them.",
                     p.promql(q.series(BAD, PICKED), f"bad {NAME}"),
                     p.promql(q.series(REQUESTS, PICKED), f"all {NAME}"), unit="short"),
    ]  # fmt: skip
    return Dashboard(
        uid=d.SLO, title="SLO and error budget", variables=VARIABLES, since="now-24h",
        description="Objectives, burn rates and the budget that is left.",
        rows=[Row("", now), Row("Over time", over_time)],
    )  # fmt: skip
