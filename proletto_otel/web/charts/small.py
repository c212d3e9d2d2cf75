"""Sparklines, small bars, strips of states and meters as SVG: charts without axes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup, escape

W = 720
"""Width of a strip."""
SPARK_W, SPARK_H = 120, 32


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


def spark_bars(
    values: Sequence[float], style: str = "s1", label: str = "", failed: Sequence[float] = ()
) -> Markup:
    """Small bars on their own scale: a trend in a list; *failed* is drawn over their feet."""
    top = max(values, default=0.0)
    if not top:
        return Markup("")
    drawn = [Markup('<path class="bar {}" d="{}"/>').format(style, _bars(values, top))]
    if any(failed):
        drawn.append(Markup('<path class="bar bad" d="{}"/>').format(_bars(failed, top)))
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>'
    ).format(SPARK_W, SPARK_H, label or "trend", Markup("").join(drawn))


def _bars(values: Sequence[float], top: float) -> str:
    step = SPARK_W / len(values)
    width = max(round(step) - 1, 1)
    return "".join(
        f"M{round(i * step)} {SPARK_H}v-{max(round(SPARK_H * v / top), 2)}h{width}V{SPARK_H}z"
        for i, v in enumerate(values)
        if v
    )


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
