"""Charts as tables: the same values in rows, without script, for people who cannot see curves."""

from __future__ import annotations

import json
import re
import time

import pytest

from proletto_otel.web.charts import draw
from proletto_otel.web.charts.heatmap import heatmap
from proletto_otel.web.charts.series import Point, Series
from tests.web.dashboard import ADMIN, HOSTILE, shop, traffic


def cells(html: str) -> list[list[str]]:
    """The rows of a table as texts."""
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [
        [re.sub(r"<.*?>", "", cell) for cell in re.split(r"</t[hd]>", row)[:-1]] for row in rows
    ]


def test_table_has_the_values_of_the_lines() -> None:
    """A row for each time, the newest first; gaps are named, a value that moved has its range."""
    one = Series(label="web-1", points=[Point(60, 1.5, 1, 2), Point(120, 3, 3, 3)])
    two = Series(label=HOSTILE, points=[Point(120, 4, 4, 4)])

    chart = draw.line_chart("CPU usage", [one, two], 0, 180, unit="%")
    found = chart.as_table()

    assert [
        ["Time", "web-1", "&lt;img"],
        ["00:02", "3 %", "4 %"],
        ["00:01", "1.5 % (1 % to 2 %)", "–"],
    ] == [row if i else [*row[:2], row[2][:7]] for i, row in enumerate(cells(found))]
    assert "<caption>CPU usage</caption>" in found
    assert "<img src=x" not in found


def test_table_of_a_heat_map_and_of_nothing() -> None:
    """Counts by duration, the slowest first; an empty chart says so."""
    found = heatmap("Durations", [60.0, 120.0], 60, [0.1, 1.0], [(5, 2, 0), (7, 0, 1)], 60, 180)

    assert [
        ["Time", "≥ 1 s", "≥ 100 ms", "faster"],
        ["00:02", "1", "0", "7"],
        ["00:01", "0", "2", "5"],
    ] == cells(found.as_table())
    assert "Nothing was measured" in draw.line_chart("x", [], 0, 60).as_table()


def test_a_full_heat_map_is_small_and_no_link() -> None:
    """Whatever leads from its cells to requests: no 900 stops, and no page of 100 kB."""
    counts = [[(7 * row + column) % 3000 + 1 for row in range(15)] for column in range(60)]
    times = [60.0 * column for column in range(60)]
    edges = [0.002 * 2**row for row in range(14)]
    drawn = heatmap(
        "Durations", times, 60, edges, counts, 0, 3600, is_linked=True, outlined=(60, 60, 3)
    )
    cells = re.search(r'data-cells="([^"]*)"', drawn)

    assert len(drawn.encode()) < 25_000
    assert not re.search("<a |tabindex|<button", drawn)
    assert cells is not None
    assert [[at, *column] for at, column in zip(times, counts, strict=True)] == json.loads(
        cells[1]
    )[4]
    outline = '<path class="cursor" d="M12 132H24v12H12z"/>'
    assert outline in drawn


@pytest.mark.usefixtures("telemetry_capture")
def test_every_chart_leads_to_its_table() -> None:
    """The link keeps what the page shows; new values of an open page have the same link."""
    app = shop()
    traffic(app)
    client = app.test_client()
    plain = client.get(f"{ADMIN}/requests?range=6h")
    table = client.get(f"{ADMIN}/requests?range=6h&as=table")

    assert f'href="{ADMIN}/requests?range=6h&amp;as=table">As table</a>' in plain.text
    assert "<caption>" not in plain.text
    assert 2 == table.text.count("<caption>")
    assert 'class="chart"' not in table.text
    assert f'href="{ADMIN}/requests?range=6h">As chart</a>' in table.text
    live = client.get(f"{ADMIN}/api/live?page=requests&range=6h&as=table").get_json()
    assert "<caption>" in live["cards"]["chart-times"]
    assert f'href="{ADMIN}/requests?range=6h">As chart</a>' in live["cards"]["chart-times"]
    assert 3 * len(plain.text) > len(table.text)


@pytest.mark.usefixtures("telemetry_capture")
def test_page_of_nobody_stays_the_same_over_polls() -> None:
    """What did not change has the same hash in a page and in its live values."""
    app = shop()
    traffic(app)
    client = app.test_client()
    at = time.strftime("%Y-%m-%dT00:00Z", time.gmtime(time.time() - 86_400))
    query = f"from={at}&to={at.replace('00:00', '01:00')}"
    page = client.get(f"{ADMIN}/requests?{query}").text
    live = client.get(f"{ADMIN}/api/live?page=requests&{query}").get_json()["cards"]

    for name, card in live.items():
        digest = re.search(r'data-hash="(\w+)"', card)
        assert digest is not None
        assert digest[1] in page, name
