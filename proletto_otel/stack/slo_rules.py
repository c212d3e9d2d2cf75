"""Objectives as rules: recorded series, and alerts when the error budget burns too fast.

Windows and factors are those of the SRE workbook for 30 days (as sloth's google-30d): a page when
2 % of the budget go in an hour or 5 % in six, a ticket when 10 % go in a day or in three.
"""

from __future__ import annotations

from dataclasses import dataclass

from proletto_otel.alerts.slos import LATENCY, Slo
from proletto_otel.core.severity import CRITICAL, WARNING
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from proletto_otel.stack.rule import Band, Panel, Rule
from proletto_otel.stack.threshold_rules import WINDOW

REQUESTS = "slo:requests:increase5m"
BAD = "slo:bad_requests:increase5m"
RATIO = "slo:sli_error:ratio_rate"
OBJECTIVE = "slo:objective:ratio"
LEFT = "slo:period_error_budget_remaining:ratio"
SHORT_WINDOWS = ("5m", "30m", "1h", "2h", "6h")
LONG_WINDOWS = ("1d", "3d", "30d")
PERIOD = "30d"
LEAST_BAD = 10
"""So many bad requests must lie in the long window: at one request in ten seconds a single failure
burns fourteen times the budget of an hour's 99.9 %, and wakes nobody."""
SAMPLES_A_WINDOW = 5
"""The five-minute counts are recorded once a minute: a sum over time has each request so often."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording rule of Prometheus."""

    name: str
    expression: str
    slo: str
    """Value of the label `slo`; empty: none."""
    every: str = "1m"


@dataclass(frozen=True, slots=True)
class _Pair:
    factor: float
    short: str
    long: str


# Factors and windows of the SRE Workbook, chapter 5 ("Alerting on SLOs"): 14.4 spends 2 % of 30
# days' budget in an hour, 6 spends 5 % in six hours; 3 and 1 spend 10 % in one and three days.
_PAGE = (_Pair(14.4, "5m", "1h"), _Pair(6, "30m", "6h"))
_TICKET = (_Pair(3, "2h", "1d"), _Pair(1, "6h", "3d"))


def recorded(slo: Slo, *, only: str = "", unless: str = "") -> list[Recorded]:
    """The series of one objective: few, so that pages and rules need not touch the raw ones."""
    route = f'{q.ROUTE}="{slo.route}"' if slo.route else ""
    every = q.requests(WINDOW, only, route)
    failed = q.requests(WINDOW, q.FAILED, only, route)
    bad = f"{failed} or 0 * {every}"
    if slo.sli == LATENCY:
        # Whether an edge is written `1` or `1.0` depends on the way the series came in.
        edge = rf'le=~"{slo.latency_threshold:g}(\\.0)?"'
        good = q.increase(q.BUCKET, WINDOW, q.REAL, f'{q.STATUS}!~"5.."', edge, only, route)
        bad = f"{every} - (sum {q.by()} ({good}) or 0 * {every})"
    sums = [
        Recorded(REQUESTS, f"({every}){unless}", slo.name),
        Recorded(BAD, f"({bad}){unless}", slo.name),
        Recorded(OBJECTIVE, f"0 * {_of(REQUESTS, slo)} + {slo.objective:.15g}", slo.name),
    ]
    return sums + _ratios(slo)


def _ratios(slo: Slo) -> list[Recorded]:
    made = []
    # Long windows move slowly and read many samples: every five minutes is enough.
    for every, windows in (("1m", SHORT_WINDOWS), ("5m", LONG_WINDOWS)):
        for window in windows:
            bad, total = (f"sum_over_time({_of(name, slo)}[{window}])" for name in (BAD, REQUESTS))
            made.append(Recorded(RATIO + window, f"{bad} / ({total} > 0)", slo.name, every))
    left = f"1 - {_of(RATIO + PERIOD, slo)} / {slo.budget:.15g}"
    return [*made, Recorded(LEFT, left, slo.name, "5m")]


def _of(name: str, slo: Slo) -> str:
    return f'{name}{{slo="{slo.name}"}}'


def rules(slo: Slo, *, only: str = "", scope: str = "") -> list[Rule]:
    """A page and a ticket for one objective; *only* picks the services."""
    return [
        _burn(slo, "SloBurnsFast", CRITICAL, _PAGE, only, scope),
        _burn(slo, "SloBurnsSlowly", WARNING, _TICKET, only, scope),
    ]


def _burn(
    slo: Slo, base: str, severity: str, pairs: tuple[_Pair, _Pair], only: str, scope: str
) -> Rule:
    return Rule(
        base=base,
        severity=severity,
        group="slo",
        expression="\nor\n".join(_pair(slo, pair, only) for pair in pairs),
        band=Band(0),
        title="Error budget",
        unit="times as fast as it may",
        panel=Panel(dashboard=d.SLO, title="Burn rate"),
        about=("slo",),
        text=(
            "Error budget of {{ $labels.slo }} burns <value> times as fast as it may "
            f"({severity} at {pairs[0].factor:g} over {pairs[0].long}, {pairs[1].factor:g} over "
            f"{pairs[1].long}; objective {100 * slo.objective:.6g} %)"
        ),
        description="At this rate the errors allowed for 30 days are used up before they end.",
        scope=f"{scope}/{slo.name}" if scope else slo.name,
    )


def _pair(slo: Slo, pair: _Pair, only: str) -> str:
    """The burn rate over the long window, where both windows burn and enough requests were bad."""
    limit = f"{pair.factor * slo.budget:.15g}"
    label = f'slo="{slo.name}"'
    long, short = (q.series(RATIO + w, label, only) for w in (pair.long, pair.short))
    bad = f"sum_over_time({q.series(BAD, label, only)}[{pair.long}])"
    return (
        f"({long} > {limit}) / {slo.budget:.15g}\nand ({short} > {limit})\n"
        f"and ({bad} >= {LEAST_BAD * SAMPLES_A_WINDOW})"
    )
