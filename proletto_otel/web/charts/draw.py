"""Time charts of lines and bars as SVG; the small ones without axes are in `charts.small`.

The plot is stretched to the width of its card (`preserveAspectRatio="none"`, strokes do not scale);
all text stands outside of it as HTML, so it has the same size at 390 and 2560 pixels. Nothing has a
`style` attribute: the Content-Security-Policy refuses it. Co-ordinates are whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import orjson
from markupsafe import Markup, escape

from proletto_otel.web import figures
from proletto_otel.web.charts.chart import Chart, series_table
from proletto_otel.web.charts.series import Limit, Mark, Point, Series, ceiling

W, H = 720, 160
TICKS = 4
"""Steps of the vertical axis."""
DOT = 8
"""Length of a line that would have none."""
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
    return _figure(title, parts, series, scale, unit, limits, marks)


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
    return _figure(title, parts, series, scale, unit, (), marks)


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
        f'<path class="mark {mark.style}" d="M{scale.x(mark.at)} 0V{H}">'
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
        if scale.x(run[-1].at) - scale.x(run[0].at) >= DOT:
            path.append("M" + "L".join(f"{scale.x(p.at)} {scale.y(p.mean)}" for p in run))
        else:  # a minute of a day has no length: a short stroke within the plot makes it visible
            path.append(f"M{min(scale.x(run[0].at), W - DOT)} {scale.y(run[-1].mean)}h{DOT}")
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
    limits: Sequence[Limit], marks: Sequence[Mark],
) -> Chart:  # fmt: skip
    def write(value: float | None) -> str:
        return figures.with_unit(value, unit)

    legend = (
        [_key(one, write) for one in series]
        + [
            Markup('<li><i class="key limit {}"></i>{} {}</li>').format(
                limit.style, limit.label, write(limit.value)
            )
            for limit in limits
        ]
        + _named(m for m in marks if scale.start <= m.at <= scale.end)
    )
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


def _named(marks: Iterable[Mark]) -> list[Markup]:
    """The latest marks of each kind, as the legend names them."""
    latest: dict[str, list[Mark]] = {}
    for mark in sorted(marks, key=lambda m: -m.at):
        latest.setdefault(mark.style, []).append(mark)
    made = []
    for style, same in latest.items():
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        made.append(
            Markup('<li><i class="key mark {}"></i>{}{}</li>').format(style, same[0].label, more)
        )
    return made


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
