"""System, Requests and Logs of all hosts: what Prometheus and Loki say, or why they say nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.logs.search.level_counts import LevelCounts
from proletto_otel.logs.search.results import LogPage
from proletto_otel.web.all_hosts import loki, one_endpoint, prometheus, promql
from proletto_otel.web.all_hosts.backend import NoAnswer
from proletto_otel.web.all_hosts.servers import LOKI, NAMES, PROMETHEUS
from proletto_otel.web.charts import draw
from proletto_otel.web.charts.heatmap import heatmap
from proletto_otel.web.charts.series import Series
from proletto_otel.web.pages import past
from proletto_otel.web.pages.limits import limits
from proletto_otel.web.pages.readings import Reading, reading

if TYPE_CHECKING:
    from proletto_otel.logs.search.query import LogQuery
    from proletto_otel.monitoring.report import Alert
    from proletto_otel.request.request_points import EndpointPoint, RequestPoint
    from proletto_otel.request.status_codes import StatusCount
    from proletto_otel.web.all_hosts.backend import Backend
    from proletto_otel.web.all_hosts.prometheus import RequestsOfHosts
    from proletto_otel.web.asked import Asked

MAX_LINES = len(prometheus.STYLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a page of all hosts says of where its numbers come from."""

    shown: str = ""
    """Its name and address."""
    problem: str = ""
    """Why nothing is shown; empty when there is something."""
    hosts: int = 0
    note: str = ""


def _server(asked: Asked, name: str) -> Backend:
    found = asked.site.servers.get(name)
    if found is None:
        raise NoAnswer(f"{NAMES[name]} is not known: PROLETTO_{name.upper()}_URL is not set.")
    return found


def system_page(asked: Asked) -> Mapping[str, Any]:
    """Every system metric, a line for each host, and the workers of all."""
    try:
        server = _server(asked, PROMETHEUS)
        found = prometheus.system(server, asked.site.config, asked.range)
    except NoAnswer as error:
        return {"server": Server(problem=str(error)), "readings": [], "charts": {}, "workers": []}
    alerts = asked.site.monitor.get_alerts()
    # as Prometheus answers in its own order, the order of the page is that of the table
    lines = {name: found.lines[name] for name in INDICATORS if name in found.lines}
    return {
        "server": Server(
            shown=server.shown, hosts=found.hosts,
            note="Each line is a host: its highest value in each step."
            + (f" The highest {MAX_LINES} are drawn." if found.hosts > MAX_LINES else ""),
        ),
        "readings": [_reading(name, hosts, alerts) for name, hosts in lines.items()],
        "charts": {name: _chart(asked, name, hosts, alerts) for name, hosts in lines.items()},
        "workers": found.workers,
    }  # fmt: skip


def _reading(name: str, hosts: Sequence[Series], alerts: Sequence[Alert]) -> Reading:
    value = max((h.last for h in hosts if h.last is not None), default=None)
    alert = next((a for a in alerts if a.metric == name), None)
    state = "ok"
    for severity in ("warning", "critical"):
        limit = getattr(alert, severity, None)
        if limit is not None and value is not None and value > limit:
            state = severity
    return reading(INDICATORS[name], value, alerts, state)


def _chart(asked: Asked, name: str, hosts: Sequence[Series], alerts: Sequence[Alert]) -> Markup:
    chosen, indicator = asked.range, INDICATORS[name]
    return draw.line_chart(
        indicator.title, hosts[:MAX_LINES], chosen.start, chosen.end, unit=indicator.unit,
        limits=limits(asked, name, alerts), marks=past.marks(asked, chosen.start, chosen.end),
        top=100.0 if indicator.unit == "%" else 0.0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsPage:
    """What the page of requests shows of all hosts."""

    server: Server
    charts: Mapping[str, Markup]
    endpoints: Sequence[EndpointPoint] = ()


def requests(asked: Asked) -> RequestsPage:
    """Charts and endpoints of all hosts."""
    chosen = asked.range
    try:
        server = _server(asked, PROMETHEUS)
        found = prometheus.requests(server, asked.site.config, chosen, asked.without_failed)
    except NoAnswer as error:
        return RequestsPage(server=Server(problem=str(error)), charts={})
    return RequestsPage(
        server=Server(
            shown=server.shown,
            note="Counts are Prometheus' estimates; least and greatest are not stored there.",
        ),
        charts=_charts(asked, found, past.BY_RESULT),
        endpoints=found.endpoints,
    )  # fmt: skip


def _charts(asked: Asked, found: RequestsOfHosts, title: str) -> Mapping[str, Markup]:
    chosen = asked.range
    drawn = past.marks(asked, chosen.start, chosen.end)
    time = (chosen.start, chosen.end)
    return {
        "requests": draw.bar_chart(title, found.results, *time, width_s=found.step, marks=drawn),
        "errors": draw.line_chart(past.FAILED, [found.failed], *time, unit="%", marks=drawn),
        "times": draw.line_chart(
            past.timed(asked, past.TIMES), found.durations, *time, unit="s", marks=drawn,
            limits=past.limits_of_p95(asked),
        ),
    }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPage:
    """What the page of one endpoint shows of all hosts."""

    server: Server
    total: RequestPoint | None = None
    statuses: Sequence[StatusCount] = ()
    charts: Mapping[str, Markup] = field(default_factory=dict)
    heatmap: Markup = field(default_factory=Markup)


def endpoint(asked: Asked, route: str, method: str | None) -> EndpointPage:
    """Charts, totals and the heat map of one endpoint of all hosts."""
    chosen = asked.range
    try:
        server = _server(asked, PROMETHEUS)
        matchers = promql.one_endpoint(route, method)
        found = one_endpoint.endpoint(
            server, asked.site.config, chosen, matchers, asked.without_failed
        )
    except NoAnswer as error:
        return EndpointPage(server=Server(problem=str(error)))
    heat = found.heat
    return EndpointPage(
        server=Server(
            shown=server.shown,
            note="Counts are Prometheus' estimates; single requests are on the page of their host.",
        ),
        total=found.total,
        statuses=found.statuses,
        charts=_charts(asked, found.requests, past.OF_ENDPOINT),
        heatmap=heatmap(
            past.timed(asked, past.HEAT),
            heat.times,
            heat.seconds,
            heat.edges,
            heat.counts,
            chosen.start,
            chosen.end,
        ),
    )


def log_page(
    asked: Asked, query: LogQuery, limit: int, bars: int = 0
) -> tuple[Server, LogPage, LevelCounts | None]:
    """Lines of all hosts, and with *bars* how many of each level there are over time.

    Raises:
        ConfigError: a level or an expression that does not fit.
    """
    cursor, config, counts = asked.query.get("cursor", ""), asked.site.config, None
    try:
        server = _server(asked, LOKI)
        deadline = server.deadline()
        position = cursor if loki.is_position(cursor) else ""
        found = loki.search(server, config, query, position, limit)
    except NoAnswer as error:
        return Server(problem=str(error)), LogPage(complete=False), None
    chosen = asked.range
    if bars:
        try:
            counts = loki.level_counts(server, config, chosen.start, chosen.end, bars, deadline)
        except NoAnswer as error:
            counts = LevelCounts.empty(chosen.start, chosen.end, 1)
            counts.problem = str(error)
    return Server(shown=server.shown), found, counts
