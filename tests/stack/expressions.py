"""What PromQL expressions name: metrics, and the labels that are used of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import promql_parser

from proletto_otel.core import conventions
from proletto_otel.core.conventions import Metric, label_name
from proletto_otel.stack import pack, slo_rules
from proletto_otel.stack.promql import PID
from tests.stack.servers import ROOT

IDENTITY = {
    "service_name", "service_namespace", "service_version", "deployment_environment_name",
    "host_name", "instance", "job",
}  # fmt: skip
"""Resource attributes that prometheus.yml promotes, and the names Prometheus gives itself."""

STACK = {
    "up": {"job"},
    "process_resident_memory_bytes": {"job"},
    "otelcol_process_memory_rss": {"job"},
    "otelcol_exporter_queue_size": {"exporter"},
    "otelcol_exporter_queue_capacity": {"exporter"},
    "loki_discarded_samples_total": {"reason"},
    **{
        f"otelcol_{name}_{signal}": {label}
        for signal in ("spans", "metric_points", "log_records")
        for name, label in (
            ("receiver_accepted", "receiver"), ("receiver_refused", "receiver"),
            ("exporter_sent", "exporter"), ("exporter_send_failed", "exporter"),
            ("exporter_enqueue_failed", "exporter"),
        )
    },
}  # fmt: skip
"""What the parts of the stack say of themselves, scraped by Prometheus."""

EVERYTHING: dict[str, str] = {
    variable["name"]: variable["allValue"]
    for path in (ROOT / "grafana/dashboards").glob("*.json")
    for variable in json.loads(path.read_text())["templating"]["list"]
    if variable["type"] == "query"
}
"""What a dashboard's variables are before anything is picked."""


def contract() -> dict[str, set[str]]:
    """Every series there is -> the labels it may have."""
    names: dict[str, set[str]] = dict(STACK)
    for metric in vars(conventions).values():
        if isinstance(metric, Metric):
            labels = {label_name(attribute) for attribute in metric.attributes} | IDENTITY
            # One worker sends for all; what is not added up has a pid.
            if metric.per == "process" or (metric.kind, metric.per) == ("gauge", "worker"):
                labels.add(PID)
            ends = ("_bucket", "_count", "_sum") if metric.kind == "histogram" else ("",)
            for end in ends:
                names[f"{metric.prometheus}{end}"] = labels | (
                    {"le"} if end == "_bucket" else set()
                )
    for recorded in pack.shipped().recorded:
        names[recorded.name] = {"slo"} | IDENTITY
    assert slo_rules.LEFT in names
    return {**names, pack.OWN_RULES: IDENTITY}


def parse(expression: str) -> Any:
    """The syntax tree, Grafana's variables filled in."""
    return promql_parser.parse(filled(expression))


def filled(expression: str, **variables: str) -> str:
    """*expression* as Grafana would send it: all services, unless *variables* say otherwise."""
    given = {"__rate_interval": "1m", "__auto": "1m", "request_id": "", "search": "", **variables}
    given = {**EVERYTHING, **given}
    for name, value in sorted(given.items(), key=lambda item: -len(item[0])):
        expression = expression.replace(f"${name}", value)
    return expression


def nodes(tree: Any) -> Iterator[Any]:
    """*tree* and everything below it."""
    yield tree
    for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
        if (below := getattr(tree, name, None)) is not None:
            yield from nodes(below)
    for argument in getattr(tree, "args", ()) or ():
        yield from nodes(argument)


def selectors(expression: str) -> list[Any]:
    """Every selection of series."""
    return [n for n in nodes(parse(expression)) if type(n).__name__ == "VectorSelector"]


def used_labels(expression: str) -> set[str]:
    """Labels by which it filters, groups or joins."""
    found: set[str] = set()
    for node in nodes(parse(expression)):
        if type(node).__name__ == "VectorSelector":
            found |= {matcher.name for matcher in node.matchers.matchers}
        modifier = getattr(node, "modifier", None)
        if modifier is not None:
            found |= set(getattr(modifier, "labels", None) or ())
            found |= set(getattr(modifier, "group_labels", None) or ())
            matching = getattr(modifier, "matching", None)
            found |= set(getattr(matching, "labels", None) or ())
    return found
