"""Queries and dashboards as Grafana itself reads them: its grammars, its published types."""

from __future__ import annotations

import copy
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack.expressions import filled
from tests.stack.grafana_types import unknown
from tests.stack.npm import SOURCES, unparsed
from tests.stack.servers import ROOT, versions
from tests.stack.test_dashboards import BOARDS, queries

GRAFANA = ROOT / "grafana"
TEMPLATE = re.compile(r"\{\{.*?\}\}")


def linked() -> Iterator[tuple[str, str, str]]:
    """(file, store, query) of every link into Explore, in messages, rules and dashboards."""
    for path in sorted(GRAFANA.rglob("*")):
        if path.suffix not in (".yaml", ".json"):
            continue
        for panes in re.findall(r"panes=((?:\{\{.*?\}\}|[^\s|>\"\\{}])+)", _unescaped(path)):
            pane = json.loads(urllib.parse.unquote(TEMPLATE.sub("shop", panes)))["a"]
            for query in pane["queries"]:
                store = query["datasource"]["type"]
                yield path.name, store, query["query" if store == "tempo" else "expr"]


def _unescaped(path: Path) -> str:
    return path.read_text().replace('\\"', "'")


def provisioned() -> Iterator[tuple[str, str, str]]:
    """The query from a trace to its lines."""
    path = GRAFANA / "provisioning/datasources/datasources.yaml"
    for source in yaml.safe_load(path.read_text())["datasources"]:
        if query := source["jsonData"].get("tracesToLogsV2", {}).get("query"):
            filled_in = query.replace("$${__tags}", 'service_name="shop"')
            yield path.name, "loki", filled_in.replace("$${__trace.traceId}", "4bf92f35")


def every() -> list[tuple[str, str, str]]:
    """(where, store, query) of all that Loki and Tempo are asked."""
    panels = [
        (f"{board}: {panel}", store, filled(query))
        for store in ("loki", "tempo")
        for board, panel, query in queries(store)
    ]
    return [*panels, *linked(), *provisioned()]


def test_every_query_parses() -> None:
    """LogQL and TraceQL of panels, links and data sources are what Grafana's editors accept."""
    asked = every()
    wrong = unparsed([(store, query) for _, store, query in asked])

    assert {"loki", "tempo"} == {store for _, store, _ in linked()}
    assert [] == [(where, bad) for (where, _, _), bad in zip(asked, wrong, strict=True) if bad]


@pytest.mark.parametrize(
    ("store", "query"),
    [
        ("loki", '{service_name="shop" | request_id="7"'),
        ("loki", 'sum by (level (rate({service_name="shop"}[5m]))'),
        ("tempo", '{resource.service.name="shop" && status=}'),
        ("tempo", '{span.request_id="7"} | choose(span.http.route)'),
    ],
)
def test_broken_query_is_seen(store: str, query: str) -> None:
    """The grammars do refuse."""
    assert unparsed([(store, query)])[0]


def test_types_are_of_the_pinned_grafana() -> None:
    """The schema that dashboards are compared with is that of the version we start."""
    package = json.loads((SOURCES / "package.json").read_text())

    assert versions()["GRAFANA_VERSION"] == package["dependencies"]["@grafana/schema"]


def test_every_panel_field_and_option_is_known(tmp_path: Path) -> None:
    """No panel type, field, option or value that this Grafana does not have."""
    assert [] == unknown(BOARDS, tmp_path)


def panel(board: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first panel of a kind."""
    return next(dict_ for dict_ in board["panels"] if dict_["type"] == kind)


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "panel type": lambda b: panel(b, "stat").update(type="speedometer"),
    "panel field": lambda b: panel(b, "stat").update(legend={}),
    "option": lambda b: panel(b, "stat")["options"].update(colour="value"),
    "option inside one": lambda b: panel(b, "timeseries")["options"]["tooltip"].update(modus="x"),
    "value of an option": lambda b: panel(b, "stat")["options"].update(colorMode="blinking"),
    "field setting": lambda b: panel(b, "stat")["fieldConfig"]["defaults"].update(units="s"),
    "look of a line": lambda b: panel(b, "timeseries")["fieldConfig"]["defaults"]["custom"].update(
        thresholdsStyle={"mode": "dotted"}
    ),
    "query": lambda b: panel(b, "timeseries")["targets"][0].update(expression="up"),
    "variable": lambda b: b["templating"]["list"][0].update(type="choice"),
    "dashboard field": lambda b: b.update(homepage=True),
}  # fmt: skip


def test_unknown_field_is_seen(tmp_path: Path) -> None:
    """Each kind of mistake is found: one dashboard for each."""
    made = {}
    for name, change in BROKEN.items():
        made[name] = copy.deepcopy(BOARDS["service"])
        change(made[name])
    found = {sentence.partition(":")[0] for sentence in unknown(made, tmp_path)}

    assert set(BROKEN) == found
