"""The dashboards: every name is of the contract, every reference resolves, the grid is sound.

That their queries return data is shown by `test_end_to_end`.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.core import conventions
from proletto_otel.core.conventions import Metric, label_name
from tests.stack.servers import ROOT

FOLDER = ROOT / "grafana/dashboards"
PATHS = sorted(FOLDER.glob("*.json"))
SOURCES = {"prometheus", "loki", "tempo"}
IDENTITY = {"service_name", "service_namespace", "deployment_environment_name", "host_name"}
"""Resource attributes that prometheus.yml promotes and queries may filter by."""


def load(path: Path) -> dict[str, Any]:
    """A dashboard."""
    return dict(json.loads(path.read_text()))


def panels(path: Path) -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in load(path)["panels"] if panel["type"] != "row"]


def contract() -> dict[str, set[str]]:
    """Prometheus series name -> the labels it may have."""
    names: dict[str, set[str]] = {}
    for metric in vars(conventions).values():
        if isinstance(metric, Metric):
            labels = {label_name(attribute) for attribute in metric.attributes} | IDENTITY
            ends = ("_bucket", "_count", "_sum") if metric.kind == "histogram" else ("",)
            for end in ends:
                more = {"le"} if end == "_bucket" else set()
                names[f"{metric.prometheus}{end}"] = labels | more
    return names


def expressions(path: Path) -> list[str]:
    """The PromQL of all panels."""
    return [
        target["expr"]
        for panel in panels(path)
        for target in panel["targets"]
        if target["datasource"]["uid"] == "prometheus"
    ]


def series(expression: str) -> set[str]:
    """The metric names of an expression."""
    return set(re.findall(r"([a-z_]\w*)\{", expression))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_metrics_are_of_the_contract(path: Path) -> None:
    """No panel uses a name that the default set-up does not emit."""
    assert expressions(path)
    for expression in expressions(path):
        assert series(expression)
        assert set() == series(expression) - set(contract())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_labels_exist_on_their_metrics(path: Path) -> None:
    """A filter or a grouping by a label that a metric lacks would show nothing."""
    for expression in expressions(path):
        allowed = set.union(*(contract()[name] for name in series(expression)))
        matchers = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
        groups = re.findall(r"by \(([^)]*)\)", expression)
        grouped = {label.strip() for group in groups for label in group.split(",")}

        assert set() == (matchers | grouped) - allowed


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_counters_are_rated(path: Path) -> None:
    """A raw counter says nothing; each sits in `rate` over Grafana's interval."""
    for expression in expressions(path):
        for name in series(expression):
            if name.endswith(("_total", "_bucket", "_count", "_sum")):
                rated = re.findall(rf"rate\({name}\{{[^}}]*\}}\[\$__rate_interval\]\)", expression)

                assert len(rated) == len(re.findall(rf"{name}\{{", expression))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_data_sources_are_the_provisioned_ones(path: Path) -> None:
    """Every reference is one of the three fixed uids."""
    text = path.read_text()

    assert set() == set(re.findall(r'"uid": "([^"]*)"', text)) - SOURCES - {load(path)["uid"]}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_panels_explain_themselves(path: Path) -> None:
    """Each panel has a title, a description and, where it shows numbers, a unit."""
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"]
        if panel["type"] not in ("logs", "table"):
            assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_grid_is_sound(path: Path) -> None:
    """Panel IDs are unique, and no two panels overlap."""
    found = load(path)["panels"]
    assert len(found) == len({panel["id"] for panel in found})
    for one, other in itertools.combinations((panel["gridPos"] for panel in found), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_dashboard_is_a_file(path: Path) -> None:
    """Classic JSON with a stable uid, not editable in the browser, no database ID."""
    found = load(path)

    assert re.fullmatch(r"proletto-[a-z-]{1,30}", found["uid"])
    assert found["id"] is None
    assert found["editable"] is False
    assert found["schemaVersion"] <= 42
    assert "__inputs" not in found


def test_uids_and_titles_are_unique() -> None:
    """The same uid or title twice: the provider stops writing."""
    found = [load(path) for path in PATHS]

    assert (
        len(PATHS) == len({each["uid"] for each in found}) == len({each["title"] for each in found})
    )
