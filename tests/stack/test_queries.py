"""Every query of every panel and every rule, asked of the real Prometheus and Loki.

What returns nothing on a young system where all is well stands in a list, with why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from proletto_otel.stack import pack
from proletto_otel.stack.rule import Rule
from tests.stack.expressions import filled
from tests.stack.servers import wait_for
from tests.stack.system import System
from tests.stack.test_alert_rules import SCENES
from tests.stack.test_dashboards import queries
from tests.stack.traffic import Service, requests

NAME = "queries"
HURRY = 20
"""Seconds that a query may take to return something; what it shows is there by then."""

NOTHING_WRONG = {
    ("pipeline", "Refused and failed"): "the collector counts refusals from the first one on",
    ("pipeline", "Telemetry lost, by sink and reason"): "nothing is lost",
    ("pipeline", "Failures of the library"): "the library fails nowhere",
    ("health", "Alerts of the applications"): "nothing fires",
}
"""Panels that are rightly empty; `test_alert_rules` has the same queries over bad times."""

YOUNG_OR_WELL = {
    "ErrorSurge", "NewErrorType", "FailuresAtLowTraffic", "DiskFillsSoon", "WorkerMemoryGrows",
    "SloBurnsFast", "SloBurnsSlowly", "TelemetryDropped", "TelemetryInternalErrors",
    "CollectorRefuses", "CollectorExportFails", "CollectorLoses", "LokiDiscards",
}  # fmt: skip
"""Rules with a value only while something is wrong; each fires in `test_alert_rules`."""


@pytest.fixture(scope="module")
def running(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The stack with a service that had traffic and still runs."""
    folder = tmp_path_factory.mktemp(NAME)
    service = Service(NAME, folder, system.otlp, ("--workers", "2"))
    service.start()
    try:
        made = requests(NAME, 200)
        service.call_all(made[:100])
        history = f'count_over_time(proletto_heartbeat_seconds{{service_name="{NAME}"}}[5m]) > 1'
        wait_for("two exports", lambda: system.promql(history))
        service.call_all(made[100:])
        yield system
    finally:
        service.server.stop()


def ids(found: list[tuple[str, str, str]]) -> list[object]:
    """Parameters with readable names."""
    return [pytest.param(*one, id=f"{one[0]}-{one[1]}-{n}") for n, one in enumerate(found)]


@pytest.mark.parametrize(("board", "panel", "query"), ids(queries("prometheus")))
def test_panel_of_prometheus_has_data(running: System, board: str, panel: str, query: str) -> None:
    """What is shown on a default set-up is not empty."""
    asked = filled(query, service=NAME)
    if (board, panel) in NOTHING_WRONG:
        running.promql(asked)
        return

    assert wait_for(asked, lambda: running.promql(asked))


@pytest.mark.parametrize(("board", "panel", "query"), ids(queries("loki")))
def test_panel_of_loki_has_data(running: System, board: str, panel: str, query: str) -> None:
    """Log lines, and numbers made of them."""
    asked = filled(query, service=NAME)

    assert wait_for(asked, lambda: running.loki(asked))


@pytest.mark.parametrize(("board", "panel", "query"), ids(queries("loki")))
def test_panel_of_loki_answers_for_all_services(
    running: System, board: str, panel: str, query: str
) -> None:
    """As a dashboard opens, before anything is picked: Loki refuses what fits no label at all."""
    asked = filled(query)

    assert wait_for(asked, lambda: running.loki(asked))


def test_request_id_box_finds_one_request(running: System) -> None:
    """With an ID typed in, the log panel shows the lines of that request only."""
    (query,) = {q for board, panel, q in queries("loki") if (board, panel) == ("errors", "Lines")}
    asked = filled(query, service=NAME, request_id=f"{NAME}-0009")
    lines = wait_for(asked, lambda: running.logql(asked))

    assert {f"{NAME}-0009"} == {labels["request_id"] for labels, _ in lines}


@pytest.mark.parametrize("rule", pack.shipped().rules, ids=lambda rule: rule.name)
def test_rule_has_data(running: System, rule: Rule) -> None:
    """Its value exists while all is well, or the rule has a scene in which it fires."""
    if rule.base in YOUNG_OR_WELL:
        running.promql(rule.expression)
        assert any(rule.name in scene.fires for scene in SCENES.values())
        return

    assert wait_for(rule.expression, lambda: running.promql(rule.expression))


def test_values_of_the_stack_are_named_as_the_rules_name_them(running: System) -> None:
    """The collector's counters that exist end as the queries say, with or without `_total`."""
    names = {series["metric"]["__name__"] for series in running.promql('{__name__=~"otelcol_.+"}')}
    asked = {
        name
        for _, _, query in queries("prometheus")
        for name in re.findall(r"otelcol_\w+", query)
        if not re.search("refused|failed", name)
    }

    assert set() == asked - names
