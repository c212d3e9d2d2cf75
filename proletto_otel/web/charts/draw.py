"""Time charts, bars, sparklines and strips as SVG.

The plot is stretched to the width of its card (`preserveAspectRatio="none"`, strokes do not scale);
all text stands outside of it as HTML, so it has the same size at 390 and 2560 pixels. Nothing has a
`style` attribute: the Content-Security-Policy refuses it. Co-ordinates are whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, pairwise
from typing import Any

import orjson
from markupsafe import Markup, escape

from proletto_otel.web import figures
from proletto_otel.web.charts.chart import Chart, series_table
from proletto_otel.web.charts.series import Limit, Mark, Point, Series, ceiling

W, H = 720, 160
SPARK_W, SPARK_H = 120, 32
TICKS = 4
"""Steps of the vertical axis."""
GAP = 2.5
"""Buckets without values after which a line is interrupted."""
MAX_LIMIT = 3.0
"""A limit this many times above all values would flatten the line: it is named, not drawn."""


def line_chart(
    title: str, series: Sequence[Series], start: float, end: float, *, unit: str = "",
    limits: Sequence[Limit] = (), marks: Sequence[Mark] = (), top: float = 0.0,
) -> Chart:  # fmt: skip
    """Lines with their band of least to greatest value, limits and marks."""
    shown = [s for s in series if s.points]
    highest = max((s.high or 0.0 for s in shown), default=0.0)
    drawn = [limit for limit in limits if limit.value <= max(highest * MAX_LIMIT, top)]
    top = top or ceiling(max([highest, *(limit.value for limit in drawn)]) or 1.0)
    scale = _Scale(start, end, top)
    parts = [_grid(), *(_mark(scale, m) for m in marks if start <= m.at <= end)]
    for one in shown:
        parts.append(_band(scale, one))
    for limit in drawn:
        y = scale.y(limit.value)
        parts.append(f'<path class="limit {limit.style}" d="M0 {y}H{W}"/>')
    for one in shown:
        parts.append(f'<path class="line {one.style}" d="{_line(scale, one.points)}"/>')
    return _figure(title, parts, series, scale, unit, limits)


def bar_chart(
    title: str, series: Sequence[Series], start: float, end: float, *, unit: str = "",
    width_s: float, marks: Sequence[Mark] = (),
) -> Chart:  # fmt: skip
    """Stacked bars, the first series at the bottom; each bar stands for *width_s* seconds."""
    stacked: dict[float, float] = {}
    for one in series:
        for point in one.points:
            stacked[point.at] = stacked.get(point.at, 0.0) + point.mean
    scale = _Scale(start, end, ceiling(max(stacked.values(), default=1.0)))
    width = max(round(W * width_s / (end - start)) - 2, 1)
    parts = [_grid(), *(_mark(scale, m) for m in marks if start <= m.at <= end)]
    below: dict[float, float] = {}
    for one in series:
        path = []
        for point in one.points:
            bottom = below.get(point.at, 0.0)
            below[point.at] = bottom + point.mean
            if point.mean > 0:
                high, low = scale.y(bottom + point.mean), scale.y(bottom)
                x = scale.x(point.at) + 1
                # the bar that is under way ends with the plot
                path.append(f"M{x} {low}V{high}h{max(min(width, W - x), 1)}V{low}z")
        parts.append(f'<path class="bar {one.style}" d="{"".join(path)}"/>')
    return _figure(title, parts, series, scale, unit, ())


def sparkline(values: Sequence[float | None], style: str = "s1", label: str = "") -> Markup:
    """A small line without axes; None is a gap."""
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return Markup("")
    top = max(known) or 1.0
    step = SPARK_W / (len(values) - 1)
    path, pen = [], "M"
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        path.append(
            f"{pen}{round(index * step)} {round(SPARK_H - 2 - (SPARK_H - 4) * value / top)}"
        )
        pen = "L"
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}"><path class="line {}" d="{}"/></svg>'
    ).format(SPARK_W, SPARK_H, label or "trend", style, "".join(path))


def spark_bars(values: Sequence[float], style: str = "s1", label: str = "") -> Markup:
    """Small bars on their own scale: the trend of an error in a list."""
    top = max(values, default=0.0)
    if not top:
        return Markup("")
    step = SPARK_W / len(values)
    width = max(round(step) - 1, 1)
    path = "".join(
        f"M{round(i * step)} {SPARK_H}v-{max(round(SPARK_H * v / top), 2)}h{width}V{SPARK_H}z"
        for i, v in enumerate(values)
        if v
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}"><path class="bar {}" d="{}"/></svg>'
    ).format(SPARK_W, SPARK_H, label or "trend", style, path)


HEIGHTS = {"healthy": 24, "ok": 24, "degraded": 16, "unhealthy": 8, "unknown": 24}
"""States have a height beside their colour."""


def strip(cells: Sequence[str], label: str) -> Markup:
    """A row of states over time, oldest first: each is a status."""
    width = W / max(len(cells), 1)
    parts, x = [], 0
    for status, same in groupby(cells):
        count = len(list(same))
        height = HEIGHTS.get(status, 24)
        x0, x1 = round(x * width), round((x + count) * width)
        parts.append(
            f'<path class="cell {escape(status)}" d="M{x0} 24V{24 - height}H{x1 - 1}V24z"/>'
        )
        x += count
    return Markup(
        '<svg class="strip" viewBox="0 0 {} 24" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>'
    ).format(W, label, Markup("".join(parts)))


def meter(value: float | None, warning: float | None, critical: float | None) -> Markup:
    """A bar of 0 to 100 with its limits as ticks."""
    if value is None:
        return Markup("")
    share = min(max(value, 0.0), 100.0)
    style = (
        "bad" if critical and value > critical else "warn" if warning and value > warning else "s1"
    )
    ticks = "".join(
        f'<path class="limit {name}" d="M{round(at)} 0V8"/>'
        for at, name in ((warning, "warn"), (critical, "bad"))
        if at is not None and at <= 100
    )
    return Markup(
        '<svg class="meter" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="track" d="M0 0H100V8H0z"/><path class="bar {}" d="M0 0H{}V8H0z"/>{}</svg>'
    ).format(style, round(share), Markup(ticks))


class _Scale:
    """Time and value as co-ordinates of the plot."""

    def __init__(self, start: float, end: float, top: float) -> None:
        self.start, self.end, self.top = start, end, top

    def x(self, at: float) -> int:
        return round(W * (at - self.start) / (self.end - self.start))

    def y(self, value: float) -> int:
        return round(H - H * min(max(value / self.top, 0.0), 1.0))


def _grid() -> str:
    lines = "".join(f"M0 {round(H * i / TICKS)}H{W}" for i in range(1, TICKS))
    return f'<path class="grid" d="{lines}M0 {H}H{W}"/>'


def _mark(scale: _Scale, mark: Mark) -> str:
    return (
        f'<path class="mark" d="M{scale.x(mark.at)} 0V{H}">'
        f"<title>{escape(mark.label)}</title></path>"
    )


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """Points without gaps between them."""
    steps = sorted(b.at - a.at for a, b in pairwise(points))
    widest = (steps[len(steps) // 2] if steps else 1.0) * GAP
    runs: list[list[Point]] = []
    for point in points:
        if not runs or point.at - runs[-1][-1].at > widest:
            runs.append([])
        runs[-1].append(point)
    return runs


def _line(scale: _Scale, points: Sequence[Point]) -> str:
    path = []
    for run in _runs(points):
        found = [f"{scale.x(p.at)} {scale.y(p.mean)}" for p in run]
        # a single point has no length: a short stroke makes it visible
        path.append(f"M{'L'.join(found)}" if len(found) > 1 else f"M{found[0]}h3")
    return "".join(path)


def _band(scale: _Scale, series: Series) -> str:
    if not any(p.high > p.low for p in series.points):
        return ""
    path = []
    for run in _runs(series.points):
        there = "L".join(f"{scale.x(p.at)} {scale.y(p.high)}" for p in run)
        back = "L".join(f"{scale.x(p.at)} {scale.y(p.low)}" for p in reversed(run))
        path.append(f"M{there}L{back}z")
    return f'<path class="band {series.style}" d="{"".join(path)}"/>'


def _figure(
    title: str, parts: Sequence[str], series: Sequence[Series], scale: _Scale, unit: str,
    limits: Sequence[Limit],
) -> Chart:  # fmt: skip
    def write(value: float | None) -> str:
        return figures.with_unit(value, unit)

    legend = [_key(one, write) for one in series] + [
        Markup('<li><i class="key limit {}"></i>{} {}</li>').format(
            limit.style, limit.label, write(limit.value)
        )
        for limit in limits
    ]
    ticks = [write(scale.top * (TICKS - i) / TICKS) for i in range(TICKS + 1)]
    times = [scale.start + (scale.end - scale.start) * i / 4 for i in range(5)]
    style = "clock" if scale.end - scale.start <= 86_400 else "day"
    empty = not any(one.points for one in series)
    drawing = FIGURE.format(
        data=_data(series, scale, unit),
        title=title,
        ticks=_joined(Markup("<span>{}</span>").format(t) for t in ticks),
        width=W,
        height=H,
        description=_description(title, series, write),
        body="" if empty else Markup("".join(parts)),
        nothing=NOTHING if empty else "",
        times=_joined(figures.time(at, style) for at in times),
        legend=_joined(legend),
    )
    seconds = scale.end - scale.start
    return Chart.of(drawing, lambda: series_table(title, series, seconds, write))


FIGURE = Markup(
    '<figure class="chart" data-chart="{data}" tabindex="0"><figcaption>{title}</figcaption>'
    '<div class="plot"><div class="ys" aria-hidden="true">{ticks}</div>'
    '<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img"'
    ' aria-label="{description}">{body}<path class="cursor" d=""/></svg>{nothing}'
    '<div class="xs" aria-hidden="true">{times}</div></div>'
    '<ul class="legend">{legend}</ul><output class="readout"></output></figure>'
)
NOTHING = Markup('<p class="nothing">Nothing was measured in this time.</p>')


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def _key(series: Series, write: Callable[[float | None], str]) -> Markup:
    return Markup('<li><i class="key {}"></i>{} <b>{}</b></li>').format(
        series.style, series.label, write(series.last)
    )


def _description(title: str, series: Sequence[Series], write: Callable[[float | None], str]) -> str:
    facts = [
        f"{s.label} now {write(s.last)}, least {write(s.low)}, greatest {write(s.high)}"
        for s in series
        if s.points
    ]
    return f"{title}: {'; '.join(facts) or 'nothing was measured'}"


def _data(series: Sequence[Series], scale: _Scale, unit: str) -> str:
    """What the script's read-out shows."""
    data: dict[str, Any] = {
        "from": round(scale.start), "to": round(scale.end), "unit": unit, "top": scale.top,
        "series": [
            {"label": s.label, "points": [[round(p.at), float(f"{p.mean:.3g}")] for p in s.points]}
            for s in series
        ],
    }  # fmt: skip
    return orjson.dumps(data).decode()
