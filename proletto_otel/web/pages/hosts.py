"""System, Requests and Logs of all hosts: what Prometheus and Loki say, or why they say nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.logs.search.level_counts import LevelCounts
from proletto_otel.logs.search.query import LogQuery
from proletto_otel.logs.search.results import LogPage
from proletto_otel.web.all_hosts import loki, one_endpoint, prometheus, promql
from proletto_otel.web.all_hosts.backend import NoAnswer
from proletto_otel.web.all_hosts.servers import LOKI, NAMES, PROMETHEUS
from proletto_otel.web.charts import draw
from proletto_otel.web.charts.heatmap import heatmap
from proletto_otel.web.charts.series import Series
from proletto_otel.web.pages import ages, past
from proletto_otel.web.pages.ages import Age, SilentHost
from proletto_otel.web.pages.limits import limits
from proletto_otel.web.pages.readings import Reading, reading

if TYPE_CHECKING:
    from proletto_otel.monitoring.report import Alert
    from proletto_otel.request.readings import StatusCount
    from proletto_otel.request.request_points import EndpointPoint, RequestPoint
    from proletto_otel.web.all_hosts.backend import Backend
    from proletto_otel.web.all_hosts.prometheus import HostWorker, RequestsOfHosts
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
    age: Age | None = None
    """Of the newest that it has; None: it has nothing of the last hours, or it is not known."""
    of: str = "sample"
    """What `age` is the age of."""
    silent: Sequence[SilentHost] = ()
    """Hosts whose values came until a while ago."""
    missing: str = ""
    """What it should have and has not, as a sentence; empty when nothing is known to be missing."""


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
    heard = ages.of_hosts(asked, found.newest)
    # as Prometheus answers in its own order, the order of the page is that of the table
    lines = {name: found.lines[name] for name in INDICATORS if name in found.lines}
    highest = {name: _highest(hosts, heard) for name, hosts in lines.items()}
    return {
        "server": Server(
            shown=server.shown, hosts=found.hosts, **_ages(heard),
            note="Each line is a host: its highest value in each step."
            + (f" The highest {MAX_LINES} are drawn." if found.hosts > MAX_LINES else ""),
        ),
        "readings": [_reading(name, host, alerts) for name, host in highest.items()],
        "highest": {name: host.label for name, host in highest.items() if host},
        "ages": {name: heard.get(host.label) for name, host in highest.items() if host},
        "charts": {name: _chart(asked, name, hosts, alerts) for name, hosts in lines.items()},
        "workers": [_worker(asked, worker) for worker in found.workers],
    }  # fmt: skip


def _ages(heard: Mapping[str, Age]) -> dict[str, Any]:
    return {
        "age": ages.newest(heard.values()),
        "silent": ages.silent(heard),
        "missing": "" if heard else f"There is no sample of the {promql.LOOK_BACK_WORDS} before.",
    }


def _worker(asked: Asked, worker: HostWorker) -> Mapping[str, Any]:
    """A row of the table; values of up to two minutes ago are in it."""
    found = ages.of_hosts(asked, {worker.host: worker.at} if worker.at else {})
    return {**asdict(worker), "age": found.get(worker.host)}


def _highest(hosts: Sequence[Series], heard: Mapping[str, Age]) -> Series | None:
    """The host with the highest value now: a silent one has none, unless all are silent."""
    silent = {one.host for one in ages.silent(heard)}
    living = [host for host in hosts if host.last is not None and host.label not in silent]
    return max(living, key=lambda host: host.last or 0.0, default=None)


def _reading(name: str, host: Series | None, alerts: Sequence[Alert]) -> Reading:
    value = host.last if host is not None else None
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
            shown=server.shown, **_ages(ages.of_hosts(asked, found.newest)),
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
            **_ages(ages.of_hosts(asked, found.newest)),
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
    if not bars:
        return Server(shown=server.shown), found, None
    known = {} if chosen.is_over else _log_age(asked, server, deadline)
    try:
        counts = loki.level_counts(server, config, chosen.start, chosen.end, bars, deadline)
    except NoAnswer as error:
        counts = LevelCounts.empty(chosen.start, chosen.end, 1)
        counts.problem = str(error)
    return Server(shown=server.shown, **known), found, counts


def _log_age(asked: Asked, server: Backend, until: float) -> dict[str, Any]:
    """How old Loki's newest line is; nothing where it does not say so in time.

    A service that has nothing to say writes no lines, however fresh Loki is. So the log is stale
    when this host wrote a line some time ago and Loki has neither it nor a newer one.
    """
    try:
        newest = loki.newest_line(server, asked.site.config, until)
    except NoAnswer:
        return {}
    lacks = _wrote_after(asked, newest)
    found = ages.age(newest, math.inf)
    return {
        "of": "line",
        "age": replace(found, is_stale=True) if found is not None and lacks else found,
        "missing": "This host wrote newer lines that Loki does not have." if lacks
        else "" if newest else f"There is no line of the last {loki.DEFAULT_S // 3600:.0f} hours.",
    }  # fmt: skip


def _wrote_after(asked: Asked, newest: float | None) -> bool:
    """Whether this host wrote a line after *newest*, long enough ago for Loki to have it."""
    now = time.time()
    since = now - loki.DEFAULT_S if newest is None else newest + 1  # both round times differently
    wanted = LogQuery(since=since, until=now - ages.LEAST_S)
    return since < now - ages.LEAST_S and bool(
        asked.site.monitor.logs.search(wanted, limit=1).lines
    )
