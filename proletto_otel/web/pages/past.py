"""The past as charts: metrics, requests by result and duration, deploys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from proletto_otel.core.errors import ConfigError
from proletto_otel.web.charts import draw
from proletto_otel.web.charts.series import Limit, Mark, Point, Series
from proletto_otel.web.pages.limits import limits as limits_of

if TYPE_CHECKING:
    from proletto_otel.monitoring.report import Alert
    from proletto_otel.request.request_points import RequestPoint
    from proletto_otel.web.asked import Asked

BY_RESULT = "Requests per minute, by result"
FAILED = "Share of failed requests"
TIMES = "Response time"
WITHOUT_FAILED = ", without failed requests"
LEAST_RATE_S = 10.0
"""Workers' counts are added up to 3 s late: in the first seconds of a minute they are of a longer
time than the minute has been under way, and its bar would be twice as high as the others."""
OF_ENDPOINT = "This endpoint: requests per minute"
HEAT = "How long requests took"
PERCENTILES = (("p50", "p50", "s1"), ("p95", "p95", "s2"), ("p99", "p99", "s4"))
"""Field, label and style."""


def metric(
    asked: Asked, name: str, label: str, start: float, end: float, points: int, style: str = "s1"
) -> Series:
    """The past of a metric as a line with its band of lowest to highest value."""
    try:
        found = asked.site.monitor.series(name, start, end, points)
    except ConfigError:  # a metric that nobody measures any more
        found = ()
    return Series(
        label=label, style=style, points=[Point(p.time, p.mean, p.min, p.max) for p in found]
    )


def marks(asked: Asked, start: float, end: float) -> list[Mark]:
    """Deploys, to be drawn as vertical lines."""
    found = asked.site.monitor.annotations(start, end, kind="deploy")
    return [Mark(a.time, f"deploy {a.version}".strip()) for a in found]


def requests_by_result(points: Sequence[RequestPoint]) -> list[Series]:
    """Requests per minute: answered, refused (4xx), failed."""

    def rate(point: RequestPoint, count: int) -> Point:
        value = 60 * count / max(point.seconds, LEAST_RATE_S) if point.seconds else 0.0
        return Point(point.time, value, value, value)

    refused = [rate(p, p.by_status.get("4xx", 0)) for p in points]
    failed = [rate(p, p.errors) for p in points]
    good = [rate(p, max(p.count - p.errors - p.by_status.get("4xx", 0), 0)) for p in points]
    return [
        Series(label="answered", points=good, style="s1"),
        Series(label="4xx", points=refused, style="warn"),
        Series(label="failed", points=failed, style="bad"),
    ]


def error_share(points: Sequence[RequestPoint]) -> Series:
    """Per cent of the requests that failed, where there were any."""
    found = [(p.time, 100 * p.errors / p.count) for p in points if p.count]
    return Series(label="failed", style="bad", points=[Point(at, v, v, v) for at, v in found])


def durations(points: Sequence[RequestPoint]) -> list[Series]:
    """p50, p95 and p99."""
    made = []
    for name, label, style in PERCENTILES:
        found = [(p.time, value) for p in points if (value := getattr(p, name)) is not None]
        made.append(
            Series(label=label, style=style, points=[Point(at, v, v, v) for at, v in found])
        )
    return made


def request_charts(
    asked: Asked, start: float, end: float, count: int, title: str = BY_RESULT,
    route: str | None = None, method: str | None = None,
) -> dict[str, Markup]:  # fmt: skip
    """Requests per minute by result, share of failures, response times."""
    points = asked.site.monitor.request_series(
        start, end, route, method, count, without_failed=asked.without_failed
    )
    drawn = marks(asked, start, end)
    limits = limits_of_p95(asked) if route is None else []
    return {
        "requests": results_chart(points, start, end, drawn, title),
        "errors": draw.line_chart(
            FAILED, [error_share(points)], start, end, unit="%", marks=drawn
        ),
        "times": times_chart(asked, points, start, end, drawn, limits),
    }  # fmt: skip


def results_chart(
    points: Sequence[RequestPoint], start: float, end: float, drawn: Sequence[Mark],
    title: str = BY_RESULT,
) -> Markup:  # fmt: skip
    """Requests per minute, by result."""
    results = requests_by_result(points)
    width = points[0].seconds if points else 60.0
    return draw.bar_chart(title, results, start, end, width_s=width, marks=drawn)


def times_chart(
    asked: Asked, points: Sequence[RequestPoint], start: float, end: float,
    drawn: Sequence[Mark], limits: Sequence[Limit],
) -> Markup:  # fmt: skip
    """Response times with their *limits*."""
    title = timed(asked, TIMES)
    return draw.line_chart(
        title, durations(points), start, end, unit="s", marks=drawn, limits=limits
    )


def timed(asked: Asked, title: str) -> str:
    """The title of a chart of durations, which says whose they are."""
    return title + (WITHOUT_FAILED if asked.without_failed else "")


def limits_of_p95(asked: Asked, alerts: Sequence[Alert] | None = None) -> list[Limit]:
    """The thresholds of response times."""
    return limits_of(asked, "response_time_p95", alerts)
