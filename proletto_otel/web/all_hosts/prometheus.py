"""System and Requests of all hosts, as Prometheus answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from proletto_otel.metrics import system_metrics
from proletto_otel.metrics.host import CONTAINER
from proletto_otel.request.request_points import EndpointPoint, RequestPoint
from proletto_otel.web.all_hosts import promql
from proletto_otel.web.all_hosts.promql import Steps
from proletto_otel.web.charts.series import Point, Series

if TYPE_CHECKING:
    from proletto_otel.core.config import Config
    from proletto_otel.web.all_hosts.backend import Backend
    from proletto_otel.web.ranges import Range

STYLES = ("s1", "s2", "s3", "s4", "s5", "s6")
"""One for each host of a chart; those beyond are not drawn."""
MAX_WORKERS = 200
NO_HOST = "no host name"
_SCALES = {row.indicator: row.scale for row in system_metrics.INDICATORS}


@dataclass(slots=True, kw_only=True)
class HostWorker:
    """One process somewhere."""

    host: str
    pid: str
    version: str = ""
    cpu: float | None = None
    """Share of the processors that it may use."""
    memory: float | None = None
    files: float | None = None
    threads: float | None = None
    at: float | None = None
    """When it sent its newest values, unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemOfHosts:
    """The metrics of all hosts."""

    lines: Mapping[str, Sequence[Series]]
    """By indicator: a line for each host, the highest first."""
    workers: Sequence[HostWorker]
    hosts: int
    newest: Mapping[str, float]
    """When each host measured itself last, unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsOfHosts:
    """The requests of all hosts."""

    results: Sequence[Series]
    """Requests per minute: answered, refused, failed."""
    failed: Series
    """Per cent."""
    durations: Sequence[Series]
    step: int
    """Seconds between two points."""
    endpoints: Sequence[EndpointPoint] = field(default_factory=list)
    """The busiest first."""
    newest: Mapping[str, float] = field(default_factory=dict)
    """When each host sent its newest counts, unix seconds."""


def system(backend: Backend, config: Config, chosen: Range) -> SystemOfHosts:
    """Every system metric over the range, and the workers now.

    Raises:
        NoAnswer: with the reason.
    """
    steps = Steps.of(chosen.start, chosen.end, chosen.points)
    questions = (
        promql.over_time(promql.system(config, steps), steps),
        promql.at(f"{promql.workers(config)} or {promql.measured(config)}", steps.end),
    )
    return backend.ask(questions, _system)


def _system(results: list[Any]) -> SystemOfHosts:
    lines: dict[str, dict[str, list[Point]]] = {}
    # the container's own share first, as on the page of one host; then the host's is not used
    for found in sorted(results[0], key=lambda s: s["metric"].get(promql.SCOPE) != CONTAINER):
        labels, kind = found["metric"], found["metric"][promql.KIND]
        host = labels.get(promql.HOST) or NO_HOST
        points = _points(found["values"], _SCALES[kind])
        lines.setdefault(kind, {}).setdefault(host, points)
    return SystemOfHosts(
        lines={kind: _series(by_host) for kind, by_host in lines.items()},
        workers=_workers(results[1]),
        hosts=len({host for by_host in lines.values() for host in by_host}),
        newest=newest_of(results[1]),
    )


def newest_of(result: Iterable[Any]) -> dict[str, float]:
    """What `promql.measured` and `promql.counted` are answered."""
    return {
        one["metric"].get(promql.HOST) or NO_HOST: float(one["value"][1])
        for one in result
        if one["metric"][promql.KIND] == promql.NEWEST
    }


def _series(by_host: Mapping[str, list[Point]]) -> list[Series]:
    highest = sorted(by_host.items(), key=lambda item: -max(p.mean for p in item[1]))
    return [
        Series(label=host, points=points, style=STYLES[min(i, len(STYLES) - 1)])
        for i, (host, points) in enumerate(highest)
    ]


def _workers(result: Iterable[Any]) -> list[HostWorker]:
    found: dict[tuple[str, str], HostWorker] = {}
    for one in result:
        labels = one["metric"]
        if labels[promql.KIND] == promql.NEWEST:
            continue
        host, pid = labels.get(promql.HOST) or NO_HOST, labels.get(promql.PID, "")
        worker = found.setdefault((host, pid), HostWorker(host=host, pid=pid))
        worker.version = labels.get(promql.VERSION, "")
        setattr(worker, labels[promql.KIND], float(one["value"][1]))
    return [found[key] for key in sorted(found)][:MAX_WORKERS]


def requests(
    backend: Backend, config: Config, chosen: Range, without_failed: bool
) -> RequestsOfHosts:
    """The requests over the range, and its endpoints.

    Raises:
        NoAnswer: with the reason.
    """
    steps = Steps.of(chosen.start, chosen.end, chosen.points)
    seconds = steps.step * steps.count
    rows = promql.endpoints(config, seconds, without_failed=without_failed)
    questions = (
        promql.over_time(promql.requests(config, steps, without_failed=without_failed), steps),
        promql.at(f"{rows} or {promql.counted(config)}", steps.end),
    )
    return backend.ask(
        questions,
        lambda results: replace(
            curves(results[0], steps),
            endpoints=_endpoints(results[1], steps.end - seconds, seconds),
            newest=newest_of(results[1]),
        ),
    )


def curves(result: Iterable[Any], steps: Steps) -> RequestsOfHosts:
    """What `promql.requests` is answered, as lines."""
    rates: dict[str, dict[float, float]] = {"answered": {}, "4xx": {}, "failed": {}}
    durations: dict[str, list[Point]] = {}
    for found in result:
        kind, labels = found["metric"][promql.KIND], found["metric"]
        # Prometheus stamps the end of what it looked at, the charts show beginnings
        points = _points(found["values"], 60 if kind == "rate" else 1, -steps.step)
        if kind != "rate":
            durations[kind] = points
            continue
        into = rates[result_of(labels.get(promql.STATUS, ""))]
        for point in points:
            into[point.at] = into.get(point.at, 0.0) + point.mean
    return RequestsOfHosts(
        results=[
            _line(name, style, rates[name].items())
            for name, style in (("answered", "s1"), ("4xx", "warn"), ("failed", "bad"))
        ],
        failed=_line("failed", "bad", _share(rates)),
        durations=[
            Series(label=name, style=style, points=durations.get(name, []))
            for name, style in (("p50", "s1"), ("p95", "s2"), ("p99", "s4"))
        ],
        step=steps.step,
    )


def result_of(status: str) -> str:
    """What a request with this status is counted as."""
    if status.startswith("4"):
        return "4xx"
    return "answered" if status[:1] in ("1", "2", "3") else "failed"


def _share(rates: Mapping[str, Mapping[float, float]]) -> list[tuple[float, float]]:
    """Per cent of the requests that failed, where there were any."""
    every: dict[float, float] = {}
    for one in rates.values():
        for at, value in one.items():
            every[at] = every.get(at, 0.0) + value
    return [
        (at, 100 * rates["failed"].get(at, 0.0) / total)
        for at, total in sorted(every.items())
        if total
    ]


def _endpoints(result: Iterable[Any], start: int, seconds: int) -> list[EndpointPoint]:
    found: dict[tuple[str, str], dict[str, float]] = {}
    for one in result:
        labels, value = one["metric"], float(one["value"][1])
        key = (labels.get(promql.METHOD, ""), labels.get(promql.ROUTE, ""))
        # not a number: a percentile of nothing
        if labels[promql.KIND] != promql.NEWEST and not math.isnan(value):
            found.setdefault(key, {})[labels[promql.KIND]] = value
    made = [_endpoint(*key, values, start, seconds) for key, values in found.items()]
    return sorted((e for e in made if e.total.count), key=lambda e: -e.total.count)


def _endpoint(
    method: str, route: str, values: Mapping[str, float], start: int, seconds: int
) -> EndpointPoint:
    count, took = values.get("count", 0.0), values.get("seconds", 0.0)
    timed = values.get("timed", count)
    total = RequestPoint(
        time=start, seconds=seconds, count=round(count), errors=round(values.get("errors", 0.0)),
        timed=round(timed), mean=took / timed if timed else None, min=None, max=None,
        p50=values.get("p50"), p95=values.get("p95"), p99=values.get("p99"),
    )  # fmt: skip
    return EndpointPoint(method=method, route=route or None, total=total, points=())


def _points(values: Iterable[Any], scale: float, shift: float = 0.0) -> list[Point]:
    found = ((float(at) + shift, float(text) * scale) for at, text in values)
    return [Point(at, value, value, value) for at, value in found if not math.isnan(value)]


def _line(label: str, style: str, values: Iterable[tuple[float, float]]) -> Series:
    return Series(label=label, style=style, points=[Point(at, v, v, v) for at, v in sorted(values)])
