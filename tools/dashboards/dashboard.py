"""A dashboard: variables, links, and panels that flow into the grid from left to right."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders.dashboard import QueryVariable, TextBoxVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.table import Options as TableOptions

from proletto_otel.core import conventions as c
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from proletto_otel.stack.rule import Panel as PanelReference
from tools.dashboards.panels import GRID, PanelBuilder
from tools.dashboards.queries import PROMETHEUS, source

SCHEMA = 41
"""Of Grafana 12; newer ones migrate it when they load it."""

PICKED = f'{q.SERVICE}=~"$service", {q.ENVIRONMENT}=~"$environment"'
"""The series that the variables pick; `All` also fits series without an environment."""
PICKED_HOSTS = f'{PICKED}, {q.HOST}=~"$host"'
PICKED_LOGS = f'{{{q.SERVICE}=~"$service", {q.ENVIRONMENT}=~"$environment"}}'
RATE = "$__rate_interval"


LEFT_OUT: Mapping[type, tuple[str, ...]] = {
    # It moves links and marks into a menu that has to be opened first.
    model.DashboardLink: ("placement",), model.AnnotationQuery: ("placement",),
    # Grafana 12.4 does not have these: for variables of another kind, and of another version.
    model.VariableModel: ("auto", "auto_min", "auto_count"), TableOptions: ("footer",),
}  # fmt: skip
"""What the SDK writes into every object of a kind, asked or not, and is not wanted here."""


class Encoder(JSONEncoder):
    """The SDK's encoder, without what is `LEFT_OUT`."""

    def default(self, obj: Any) -> Any:
        """The fields of an object of the SDK."""
        made = super().default(obj)
        for name in LEFT_OUT.get(type(obj), ()):
            made.pop(name, None)
        return made


class Line:
    """Where the next panel of a row goes: beside the last one, below it, or on the next line."""

    def __init__(self, y: int) -> None:
        self.y = self.end = y
        self._x = 0
        self._last = model.GridPos()

    def place(self, position: model.GridPos) -> None:
        """Give *position* its place."""
        below = self._last.y + self._last.h
        if self._x + position.w <= GRID:
            position.x, position.y = self._x, self.y
            self._x += position.w
        elif position.w == self._last.w and below + position.h <= self.end:
            # A higher one stands beside it.
            position.x, position.y = self._last.x, below
        else:
            self.y = self.end
            position.x, position.y = 0, self.y
            self._x = position.w
        self._last = position
        self.end = max(self.end, position.y + position.h)


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    """Empty: no heading."""
    panels: Sequence[PanelBuilder]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One page of Grafana."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Builder[model.VariableModel]] = ()
    since: str = "now-1h"
    annotations: bool = True
    """Whether deployments are marked."""

    def json(self) -> str:
        """The file's text."""
        # A dashboard in a file has no number of a database.
        document = {"id": None, **self.build().to_json()}
        return json.dumps(document, cls=Encoder, indent=1, ensure_ascii=False) + "\n"

    def build(self) -> model.Dashboard:
        """The document."""
        return model.Dashboard(
            uid=self.uid, title=self.title, description=self.description, tags=["proletto"],
            schema_version=SCHEMA, version=1, editable=False, timezone="browser", refresh="30s",
            time=model.DashboardDashboardTime(from_val=self.since, to="now"),
            graph_tooltip=model.DashboardCursorSync.CROSSHAIR, links=_links(),
            annotations=model.AnnotationContainer([_deployments()] if self.annotations else []),
            templating=model.DashboardDashboardTemplating(
                [variable.build() for variable in self.variables]
            ),
            panels=self._panels(),
        )  # fmt: skip

    def _panels(self) -> list[model.Panel | model.RowPanel]:
        built: list[model.Panel | model.RowPanel] = []
        y = 0
        for row in self.rows:
            if row.title:
                built.append(self._heading(row.title, y))
                y += 1
            line = Line(y)
            for panel in (builder.build() for builder in row.panels):
                assert panel.grid_pos
                assert panel.title
                line.place(panel.grid_pos)
                panel.id_val = self._number(panel.title)
                built.append(panel)
            y = line.end
        return built

    def _heading(self, title: str, y: int) -> model.RowPanel:
        position = model.GridPos(x=0, y=y, w=GRID, h=1)
        return model.RowPanel(title=title, id_val=self._number(f"row {title}"), grid_pos=position)

    def _number(self, title: str) -> int:
        return PanelReference(dashboard=self.uid, title=title).id


def query_variable(name: str, label: str, query: str, every: str = ".*") -> QueryVariable:
    """A choice of one, several or all values of a label."""
    variable = QueryVariable(name).label(label).datasource(source(PROMETHEUS))
    variable.query({"refId": name, "query": query}).multi(True).include_all(True).all_value(every)
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(model.VariableSort.ALPHABETICAL_ASC)
    return variable.current(model.VariableOption(text="All", value="$__all"))


def text_variable(name: str, label: str) -> TextBoxVariable:
    """A box to type into."""
    return TextBoxVariable(name).label(label).default_value("").current(model.VariableOption())


_BEAT = c.HEARTBEAT.prometheus
# Loki refuses a selection that an empty label would fit, too; every service has a name.
SERVICES = query_variable("service", "Service", f"label_values({_BEAT}, {q.SERVICE})", every=".+")
ENVIRONMENTS = query_variable(
    "environment", "Environment",
    f'label_values({_BEAT}{{{q.SERVICE}=~"$service"}}, {q.ENVIRONMENT})',
)  # fmt: skip
HOSTS = query_variable("host", "Host", f"label_values({_BEAT}{{{PICKED}}}, {q.HOST})")
WORKERS = query_variable(
    "worker", "Worker",
    f"label_values({c.PROCESS_MEMORY_USAGE.prometheus}{{{PICKED_HOSTS}}}, {q.PID})",
)  # fmt: skip
VARIABLES = (SERVICES, ENVIRONMENTS)

_ORDER = {
    d.HOME: "Home", d.SERVICE: "Service", d.REQUESTS: "Requests", d.ERRORS: "Errors and logs",
    d.SYSTEM: "System", d.HEALTH: "Health", d.SLO: "SLO", d.PIPELINE: "Pipeline",
    d.RUNBOOK: "Runbook",
}  # fmt: skip


def _links() -> list[model.DashboardLink]:
    """To every other dashboard, at the top of each."""
    return [
        model.DashboardLink(
            title=title, url=f"/d/{uid}", icon="dashboard", include_vars=True, keep_time=True
        )
        for uid, title in _ORDER.items()
    ]


def _deployments() -> model.AnnotationQuery:
    version = c.label_name(c.SERVICE_VERSION)
    series = f"{_BEAT}{{{PICKED}}}"
    # New is a version that is there now and was not two minutes ago.
    new = (
        f"count by ({q.SERVICE}, {version}) ({series}) "
        f"unless count by ({q.SERVICE}, {version}) ({series} offset 2m)"
    )
    return model.AnnotationQuery(
        name="Deployments", icon_color="blue", datasource=source(PROMETHEUS), expr=new, step="60s",
        title_format=f"{{{{{q.SERVICE}}}}} {{{{{version}}}}}", text_format="new version",
    )  # fmt: skip
