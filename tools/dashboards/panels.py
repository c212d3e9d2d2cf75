"""Panels as Grafana reads them: a function per kind, in the classic (v1) JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PROMETHEUS, LOKI, TEMPO = "prometheus", "loki", "tempo"
GRID = 24
"""Columns of a dashboard."""
GREEN, AMBER, RED, BLUE = "green", "#E8A317", "red", "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel of a dashboard."""

    kind: str
    title: str
    description: str
    targets: Sequence[Mapping[str, Any]] = ()
    width: int = 12
    height: int = 8
    unit: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    custom: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[Mapping[str, Any]] = ()
    transformations: Sequence[Mapping[str, Any]] = ()
    empty_while_well: str = ""
    """Why it is rightly empty while nothing is wrong; the text shown instead of `No data`."""

    def build(self, number: int, x: int, y: int) -> dict[str, Any]:
        """The panel's JSON, at a position of the grid."""
        defaults: dict[str, Any] = dict(self.defaults)
        if self.unit:
            defaults = {"unit": self.unit, **defaults}
        if self.custom:
            defaults["custom"] = dict(self.custom)
        if self.empty_while_well:
            defaults["noValue"] = self.empty_while_well
        built: dict[str, Any] = {
            "id": number, "type": self.kind, "title": self.title, "description": self.description,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": list(self.overrides)},
            "options": dict(self.options),
        }  # fmt: skip
        if self.targets:
            # All queries of a panel go to one store.
            built["datasource"] = self.targets[0]["datasource"]
            built["targets"] = [
                {"refId": chr(ord("A") + index), **target}
                for index, target in enumerate(self.targets)
            ]
        if self.transformations:
            built["transformations"] = list(self.transformations)
        return built


def source(store: str) -> dict[str, str]:
    """A reference to one of the three provisioned data sources."""
    return {"type": store, "uid": store}


def promql(expression: str, legend: str = "", *, exemplar: bool = False) -> dict[str, Any]:
    """A query over time."""
    more = {"exemplar": True} if exemplar else {}
    return {
        "datasource": source(PROMETHEUS), "expr": expression, "range": True,
        "legendFormat": legend or "__auto", **more,
    }  # fmt: skip


def instant(expression: str, legend: str = "") -> dict[str, Any]:
    """The present values, as a table."""
    return {
        "datasource": source(PROMETHEUS), "expr": expression, "instant": True, "range": False,
        "format": "table", "legendFormat": legend or "__auto",
    }  # fmt: skip


def logql(expression: str, legend: str = "", *, now: bool = False) -> dict[str, Any]:
    """Lines or numbers from Loki."""
    return {
        "datasource": source(LOKI), "expr": expression, "legendFormat": legend,
        "queryType": "instant" if now else "range",
    }  # fmt: skip


def traceql(query: str, limit: int = 20) -> dict[str, Any]:
    """A search for traces in Tempo."""
    return {
        "datasource": source(TEMPO), "queryType": "traceql", "query": query, "limit": limit,
        "tableType": "traces",
    }  # fmt: skip


def steps(*limits: tuple[float | None, str], drawn: bool = False) -> dict[str, Any]:
    """Colours by value: (from, colour), the first without a limit; *drawn* as dashed lines too."""
    found: dict[str, Any] = {
        "color": {"mode": "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": colour, "value": limit} for limit, colour in limits],
        },
    }
    if drawn:
        found["color"] = {"mode": "palette-classic"}
    return found


def stat(title: str, description: str, *targets: Mapping[str, Any], **more: Any) -> Panel:
    """A panel with the latest number."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none",
    }  # fmt: skip
    given: dict[str, Any] = {"width": 4, "height": 4, "options": options, **more}
    return Panel(kind="stat", title=title, description=description, targets=targets, **given)


def timeseries(
    title: str, description: str, *targets: Mapping[str, Any], stacked: bool = False,
    table_legend: bool = False, drawn: bool = False, **more: Any,
) -> Panel:  # fmt: skip
    """Lines over time; *drawn*: the thresholds are drawn in."""
    legend: dict[str, Any] = {"displayMode": "list", "placement": "bottom"}
    if table_legend:
        legend = {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull", "max"]}
    # Gaps of up to 90 s (`spanNulls`) are bridged: an export that is late is no outage.
    custom: dict[str, Any] = {
        "fillOpacity": 30 if stacked else 8, "showPoints": "never", "spanNulls": 90_000,
        "stacking": {"mode": "normal" if stacked else "none"},
    }  # fmt: skip
    if drawn:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    # From zero: cut off, a small change would look like a large one.
    defaults = {"min": 0, **more.pop("defaults", {})}
    if defaults["min"] is None:
        del defaults["min"]
    return Panel(
        kind="timeseries", title=title, description=description, targets=targets,
        options=options, custom=custom, defaults=defaults, **more,
    )  # fmt: skip


def table(title: str, description: str, *targets: Mapping[str, Any], **more: Any) -> Panel:
    """Rows; the columns of several queries are joined by their labels."""
    hidden = {"Time": True, "__name__": True, "job": True, "instance": False}
    default = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hidden}},
    ]
    given: dict[str, Any] = {"transformations": default, **more}
    options = {"showHeader": True, "cellHeight": "sm"}
    return Panel(
        kind="table", title=title, description=description, targets=targets, options=options,
        **given,
    )  # fmt: skip


def logs(title: str, description: str, expression: str, **more: Any) -> Panel:
    """A panel of log lines."""
    options = {
        "showTime": True, "wrapLogMessage": True, "enableLogDetails": True,
        "sortOrder": "Descending", "dedupStrategy": "none",
    }  # fmt: skip
    given = {"width": GRID, "height": 12, **more}
    return Panel(
        kind="logs", title=title, description=description, targets=[logql(expression)],
        options=options, **given,
    )  # fmt: skip


def heatmap(title: str, description: str, expression: str, **more: Any) -> Panel:
    """Buckets of a histogram over time."""
    target = {**promql(expression, "{{le}}"), "format": "heatmap"}
    options = {
        "calculate": False, "yAxis": {"unit": "s"}, "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "tooltip": {"mode": "single", "yHistogram": True},
    }  # fmt: skip
    return Panel(
        kind="heatmap", title=title, description=description, targets=[target], options=options,
        **more,
    )  # fmt: skip


def text(title: str, markdown: str, **more: Any) -> Panel:
    """A panel of Markdown text."""
    options = {"mode": "markdown", "content": markdown}
    return Panel(kind="text", title=title, description="", options=options, **more)


def alert_list(title: str, description: str, **more: Any) -> Panel:
    """Grafana's own alerts of our folder."""
    options = {
        "maxItems": 50, "sortOrder": 3, "groupMode": "default", "viewMode": "list",
        "alertName": "", "dashboardAlerts": False, "folder": None, "alertInstanceLabelFilter": "",
        "stateFilter": {
            "firing": True, "pending": True, "noData": False, "normal": False, "error": True,
        },
    }  # fmt: skip
    return Panel(kind="alertlist", title=title, description=description, options=options, **more)


def column(name: str, shown: str, unit: str = "", **more: Any) -> dict[str, Any]:
    """How a column of a table is called and shown."""
    properties = [{"id": "displayName", "value": shown}]
    if unit:
        properties.append({"id": "unit", "value": unit})
    properties += [{"id": key, "value": value} for key, value in more.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}
