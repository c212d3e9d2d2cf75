"""A latency heat map: time to the right, duration upwards on a doubling scale, count as shade.

One path for each of the seven shades: a map of 60 × 15 cells, all of them there, takes 18 kB, and 5
more for the numbers by which a click finds its cell. A link for each would be 900 stops of the tab
key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import orjson
from markupsafe import Markup

from proletto_otel.web import figures
from proletto_otel.web.charts.chart import DAY_S, Chart, table

W, H = 720, 180
STEPS = 7
READOUT = Markup('<output class="readout" aria-hidden="true"></output>')
"""Where the script says which cell is below the pointer: hearers have the table and the form."""


def heatmap(
    title: str, times: Sequence[float], seconds: float, edges: Sequence[float],
    counts: Sequence[Sequence[int]], start: float, end: float,
    *, is_linked: bool = False, outlined: tuple[float, float, int] | None = None,
) -> Chart:  # fmt: skip
    """The map.

    Args:
        title: Above it.
        times: Where each column begins, unix seconds.
        seconds: How long a column is.
        edges: Seconds between the rows.
        counts: By column, then by row, the fastest first.
        start: Unix seconds of its left end.
        end: Unix seconds of its right end.
        is_linked: Whether a click leads to the requests of a cell (`pages.heat_cells`).
        outlined: Beginning, length and row of the cell whose requests are shown.
    """
    most = max((count for column in counts for count in column), default=0)
    row_count = len(edges) + 1
    height, width = H / row_count, max(round(W * seconds / (end - start)), 2)
    paths: list[list[str]] = [[] for _ in range(STEPS)]
    for at, column in zip(times, counts, strict=True):
        x = round(W * (at - start) / (end - start))
        across = max(min(width, W - x), 2) - 1  # the column that is under way ends with the map
        for row, count in enumerate(column):
            if count:
                y = round(H - (row + 1) * height)
                paths[_step(count, most)].append(
                    f"M{x} {y}h{across}v{round(height) - 1}h-{across}z"
                )
    body = "".join(
        f'<path class="h{i + 1}" d="{"".join(path)}"/>' for i, path in enumerate(paths) if path
    )
    if outlined is not None:
        body += _outline(outlined, start, end, height)
    labels = [*(edges[i] for i in range(len(edges) - 1, -1, -3))]
    ticks = Markup("").join(Markup("<span>{}</span>").format(figures.duration(v)) for v in labels)
    style = "clock" if end - start <= DAY_S else "day"
    xs = Markup("").join(figures.time(start + (end - start) * i / 4, style) for i in range(5))
    total = sum(map(sum, counts))
    described = f"{title}: {total} requests, at most {most} in one cell"
    cells = _cells(start, end, seconds, edges, times, counts) if is_linked else ""
    drawing = Markup(
        '<figure class="heat"{}><figcaption>{}</figcaption><div class="plot"><div class="ys"'
        ' aria-hidden="true">{}</div><svg viewBox="0 0 {} {}" preserveAspectRatio="none"'
        ' role="img" aria-label="{}">{}</svg><div class="xs" aria-hidden="true">{}</div></div>'
        '<ul class="legend">{}</ul>{}</figure>'
    ).format(cells, title, ticks, W, H, described, Markup(body), xs, _legend(most),
             READOUT if is_linked else "")  # fmt: skip
    # the slowest row first, as in the map; what lies between two edges is named by the lower one
    names = [f"≥ {figures.duration(edge)}" for edge in reversed(edges)]
    rows = [(at, tuple(reversed(column))) for at, column in zip(times, counts, strict=True)]
    names.append("faster")
    return Chart.of(drawing, lambda: table(title, names, reversed(rows), end - start))


def _cells(
    start: float, end: float, seconds: float, edges: Sequence[float], times: Sequence[float],
    counts: Sequence[Sequence[int]],
) -> Markup:  # fmt: skip
    """What the script finds a cell by: numbers alone, so that nothing has to be escaped."""
    columns = [[at, *column] for at, column in zip(times, counts, strict=True) if any(column)]
    data = orjson.dumps([start, end, seconds, [*edges], columns]).decode()
    return Markup(' data-cells="{}"').format(data)


def _outline(cell: tuple[float, float, int], start: float, end: float, height: float) -> str:
    at, during, row = cell
    if at + during <= start or at >= end:  # the range does not show it any more
        return ""
    left, right = (round(W * (x - start) / (end - start)) for x in (at, at + during))
    left = min(max(left, 0), W - 2)
    right = max(min(right, W), left + 2)
    top = round(H - (row + 1) * height)
    return f'<path class="cursor" d="M{left} {top}H{right}v{round(height)}H{left}z"/>'


def _step(count: int, most: int) -> int:
    """The shade of a count, 0 to 6, by its logarithm."""
    if most <= 1:
        return STEPS - 1
    return min(int(math.log(count) / math.log(most) * (STEPS - 1) + 0.5), STEPS - 1)


def _legend(most: int) -> Markup:
    if not most:
        return Markup("<li>No requests in this time.</li>")
    counts = sorted({max(round(most ** (i / (STEPS - 1))), 1) for i in range(STEPS)})
    return Markup("").join(
        Markup('<li><svg class="swatch" viewBox="0 0 9 9" aria-hidden="true"><path class="h{}"'
               ' d="M0 0h9v9H0z"/></svg>{}</li>').format(_step(n, most) + 1, n)
        for n in counts
    )  # fmt: skip
