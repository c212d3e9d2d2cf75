"""Numbers on pages: their units, their steps, and the axes and legends that show them."""

from __future__ import annotations

import re

import pytest

from proletto_otel.web import figures
from proletto_otel.web.charts import draw
from proletto_otel.web.charts.heatmap import heatmap
from proletto_otel.web.charts.series import Point, Series, ceiling
from proletto_otel.web.template_environment import environment


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0, "By", "0 B"),
        (1023, "By", "1023 B"),
        (1024, "B", "1 kB"),
        (96_800_000, "By", "92.3 MB"),
        (3 * 1024**3, "By", "3 GB"),
        (1008 * 1024, "By", "0.984 MB"),
        (999.7, "%", "1,000 %"),
        (999.7, "orders", "1,000 orders"),
        (0.00004, "orders", "<0.0001 orders"),
        (7.24, "%", "7.24 %"),
        (1200, "%", "1,200 %"),
        (0.018, "s", "18 ms"),
        (0.0004, "s", "<1 ms"),
        (0, "s", "0 ms"),
        (1.9, "s", "1.9 s"),
        (240, "s", "4 min"),
        (12, "orders", "12 orders"),
        (12, "", "12"),
        (None, "By", figures.UNKNOWN),
    ],
)
def test_values_are_shown_in_their_units(value: float | None, unit: str, shown: str) -> None:
    """Seconds, bytes and per cent have steps of their own; another unit follows its number."""
    assert shown == figures.with_unit(value, unit)


@pytest.mark.parametrize(
    ("value", "shown"), [(999.4, "999"), (999.7, "1 k"), (999_600, "1 M"), (1240, "1.24 k")]
)
def test_tiles_have_three_digits(value: float, shown: str) -> None:
    """And no exponent at the end of a step."""
    assert shown == figures.short(value)


@pytest.mark.parametrize(
    ("value", "end"), [(0, 1), (-3, 1), (0.3, 0.4), (1, 1), (3, 4), (41, 50), (81, 100), (100, 100)]
)
def test_an_axis_ends_at_a_round_number(value: float, end: float) -> None:
    """1, 2, 4, 5 or 8 times a power of ten; without values there is an axis, too."""
    assert end == pytest.approx(ceiling(value))


def test_the_legend_of_a_map_goes_from_one_to_its_most() -> None:
    """Each shade has its number of requests; the darkest is that of the fullest cell."""
    made = heatmap("Times", [0, 60], 60, [0.1, 1], [[5, 0, 0], [0, 1000, 1]], 0, 120)
    legend = re.findall(r'<path class="h(\d)" d="M0 0h9v9H0z"/></svg>(\d+)</li>', made)

    assert ("1", "1") == legend[0]
    assert ("7", "1000") == legend[-1]
    assert sorted(legend, key=lambda pair: int(pair[1])) == legend
    assert "No requests in this time" in heatmap("Times", [0], 60, [1], [[0, 0]], 0, 60)


def test_what_is_under_way_ends_with_the_plot() -> None:
    """The last bar and the last column of a heat map are not drawn beyond the axis of time."""
    points = [Point(at, 5.0, 5.0, 5.0) for at in (0.0, 60.0, 110.0)]
    bars = draw.bar_chart("T", [Series(label="a", points=points)], 0, 120, width_s=60)
    heat = heatmap("T", [0.0, 60.0, 110.0], 60, (0.1,), [(1, 0)] * 3, 0, 120)

    for drawing in (bars, heat):
        found = re.findall(r"M(\d+) \d+(?:V\d+)?h(\d+)", drawing)
        assert 3 <= len(found)
        assert all(int(x) + int(width) <= draw.W for x, width in found)


def test_counts_by_reason_have_separators() -> None:
    """As every other number of the page."""
    said = environment().filters["words"]

    assert "spool_full 3,206, timeout 1" == said({"spool_full": 3206, "timeout": 1})
    assert "fingerprint 0000" == said({"fingerprint": "0000"})
