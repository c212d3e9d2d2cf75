"""A dashboard: variables, links, and panels that flow into the grid from left to right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proletto_otel.core import conventions as c
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from proletto_otel.stack.rule import Panel as PanelReference
from tools.dashboards.panels import GRID, PROMETHEUS, Panel, source

SCHEMA = 41
"""Of Grafana 12; newer ones migrate it when they load it."""

PICKED = f'{q.SERVICE}=~"$service", {q.ENVIRONMENT}=~"$environment"'
"""The series that the variables pick; `All` also fits series without an environment."""
PICKED_HOSTS = f'{PICKED}, {q.HOST}=~"$host"'
PICKED_LOGS = f'{{{q.SERVICE}=~"$service", {q.ENVIRONMENT}=~"$environment"}}'
RATE = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    """Empty: no heading."""
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One page of Grafana."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[dict[str, Any]] = ()
    since: str = "now-1h"
    annotations: bool = True
    """Whether deployments are marked."""

    def json(self) -> str:
        """The file's text."""
        return json.dumps(self.build(), indent=1, ensure_ascii=False) + "\n"

    def build(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "id": None, "uid": self.uid, "title": self.title, "description": self.description,
            "tags": ["proletto"], "schemaVersion": SCHEMA, "version": 1, "editable": False,
            "timezone": "browser", "refresh": "30s", "time": {"from": self.since, "to": "now"},
            "graphTooltip": 1, "annotations": {"list": _deployments() if self.annotations else []},
            "links": _LINKS, "templating": {"list": list(self.variables)},
            "panels": self._panels(),
        }  # fmt: skip

    def _panels(self) -> list[dict[str, Any]]:
        built, y = [], 0
        for row in self.rows:
            if row.title:
                place = {"x": 0, "y": y, "w": GRID, "h": 1}
                built.append(
                    {"id": self._number(f"row {row.title}"), "type": "row", "title": row.title,
                     "collapsed": False, "gridPos": place, "panels": []}
                )  # fmt: skip
                y += 1
            x = highest = 0
            for panel in row.panels:
                # It begins the next line, below the highest panel of this one.
                if x + panel.width > GRID:
                    x, y, highest = 0, y + highest, 0
                built.append(panel.build(self._number(panel.title), x, y))
                x, highest = x + panel.width, max(highest, panel.height)
            y += highest
        return built

    def _number(self, title: str) -> int:
        return PanelReference(dashboard=self.uid, title=title).id


def query_variable(name: str, label: str, query: str) -> dict[str, Any]:
    """A choice of one, several or all values of a label."""
    return {
        "name": name, "label": label, "type": "query", "datasource": source(PROMETHEUS),
        "query": {"refId": name, "query": query}, "refresh": 2, "sort": 1, "multi": True,
        "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def text_variable(name: str, label: str) -> dict[str, Any]:
    """A box to type into."""
    return {
        "name": name, "label": label, "type": "textbox", "query": "",
        "current": {"text": "", "value": ""},
    }  # fmt: skip


_BEAT = c.HEARTBEAT.prometheus
SERVICES = query_variable("service", "Service", f"label_values({_BEAT}, {q.SERVICE})")
ENVIRONMENTS = query_variable(
    "environment", "Environment",
    f'label_values({_BEAT}{{{q.SERVICE}=~"$service"}}, {q.ENVIRONMENT})',
)  # fmt: skip
HOSTS = query_variable("host", "Host", f"label_values({_BEAT}{{{PICKED}}}, {q.HOST})")
WORKERS = query_variable(
    "worker", "Worker",
    f"label_values({c.PROCESS_MEMORY_USAGE.prometheus}{{{PICKED_HOSTS}}}, {q.INSTANCE})",
)  # fmt: skip
VARIABLES = (SERVICES, ENVIRONMENTS)

_ORDER = {
    d.HOME: "Home", d.SERVICE: "Service", d.REQUESTS: "Requests", d.ERRORS: "Errors and logs",
    d.SYSTEM: "System", d.HEALTH: "Health", d.SLO: "SLO", d.PIPELINE: "Pipeline",
    d.RUNBOOK: "Runbook",
}  # fmt: skip


_LINKS = [
    {
        "type": "link", "title": title, "url": f"/d/{uid}", "includeVars": True,
        "keepTime": True, "targetBlank": False, "icon": "dashboard", "tags": [],
        "asDropdown": False, "tooltip": "",
    }
    for uid, title in _ORDER.items()
]  # fmt: skip
"""To every other dashboard, at the top of each."""


def _deployments() -> list[dict[str, Any]]:
    version = c.label_name(c.SERVICE_VERSION)
    series = f"{_BEAT}{{{PICKED}}}"
    # New is a version that is there now and was not two minutes ago.
    new = (
        f"count by ({q.SERVICE}, {version}) ({series}) "
        f"unless count by ({q.SERVICE}, {version}) ({series} offset 2m)"
    )
    return [
        {
            "name": "Deployments", "enable": True, "iconColor": "blue",
            "datasource": source(PROMETHEUS), "expr": new, "step": "60s",
            "titleFormat": f"{{{{{q.SERVICE}}}}} {{{{{version}}}}}", "textFormat": "new version",
        }
    ]  # fmt: skip
