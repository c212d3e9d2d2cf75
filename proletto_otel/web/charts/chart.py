"""A chart as it is sent: the drawing, and the same values as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from markupsafe import Markup

from proletto_otel.web import figures
from proletto_otel.web.charts.series import Series

Write = Callable[[float | None], str]
DAY_S = 86_400


class Chart(Markup):
    """The drawing; `as_table` has its values as rows."""

    as_table: Callable[[], Markup]

    @classmethod
    def of(cls, drawing: Markup, as_table: Callable[[], Markup]) -> Chart:
        """A drawing with its table, which is made when somebody wants it."""
        made = cls(drawing)
        made.as_table = as_table
        return made


def series_table(title: str, series: Sequence[Series], seconds: float, write: Write) -> Markup:
    """A row for each time, the newest first; a value that moved has its least and greatest."""
    by_time: dict[float, dict[str, str]] = {}
    for one in series:
        for point in one.points:
            text = write(point.mean)
            if (point.low, point.high) != (point.mean, point.mean):
                text += f" ({write(point.low)} to {write(point.high)})"
            by_time.setdefault(point.at, {})[one.label] = text
    rows = (
        (at, [by_time[at].get(one.label, figures.UNKNOWN) for one in series])
        for at in sorted(by_time, reverse=True)
    )
    return table(title, [one.label for one in series], rows, seconds)


def table(
    title: str, columns: Sequence[str], rows: Iterable[tuple[float, Sequence[Any]]], seconds: float
) -> Markup:
    """Times and what was measured then."""
    style = "clock" if seconds <= DAY_S else "day"
    head = Markup("").join(Markup('<th class="n">{}</th>').format(name) for name in columns)
    body = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            figures.time(at, style),
            Markup("").join(Markup('<td class="n">{}</td>').format(value) for value in values),
        )
        for at, values in rows
    )
    empty = "" if body else Markup('<p class="empty">Nothing was measured in this time.</p>')
    return Markup(
        '<div class="scroll values" tabindex="0" role="region" aria-label="{}"><table>'
        "<caption>{}</caption><thead><tr><th>Time</th>{}</tr></thead><tbody>{}</tbody></table>{}</div>"
    ).format(title, title, head, body, empty)
