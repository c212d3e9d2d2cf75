"""Which rules there are: the pack that is shipped, and the one of a single application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from proletto_otel.alerts import defaults
from proletto_otel.alerts.indicators import INDICATORS, Indicator
from proletto_otel.alerts.slos import Slo
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.stack import pipeline_rules, service_rules, slo_rules, threshold_rules
from proletto_otel.stack import promql as q
from proletto_otel.stack.rule import Rule
from proletto_otel.stack.slo_rules import Recorded

OWN_RULES = "proletto:own_rules"
"""Recorded for each service that has a pack of its own: the shipped rules then leave it alone."""
UNLESS_OWN = f" unless on ({q.SERVICE}) {OWN_RULES}"

SHIPPED_CPUS = 8
SHIPPED_OPEN_FILES = 1024
"""The usual limits of a small machine; `alert-rules APP` takes those of the application."""
SHIPPED_SLO = Slo(name="availability", objective=0.999)


@dataclass(frozen=True, slots=True)
class Pack:
    """Rules that go into one pair of files."""

    name: str
    """Part of the file names and the groups: `default`, or the service."""
    rules: Sequence[Rule]
    recorded: Sequence[Recorded]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What an application registered with `monitor`."""

    service: str
    thresholds: Sequence[tuple[Threshold, Indicator]]
    slos: Sequence[Slo] = ()
    tells_itself: bool = False
    """`PROLETTO_ALERTS` is `local` or `both`: the application tells people about thresholds."""


def shipped() -> Pack:
    """For every service that sends to the stack, and the stack itself."""
    made: list[Rule] = []
    for threshold in defaults.defaults(SHIPPED_CPUS, SHIPPED_OPEN_FILES):
        indicator = INDICATORS[threshold.metric]
        made += threshold_rules.rules(threshold, indicator, unless=UNLESS_OWN)
    made += [
        replace(rule, expression=f"({rule.expression}){UNLESS_OWN}")
        for rule in service_rules.health()
    ]
    made += slo_rules.rules(SHIPPED_SLO)
    made += service_rules.errors() + service_rules.hosts() + service_rules.workers()
    made += service_rules.silent() + service_rules.telemetry()
    made += pipeline_rules.collector() + pipeline_rules.parts() + [pipeline_rules.watchdog()]
    return Pack("default", made, slo_rules.recorded(SHIPPED_SLO, unless=UNLESS_OWN))


def of_application(app: Registered) -> Pack:
    """For one service, in place of the shipped thresholds, health rules and objective."""
    only = f'{q.SERVICE}="{app.service}"'
    made: list[Rule] = []
    for threshold, indicator in app.thresholds:
        made += threshold_rules.rules(
            threshold, indicator, only=only, scope=app.service, paused=app.tells_itself
        )
    replaced = f'label_replace(vector(1), "{q.SERVICE}", "{app.service}", "", "")'
    recorded = [Recorded(OWN_RULES, replaced, "")]
    for slo in app.slos or (SHIPPED_SLO,):
        # The shipped objective and one of the same name are alike but for the service.
        made += slo_rules.rules(slo, only=only, scope=app.service)
        recorded += slo_rules.recorded(slo, only=only)
    return Pack(app.service, made, recorded)


def by_group(rules: Sequence[Rule]) -> Mapping[str, list[Rule]]:
    """The rules by group, in the order in which groups first come."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        found.setdefault(rule.group, []).append(rule)
    return found
