"""Which rules an application's pack has, and where their links lead."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from proletto_otel.alerts.indicators import GAUGE_ALERT, INDICATORS, Indicator
from proletto_otel.alerts.slos import Slo
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.stack import grafana_rules, pack
from proletto_otel.stack.pack import Pack, Registered
from tests.stack.servers import ROOT

RUNBOOK = "https://wiki.example.com/runbook"
HEADINGS = re.findall(r"^## (.+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
APP = Registered(
    service="shop",
    thresholds=[
        (Threshold(metric="memory_percent", warning=70), INDICATORS["memory_percent"]),
        (
            Threshold(metric="queue_depth", warning=5),
            Indicator(name="queue_depth", title="Queue depth", alert=GAUGE_ALERT, unit=""),
        ),
    ],
)


@pytest.mark.parametrize(
    ("slos", "names"),
    [((), {"availability"}), ((Slo(name="checkout", objective=0.99),), {"checkout"})],
    ids=["none", "one"],
)
def test_objectives_are_the_applications_own(slos: tuple[Slo, ...], names: set[str]) -> None:
    """The shipped one stands for an application that registered none, and for no other."""
    made = pack.of_application(replace(APP, slos=slos))

    assert {series.slo for series in made.recorded if series.slo} == names


@pytest.mark.parametrize("made", [pack.shipped(), pack.of_application(APP)], ids=lambda m: m.name)
def test_rule_leads_to_its_heading_in_a_runbook_elsewhere(made: Pack) -> None:
    """`--runbook URL`: a copy of docs/runbook.md with the same headings."""
    groups = grafana_rules.rules_file(made, runbook=RUNBOOK, before="")["groups"]
    links = {rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"]}

    assert links
    assert links <= {f"{RUNBOOK}#{heading.lower()}" for heading in HEADINGS}


def test_rule_of_a_gauge_leads_to_the_heading_of_gauges() -> None:
    """Its own name is the application's; the runbook has one heading for all of them."""
    (rule,) = [rule for rule in pack.of_application(APP).rules if "Queue depth" == rule.title]

    assert rule.base != GAUGE_ALERT
    assert GAUGE_ALERT.lower() == rule.anchor
