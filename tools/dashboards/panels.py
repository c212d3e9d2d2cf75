"""Panels: a function per kind, which returns the builder of grafana-foundation-sdk.

Here is what all panels of a kind have in common. What one panel alone needs, its page says with
the builder's own methods: `p.timeseries(…).max(100)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, TypeAlias, TypedDict, TypeVar, Unpack

from grafana_foundation_sdk.builders import common as shared
from grafana_foundation_sdk.builders import dashboard as parts
from grafana_foundation_sdk.builders import heatmap as heatmaps
from grafana_foundation_sdk.builders import logs as log_panels
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.builders import text as texts
from grafana_foundation_sdk.builders import timeseries as series
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as choices
from grafana_foundation_sdk.models.dashboard import (
    DashboardRangeMapOptions,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    FieldConfigSource,
    MatcherConfig,
    Panel,
    RangeMap,
    Threshold,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from tools.dashboards.queries import Query, instant, logql, promql, traceql

__all__ = [
    "AMBER", "BLUE", "GREEN", "GRID", "RED", "PanelBuilder", "Steps", "alert_list", "below",
    "column", "heatmap", "instant", "logql", "logs", "promql", "stat", "steps", "table", "text",
    "timeseries", "traceql", "up_or_down",
]  # fmt: skip

GRID = 24
"""Columns of a dashboard."""
GREEN, AMBER, RED, BLUE = "green", "#E8A317", "red", "blue"
Steps = parts.ThresholdsConfig
Override = parts.DashboardFieldConfigSourceOverrides
PanelBuilder: TypeAlias = Builder[Panel]
"""A panel of any kind."""


class Settings(TypedDict, total=False):
    """What a page may say of every kind of panel."""

    width: int
    height: int
    unit: str
    empty_while_well: str
    """Why it is rightly empty while nothing is wrong; the text shown instead of `No data`."""


class _Builder(Protocol):
    """What the SDK's builders of panels have in common; they share no class."""

    def title(self, title: str, /) -> Self: ...
    def description(self, description: str, /) -> Self: ...
    def span(self, w: int, /) -> Self: ...
    def height(self, h: int, /) -> Self: ...
    def unit(self, unit: str, /) -> Self: ...
    def no_value(self, no_value: str, /) -> Self: ...
    def datasource(self, datasource: choices.DataSourceRef, /) -> Self: ...
    def targets(self, targets: list[Builder[Dataquery]], /) -> Self: ...
    def build(self) -> Panel: ...


P = TypeVar("P", bound=_Builder)


def _panel(
    panel: P, title: str, description: str, queries: Sequence[Query], settings: Settings,
    *, width: int = 12, height: int = 8,
) -> P:  # fmt: skip
    panel.title(title).description(description)
    panel.span(settings.get("width", width)).height(settings.get("height", height))
    if unit := settings.get("unit"):
        panel.unit(unit)
    if text := settings.get("empty_while_well"):
        panel.no_value(text)
    if queries:
        # All queries of a panel go to one store.
        store = queries[0].build().datasource
        assert store
        named: list[Builder[Dataquery]] = [
            query.ref_id(chr(ord("A") + index)) for index, query in enumerate(queries)
        ]
        panel.datasource(store).targets(named)
    # Grafana writes it into every panel; the SDK leaves it out where nothing was set.
    built = panel.build()
    built.field_config = built.field_config or FieldConfigSource()
    return panel


def steps(*limits: tuple[float | None, str]) -> Steps:
    """Colours by value: (from, colour), the first without a limit."""
    return parts.ThresholdsConfig().steps(
        [Threshold(value=limit, color=colour) for limit, colour in limits]
    )


def stat(
    title: str, description: str, *queries: Query, steps: Steps | None = None,
    **settings: Unpack[Settings],
) -> stats.Panel:  # fmt: skip
    """A panel with the latest number, in the colour of its step."""
    panel = _panel(stats.Panel(), title, description, queries, settings, width=4, height=4)
    panel.reduce_options(shared.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.color_mode(choices.BigValueColorMode.VALUE).graph_mode(choices.BigValueGraphMode.NONE)
    if steps:
        panel.thresholds(steps).color_scheme(parts.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    else:
        # Grafana's own steps make every number above 80 red.
        panel.color_scheme(parts.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("text"))
    return panel


def up_or_down(title: str, description: str, **settings: Unpack[Settings]) -> stats.Panel:
    """A word for each part that Prometheus scrapes."""
    words = {
        "1": ValueMappingResult(text="up", color=GREEN, index=0),
        "0": ValueMappingResult(text="down", color=RED, index=1),
    }
    panel = stat(title, description, promql("up", "{{job}}"), **settings)
    return panel.unit("none").mappings([ValueMap(options=words)])


def below(limit: float, word: str) -> RangeMap:
    """A word in place of the numbers below *limit*."""
    result = ValueMappingResult(text=word, color=RED, index=0)
    return RangeMap(options=DashboardRangeMapOptions(from_val=None, to=limit, result=result))


def timeseries(
    title: str, description: str, *queries: Query, steps: Steps | None = None,
    stacked: bool = False, table_legend: bool = False, from_zero: bool = True,
    **settings: Unpack[Settings],
) -> series.Panel:  # fmt: skip
    """Lines over time; *steps* are drawn in as dashed lines."""
    panel = _panel(series.Panel(), title, description, queries, settings)
    panel.legend(_legend(table_legend)).tooltip(
        shared.VizTooltipOptions()
        .mode(choices.TooltipDisplayMode.MULTI)
        .sort(choices.SortOrder.DESCENDING)
    )
    mode = choices.StackingMode.NORMAL if stacked else choices.StackingMode.NONE
    panel.stacking(shared.StackingConfig().mode(mode)).fill_opacity(30 if stacked else 8)
    # Gaps of up to 90 s are bridged: an export that is late is no outage.
    panel.show_points(choices.VisibilityMode.NEVER).span_nulls(90_000)
    if from_zero:
        # Cut off, a small change would look like a large one.
        panel.min(0)
    if steps:
        dashed = shared.GraphThresholdsStyleConfig().mode(choices.GraphThresholdsStyleMode.DASHED)
        colours = parts.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC)
        panel.thresholds(steps).color_scheme(colours).thresholds_style(dashed)
    return panel


def _legend(as_table: bool) -> shared.VizLegendOptions:
    # The SDK's own default hides it.
    legend = shared.VizLegendOptions().show_legend(True)
    if as_table:
        legend.display_mode(choices.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
        return legend.placement(choices.LegendPlacement.RIGHT)
    return legend.display_mode(choices.LegendDisplayMode.LIST).placement(
        choices.LegendPlacement.BOTTOM
    )


# `Value` is the number of a table with one query, which asks for what is 1; several have theirs.
HIDDEN = {"Time": True, "Value": True, "__name__": True, "job": True, "instance": False}
JOINED = (
    DataTransformerConfig(id_val="merge", options={}),
    DataTransformerConfig(id_val="organize", options={"excludeByName": HIDDEN}),
)


def table(
    title: str, description: str, *queries: Query, overrides: Sequence[Override] = (),
    transformations: Sequence[DataTransformerConfig] = JOINED, **settings: Unpack[Settings],
) -> tables.Panel:  # fmt: skip
    """Rows; the columns of several queries are joined by their labels."""
    panel = _panel(tables.Panel(), title, description, queries, settings)
    # Narrower than its 150 pixels, so that five columns fit beside another panel.
    panel.min_width(90).show_header(True).cell_height(choices.TableCellHeight.SM).overrides(
        [*overrides]
    )
    return panel.transformations([*transformations]) if transformations else panel


def column(
    name: str, shown: str, unit: str = "", *, colours: Mapping[str, str] | None = None,
    wrap: bool = False, width: int = 0,
    **more: object,
) -> Override:  # fmt: skip
    """How a column of a table is called and shown.

    Args:
        colours: Word -> its colour.
        wrap: Long paths and routes go on in a second line.
        width: Pixels; by default columns share what there is.
    """
    # What an empty panel says would also stand in each empty cell.
    properties = {"displayName": shown, "noValue": "–", **more}
    if unit:
        properties["unit"] = unit
    if width:
        properties["custom.width"] = width
    if wrap:
        properties["custom.cellOptions"] = choices.TableAutoCellOptions(wrap_text=True)
    if colours:
        words = {
            word: ValueMappingResult(color=colour, index=n)
            for n, (word, colour) in enumerate(colours.items())
        }
        properties["mappings"] = [ValueMap(options=words)]
        properties["custom.cellOptions"] = choices.TableColorTextCellOptions()
    return (
        parts.DashboardFieldConfigSourceOverrides()
        .matcher(MatcherConfig(id_val="byName", options=name))
        .properties([DynamicConfigValue(id_val=key, value=one) for key, one in properties.items()])
    )


def logs(
    title: str, description: str, expression: str, **settings: Unpack[Settings]
) -> log_panels.Panel:  # fmt: skip
    """A panel of log lines."""
    panel = log_panels.Panel().show_time(True).wrap_log_message(True).enable_log_details(True)
    panel.sort_order(choices.LogsSortOrder.DESCENDING)
    panel.dedup_strategy(choices.LogsDedupStrategy.NONE)
    return _panel(panel, title, description, [logql(expression)], settings, width=GRID, height=12)


def heatmap(
    title: str, description: str, expression: str, **settings: Unpack[Settings]
) -> heatmaps.Panel:  # fmt: skip
    """Buckets of a histogram over time."""
    query = promql(expression, "{{le}}").format(PromQueryFormat.HEATMAP)
    colours = heatmaps.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges")
    tooltip = heatmaps.HeatmapTooltip().mode(choices.TooltipDisplayMode.SINGLE).y_histogram(True)
    panel = heatmaps.Panel().calculate(False).cell_gap(1).color(colours.steps(64))
    panel.y_axis(heatmaps.YAxisConfig().unit("s")).tooltip(tooltip)
    return _panel(panel, title, description, [query], settings)


def text(title: str, markdown: str, **settings: Unpack[Settings]) -> texts.Panel:
    """A panel of Markdown text."""
    panel = texts.Panel().mode(TextMode.MARKDOWN).content(markdown)
    return _panel(panel, title, "", [], settings)


def alert_list(title: str, description: str, **settings: Unpack[Settings]) -> parts.Panel:
    """Grafana's own alerts of our folder."""
    # The one kind of panel that the SDK has no types for.
    options: dict[str, Any] = {
        "maxItems": 50, "sortOrder": 3, "groupMode": "default", "viewMode": "list",
        "alertName": "", "dashboardAlerts": False, "folder": None,
        # Without the one that fires always, to show that alerts work.
        "alertInstanceLabelFilter": '{severity!="none"}',
        "stateFilter": {
            "firing": True, "pending": True, "noData": False, "normal": False, "error": True,
        },
    }  # fmt: skip
    panel = parts.Panel().type("alertlist").options(options)
    return _panel(panel, title, description, [], settings)
