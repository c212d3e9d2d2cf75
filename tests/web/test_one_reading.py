"""What two pages say of the same thing agrees, and charts stand on the axis of their time."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from markupsafe import Markup

from proletto_otel.alerts.notices import PastNotice
from proletto_otel.monitoring import monitor
from proletto_otel.request.request_points import EndpointPoint, RequestPoint
from proletto_otel.state.readings import Annotation
from proletto_otel.state.worker_lives import ENDED
from proletto_otel.web import figures, render
from proletto_otel.web.charts import draw
from proletto_otel.web.charts.endpoint_bars import endpoint_bars
from proletto_otel.web.charts.series import Mark, Point, Series
from proletto_otel.web.pages import overview
from proletto_otel.web.template_environment import of_alert
from tests.waiting import until
from tests.web.dashboard import ADMIN, shop, traffic

pytestmark = pytest.mark.usefixtures("telemetry_capture")
HOUR = 1_700_000_000.0 // 3600 * 3600
NO_TIMES = {"mean": None, "min": None, "max": None, "p50": None, "p95": None, "p99": None}


def requests(at: float, count: int, errors: int = 0) -> RequestPoint:
    """A minute."""
    return RequestPoint(time=at, seconds=60, count=count, errors=errors, timed=0, **NO_TIMES)


def test_bars_of_an_endpoint_are_where_its_requests_were() -> None:
    """One request at the begin and one at the end of an hour are no line between them."""
    ends = EndpointPoint(
        method="GET", route="/", total=requests(HOUR, 2), step=120.0,
        points=((HOUR, 1, 0), (HOUR + 3480, 1, 1)),
    )  # fmt: skip
    drawn = endpoint_bars(ends, HOUR + 3600)

    assert "at most 1 in 2 min" in drawn
    assert 'class="bar s1" d="M0 32v-32h3V32zM116 32v-32h3V32z"' in drawn
    assert 'class="bar bad" d="M116 32v-32h3V32z"' in drawn


def test_curves_of_the_tiles_are_of_the_hour() -> None:
    """What nobody watched is a gap, not a shorter hour."""
    lately = (requests(HOUR - 120, 60), requests(HOUR, 30, 15))
    trend = overview._trend((requests(HOUR - 5400, 9), requests(HOUR - 3000, 9), *lately), HOUR + 5)
    young = overview._trend(lately, HOUR + 5)

    assert [9.0] + [None] * 47 + [60.0, None, 30.0] == trend["requests"][-51:]
    assert 60 == len(trend["requests"])
    assert [None] * 12 + [60.0, None, 30.0] == young["requests"]
    assert [None] * 12 + [0.0, None, 50.0] == young["errors"]
    assert [None] * 15 == overview._trend((), HOUR)["p95"]


def test_a_short_time_of_a_long_range_is_seen() -> None:
    """Three minutes of a day are a short stroke within the plot, not a line without length."""
    some = [Point(HOUR - 60 * n, 5, 5, 5) for n in (2, 1, 0)]
    drawn = draw.line_chart("CPU", [Series(label="mean", points=some)], HOUR - 86_400, HOUR, top=10)

    assert 'd="M712 80h8"' in drawn


@pytest.mark.parametrize(
    ("cards", "half", "odd", "only"),
    [(1, 0, 0, 1), (2, 2, 0, 0), (3, 0, 1, 0), (4, 4, 0, 0), (5, 2, 1, 0), (6, 0, 0, 0),
     (7, 4, 1, 0), (8, 2, 0, 0)],
)  # fmt: skip
def test_no_hole_in_a_row(cards: int, half: int, odd: int, only: int) -> None:
    """The last cards share what three on a wall, or two on a desk, would leave empty."""
    made = render.Cards()
    shown = [made.card(f"c{n}<", caller=lambda: Markup("x")) for n in range(cards)]
    shown.append(made.card("wide", wide=12, caller=lambda: Markup("x")))
    filled = made.fill_rows("".join(shown))

    classes = re.findall(r'class="card w6 ?([^"]*)"', filled)
    assert half == sum("half" in c for c in classes)
    assert [odd, only] == [sum(word in c for c in classes) for word in ("odd", "only")]
    assert not any(classes[:-4])
    assert filled == "".join(made.html.values())


def test_marks_of_a_chart_are_named() -> None:
    """A deploy and workers that ended: in the legend, not in a tooltip alone."""
    line = Series(label="mean", points=[Point(HOUR + 60, 1, 1, 1)])
    marks = [
        Mark(HOUR + 60, "deploy 2.0"), Mark(HOUR + 70, "worker 7 ended", "restart"),
        Mark(HOUR + 80, "worker 8 ended", "restart"), Mark(HOUR - 99, "deploy 1.0"),
    ]  # fmt: skip
    drawn = draw.line_chart("CPU", [line], HOUR, HOUR + 3600, marks=marks)

    assert '<i class="key mark deploy"></i>deploy 2.0</li>' in drawn
    assert '<i class="key mark restart"></i>worker 8 ended and 1 more</li>' in drawn
    assert "deploy 1.0" not in drawn


def test_health_in_alerts_is_a_word() -> None:
    """Not 0 beside 1.5."""
    shop()
    until(lambda: [a for a in monitor.get_alerts() if a.name == "health:bank"])
    (alert,) = [a for a in monitor.get_alerts() if a.name == "health:bank"]

    words = [of_alert(value, alert) for value in (0.0, 1.0, 2.0, 0.5, 1.5, None)]
    assert ["healthy", "degraded", "unhealthy", "degraded", "unhealthy", "–"] == words


def test_a_time_of_a_breadcrumb_is_one() -> None:
    """In the viewer's zone, with UTC on hover; another text stays as it is."""
    assert 'title="2026-11-30 12:58:31 UTC"' in figures.moment("2026-11-30T12:58:31.533+00:00")
    assert "&lt;b&gt;" == figures.moment("<b>")


def test_workers_that_ended_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """On System with their marks, and for five minutes at the end of each page."""
    app = shop()
    now = time.time()
    gone = [Annotation(time=now - 60, kind=ENDED, version="1.4", pid=4711)]
    monkeypatch.setattr(
        monitor, "annotations", lambda start, end=None, kind="": gone if kind == ENDED else ()
    )
    client = app.test_client()
    page = client.get(f"{ADMIN}/system").text

    assert "1 worker ended in the last hour" in page
    assert "4711" in page
    assert "1 ended in the last 5 min" in client.get(f"{ADMIN}/health").text


def test_notices_say_who_was_told(tmp_path: Path) -> None:
    """The channels of each; what an earlier release stored has none."""
    app = shop(log_dir=str(tmp_path))
    made = {
        "event": "firing", "severity": "critical", "alert": "HighErrorRatio", "name": "error_rate",
        "summary": "too many", "value": 9.0, "unit": "%", "limit": 5.0, "since": 1.0, "at": 2.0,
        "host": "h", "service": "s", "environment": "e",
    }  # fmt: skip
    notice = PastNotice(**made, channels=("slack", "email"))  # type: ignore[arg-type]
    store = monitor.live().alert_store  # type: ignore[union-attr]
    with store._store.transaction() as db:
        store.post(db, notice, ["slack", "email"])
        db.execute(
            "INSERT INTO alert_events (at, name, body) SELECT at, name,"
            " json_remove(body, '$.channels') FROM alert_events"
        )
    old, new = monitor.get_notices()

    assert ((), ("slack", "email")) == (old.channels, new.channels)
    assert "through slack, email" in app.test_client().get(f"{ADMIN}/alerts").text


def test_charts_of_the_overview_follow_the_range() -> None:
    """Whoever chooses a day sees a day."""
    app = shop()
    traffic(app)
    client = app.test_client()
    day = client.get(f"{ADMIN}?range=24h").text
    hour = client.get(ADMIN).text

    def spans(html: str) -> set[int]:
        return {int(b) - int(a) for a, b in re.findall(r"from&#34;:(\d+),&#34;to&#34;:(\d+)", html)}

    assert {86_400} == spans(day)
    assert {3600} == spans(hour)


def test_a_path_that_does_not_exist_has_the_way_back() -> None:
    """For who is let in; programs get the plain 404."""
    client = shop().test_client()
    page = client.get(f"{ADMIN}/nothing", headers={"Accept": "text/html"})

    assert (404, True) == (page.status_code, 'class="rail"' in page.text)
    assert "rail" not in client.get(f"{ADMIN}/nothing").text
