"""The dashboards: every name is of the contract, every reference resolves, the grid is sound.

That their queries return data is shown by `test_queries`.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.stack import dashboard_uids, pack
from proletto_otel.stack.prometheus_rules import recording_file
from tests.stack.expressions import contract, nodes, parse, selectors, used_labels
from tests.stack.servers import ROOT, dashboard_generators

FOLDER = ROOT / "grafana/dashboards"
PATHS = sorted(FOLDER.glob("*.json"))
SOURCES = {"prometheus", "loki", "tempo"}
COUNTER_ENDS = ("_total", "_bucket", "_count", "_sum")
ADDED = {"signal", "slo"}
"""Labels that our own rules and queries put on series."""


def load(path: Path) -> dict[str, Any]:
    """A dashboard."""
    return dict(json.loads(path.read_text()))


BOARDS = {path.stem: load(path) for path in PATHS}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries(store: str) -> list[tuple[str, str, str]]:
    """(dashboard, panel, expression) of a store."""
    return [
        (name, panel["title"], target["query" if store == "tempo" else "expr"])
        for name, board in BOARDS.items()
        for panel in panels(board)
        for target in panel.get("targets", ())
        if target["datasource"]["uid"] == store
    ]


RULES = [("rules", rule.name, rule.expression) for rule in pack.shipped().rules]
RECORDED = [
    ("recorded", rule["record"], rule["expr"])
    for group in recording_file(pack.shipped())["groups"]
    for rule in group["rules"]
]
PROMQL = queries("prometheus") + RULES + RECORDED


def named(queries: list[tuple[str, str, str]]) -> list[Any]:
    """Parameters with readable names."""
    return [
        pytest.param(query, id=f"{board}-{title}-{number}")
        for number, (board, title, query) in enumerate(queries)
    ]


@pytest.mark.parametrize("query", named(PROMQL))
def test_metrics_are_of_the_contract(query: str) -> None:
    """No panel and no rule uses a name that the default set-up does not emit."""
    assert set() == {selector.name for selector in selectors(query)} - set(contract())


@pytest.mark.parametrize("query", named(PROMQL))
def test_labels_exist_on_their_metrics(query: str) -> None:
    """A filter or a grouping by a label that a metric lacks would show nothing."""
    found = [contract()[selector.name] for selector in selectors(query)]
    allowed = set().union(ADDED, *found)

    assert set() == used_labels(query) - allowed


@pytest.mark.parametrize("query", named(PROMQL))
def test_counters_are_rated(query: str) -> None:
    """A raw counter says nothing; each sits in `rate`, `increase` or asks whether it is there."""
    ranges = [node for node in nodes(parse(query)) if type(node).__name__ == "MatrixSelector"]
    inside = {str(node.vector_selector) for node in ranges}
    raw = [
        selector.name
        for selector in selectors(query)
        if selector.name.endswith(COUNTER_ENDS) and str(selector) not in inside
    ]

    assert [] == raw


@pytest.mark.parametrize("name", BOARDS)
def test_data_sources_are_the_provisioned_ones(name: str) -> None:
    """Every reference is one of the three fixed uids."""
    found = set(re.findall(r'"uid": "([^"]*)"', (FOLDER / f"{name}.json").read_text()))

    assert set() == found - SOURCES - {BOARDS[name]["uid"]}


@pytest.mark.parametrize("name", BOARDS)
def test_panels_explain_themselves(name: str) -> None:
    """Each panel has a title, a description and, where it shows numbers, a unit."""
    for panel in panels(BOARDS[name]):
        assert panel["title"]
        assert panel["description"] or panel["type"] == "text"
        if panel["type"] in ("stat", "timeseries"):
            assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("name", BOARDS)
def test_grid_is_sound(name: str) -> None:
    """Panel IDs are unique, nothing leaves the grid, and no two panels overlap."""
    found = BOARDS[name]["panels"]
    assert len(found) == len({panel["id"] for panel in found})
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in found)
    for one, other in itertools.combinations((panel["gridPos"] for panel in found), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@pytest.mark.parametrize("name", BOARDS)
def test_dashboard_is_a_file(name: str) -> None:
    """Classic JSON with a stable uid, not editable in the browser, no database ID."""
    found = BOARDS[name]

    assert f"proletto-{name}" == found["uid"]
    assert found["id"] is None
    assert found["editable"] is False
    assert found["schemaVersion"] <= 42
    assert "__inputs" not in found


def test_uids_and_titles_are_unique() -> None:
    """The same uid or title twice: the provider stops writing."""
    assert (
        len(BOARDS)
        == len({board["uid"] for board in BOARDS.values()})
        == len({board["title"] for board in BOARDS.values()})
    )


def test_uids_are_the_known_ones() -> None:
    """Links lead to dashboards that are there, and each is linked."""
    known = {value for name, value in vars(dashboard_uids).items() if name.isupper()}

    assert known == {board["uid"] for board in BOARDS.values()}


@pytest.mark.parametrize("name", BOARDS)
def test_links_lead_to_dashboards(name: str) -> None:
    """Also those in texts and tables."""
    text = json.dumps(BOARDS[name])
    uids = {board["uid"] for board in BOARDS.values()}

    assert set() == set(re.findall(r"/d/([\w-]+)", text)) - uids
    assert uids == set(re.findall(r'"url": "/d/([\w-]+)"', text))


@pytest.mark.parametrize("name", BOARDS)
def test_links_and_deployments_are_in_sight(name: str) -> None:
    """Not in a menu, where the SDK would put them and one has to look for them."""
    board = BOARDS[name]
    shown = [*board["links"], *board["annotations"]["list"]]

    assert board["links"]
    assert [] == [each for each in shown if each.get("placement")]


@pytest.mark.parametrize("name", BOARDS)
def test_variables_are_defined(name: str) -> None:
    """A query asks for no variable that its dashboard lacks."""
    board = BOARDS[name]
    defined = {variable["name"] for variable in board["templating"]["list"]}
    asked = {
        variable
        for panel in panels(board)
        for target in panel.get("targets", ())
        for variable in re.findall(r"\$(\w+)", target.get("expr", "") + target.get("query", ""))
    }

    assert set() == asked - defined - {"__rate_interval", "__auto"}


@pytest.mark.parametrize("rule", pack.shipped().rules, ids=lambda rule: rule.name)
def test_every_rule_links_to_a_panel(rule: Any) -> None:
    """Its dashboard has a panel of that number and title."""
    (board,) = [board for board in BOARDS.values() if board["uid"] == rule.panel.dashboard]
    found = {panel["id"]: panel["title"] for panel in panels(board)}

    assert rule.panel.title == found[rule.panel.id]


@pytest.mark.parametrize("rule", pack.shipped().rules, ids=lambda rule: rule.name)
def test_every_rule_has_a_runbook_entry(rule: Any) -> None:
    """A heading in docs/runbook.md, and a panel of the runbook dashboard."""
    heading = rule.runbook or rule.base

    assert f"\n## {heading}\n" in (ROOT / "docs/runbook.md").read_text()
    assert heading in {panel["title"] for panel in panels(BOARDS["runbook"])}


def test_limits_are_those_of_the_alerts() -> None:
    """Lines and colours of a panel are the numbers of the rule."""
    dashboard_generators()
    from tools.dashboards import limits

    drawn = [step.value for step in limits.limits("error_rate").build().steps]
    rules = [rule for rule in pack.shipped().rules if rule.base == "HighErrorRate"]

    assert [None, *(rule.band.beyond for rule in rules)] == drawn
