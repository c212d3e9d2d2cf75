"""One endpoint on all hosts, as Prometheus answers: charts, totals, heat map."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proletto_otel.request import status_codes
from proletto_otel.request.readings import StatusCount
from proletto_otel.request.request_points import RequestPoint
from proletto_otel.request.status_codes import CLASSES
from proletto_otel.web.all_hosts import promql
from proletto_otel.web.all_hosts.prometheus import RequestsOfHosts, curves, newest_of, result_of
from proletto_otel.web.all_hosts.promql import LEAST_WINDOW_S, Steps

if TYPE_CHECKING:
    from proletto_otel.core.config import Config
    from proletto_otel.web.all_hosts.backend import Backend
    from proletto_otel.web.ranges import Range

COLUMNS = 60
"""Of the heat map, as on the page of one host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """Requests by time and duration; `edges` are the bounds that Prometheus has."""

    times: Sequence[float]
    seconds: int
    edges: Sequence[float]
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOfHosts:
    """The requests of one endpoint on all hosts."""

    requests: RequestsOfHosts
    total: RequestPoint
    statuses: Sequence[StatusCount]
    heat: Heat
    newest: Mapping[str, float]
    """When each host sent its newest counts, unix seconds."""


def endpoint(
    backend: Backend, config: Config, chosen: Range, matchers: tuple[str, ...],
    without_failed: bool,
) -> EndpointOfHosts:  # fmt: skip
    """The requests over the range.

    Args:
        backend: Prometheus.
        config: The settings.
        chosen: The range.
        matchers: As `promql.one_endpoint` makes them.
        without_failed: Whether durations are of those alone that did not fail.

    Raises:
        NoAnswer: with the reason.
    """
    steps = Steps.of(chosen.start, chosen.end, chosen.points)
    # a column looks back over its own time and no further: a request is in one of them
    columns = min(COLUMNS, max(int(chosen.seconds // LEAST_WINDOW_S), 1))
    wide = Steps.of(chosen.start, chosen.end, columns)
    seconds = steps.step * steps.count
    among = {"without_failed": without_failed}
    total = promql.total(config, seconds, *matchers, **among)
    questions = (
        promql.over_time(promql.requests(config, steps, *matchers, **among), steps),
        # of all requests: a host that nobody asked for this endpoint is not silent
        promql.at(f"{total} or {promql.counted(config)}", steps.end),
        promql.over_time(promql.durations(config, wide, *matchers, **among), wide),
    )
    return backend.ask(
        questions,
        lambda results: EndpointOfHosts(
            requests=curves(results[0], steps),
            total=_total(results[1], steps.end - seconds, seconds, without_failed),
            statuses=_statuses(results[1]),
            heat=_heat(results[2], wide),
            newest=newest_of(results[1]),
        ),
    )


def _total(result: Iterable[Any], start: int, seconds: int, without_failed: bool) -> RequestPoint:
    statuses: dict[str, float] = {}
    values: dict[str, float] = {}
    errors = 0.0
    for one in result:
        labels, value = one["metric"], float(one["value"][1])
        if math.isnan(value):  # a percentile of nothing
            continue
        if labels[promql.KIND] == promql.NEWEST:
            continue
        if labels[promql.KIND] != "count":
            values[labels[promql.KIND]] = value
            continue
        status = labels.get(promql.STATUS, "")
        name = f"{status[:1]}xx" if status else "other"
        statuses[name] = statuses.get(name, 0.0) + value
        errors += value if result_of(status) == "failed" else 0.0
    count = sum(statuses.values())
    timed = count - errors if without_failed else count
    return RequestPoint(
        time=start, seconds=seconds, count=round(count), errors=round(errors),
        by_status={name: round(n) for name, n in statuses.items() if round(n)},
        timed=round(timed), mean=values.get("seconds", 0.0) / timed if timed else None,
        min=None, max=None, p50=values.get("p50"), p95=values.get("p95"), p99=values.get("p99"),
    )  # fmt: skip


def _statuses(result: Iterable[Any]) -> tuple[StatusCount, ...]:
    classes, codes = [0] * len(CLASSES), {}
    for one in result:
        labels, value = one["metric"], float(one["value"][1])
        if labels[promql.KIND] == "count" and not math.isnan(value):
            status = labels.get(promql.STATUS, "")
            code = int(status) if re.fullmatch("[1-5][0-9]{2}", status) else 0
            # a class is the sum of its rounded codes: nothing of it is left without a code
            count = round(value)
            classes[code // 100] += count
            if code:
                codes[code] = count
    return status_codes.counted(classes, codes)


def _heat(result: Iterable[Any], steps: Steps) -> Heat:
    """Prometheus counts what took at most so long: a cell is what is more than in the one below."""
    bounds: dict[float, Mapping[float, float]] = {
        float(one["metric"]["le"]): {float(at): float(n) for at, n in one["values"]}
        for one in result
    }
    edges = sorted(bounds)
    times = sorted({at for values in bounds.values() for at in values})
    counts = []
    for at in times:
        upto = [bounds[edge].get(at, 0.0) for edge in edges]
        below = [0.0, *upto]
        counts.append([round(max(n - less, 0.0)) for n, less in zip(upto, below, strict=False)])
    return Heat(
        # Prometheus stamps the end of what it looked at
        times=[at - steps.step for at in times], seconds=steps.step,
        edges=edges[:-1], counts=counts,
    )  # fmt: skip
