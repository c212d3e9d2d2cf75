"""Which time a page shows: names, since the last deploy, from – to; what is not kept is greyed."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone

import pytest

from proletto_otel.web import ranges
from proletto_otel.web.ranges import LastDeploy, choices, chosen
from tests.web.dashboard import ADMIN, shop, traffic

NOW = datetime(2026, 11, 30, 12, tzinfo=timezone.utc).timestamp()
HOUR = 3600.0


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ({}, NOW - HOUR, NOW),
        ({"range": "7d"}, NOW - 7 * 24 * HOUR, NOW),
        ({"range": ""}, NOW - HOUR, NOW),
        ({"from": "2026-11-30T10:00Z", "to": "2026-11-30T11:30Z"}, NOW - 2 * HOUR, NOW - HOUR / 2),
        ({"from": "2026-11-30T10:00"}, NOW - 2 * HOUR, NOW),
        ({"from": "2026-11-30T11:00+01:00", "to": ""}, NOW - 2 * HOUR, NOW),
        ({"from": "2026-11-30T11:00 01:00"}, NOW - 2 * HOUR, NOW),
        ({"from": "2026-11-30T10:00:00.000Z", "range": "7d"}, NOW - 2 * HOUR, NOW),
        ({"from": "2026-11-30 10:00"}, NOW - 2 * HOUR, NOW),
        ({"from": "2026-11-29"}, NOW - 36 * HOUR, NOW),
        ({"from": "2026-11-30T10:00Z", "to": "2027-01-01T00:00Z"}, NOW - 2 * HOUR, NOW),
        ({"from": "2026-11-30T11:59:59Z"}, NOW - 60, NOW),
    ],
)
def test_address_says_which_time(query: dict[str, str], start: float, end: float) -> None:
    """A name, or two times with or without a zone; the future is cut off."""
    found = chosen(query, NOW)

    assert (start, end) == (found.start, found.end)
    assert "" == found.problem
    assert found.is_asked == bool(query)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"range": "3h"}, "range='3h' is not known: it is one of 15m"),
        ({"range": "deploy"}, "No deploy is known"),
        ({"from": "yesterday"}, "from='yesterday' is no time: from=2026-11-30T14:00Z."),
        ({"from": "2026-13-40T99:00Z"}, "is no time"),
        ({"from": "9" * 5000}, "is no time"),
        ({"from": "\0"}, "is no time"),
        ({"from": "0001-01-01T00:00+14:00"}, ""),
        ({"to": "2026-11-30T10:00Z"}, "“from” is missing"),
        ({"from": "2026-11-30T11:00Z", "to": "2026-11-30T10:00Z"}, "must be before"),
        ({"from": "2026-11-30T11:00Z", "to": "2026-11-30T11:00Z"}, "must be before"),
        ({"from": "2026-12-01T00:00Z"}, "not over yet"),
        ({"from": "2020-01-01T00:00Z"}, "Longer than a year"),
    ],
)
def test_what_makes_no_sense_is_said(query: dict[str, str], said: str) -> None:
    """The page shows the last hour and why."""
    found = chosen(query, NOW)

    assert said in found.problem
    assert found.problem
    assert (NOW - HOUR, NOW) == (found.start, found.end)
    assert not found.is_asked


@pytest.mark.parametrize(("age", "start"), [(5 * HOUR, NOW - 5 * HOUR), (2.0, NOW - 60)])
def test_since_the_last_deploy(age: float, start: float) -> None:
    """From the first worker of the version on, at least a minute."""
    found = chosen({"range": "deploy"}, NOW, lambda: LastDeploy(NOW - age, "1.4.2"))

    assert (start, NOW, "since version 1.4.2") == (found.start, found.end, found.words)


def test_ranges_that_show_nothing_more_are_greyed() -> None:
    """A range is greyed where a shorter one reaches back to the oldest value; the default never."""

    def kept(since: float | None, deploy: LastDeploy | None = None) -> list[str]:
        return [c.name for c in choices(NOW, since, deploy) if c.is_kept]

    assert ["15m", "1h"] == kept(NOW - 60)
    assert ["15m", "1h", "6h", "24h"] == kept(NOW - 7 * HOUR)
    assert [*ranges.RANGES, "deploy"] == kept(NOW - 40 * 24 * HOUR, LastDeploy(NOW, "2"))
    assert list(ranges.RANGES) == kept(None)


@pytest.mark.usefixtures("telemetry_capture")
def test_bad_range_is_a_message_on_pages_and_400_as_json() -> None:
    """And what is said of it is text."""
    client = shop().test_client()

    page = client.get(f"{ADMIN}/system?from=<script>")
    assert 200 == page.status_code
    assert "from=&#39;&lt;script&gt;&#39; is no time" in page.text
    answer = client.get(f"{ADMIN}/api/pages/system?range=3h")
    assert 400 == answer.status_code
    assert "range='3h' is not known" in answer.get_json()["error"]


@pytest.mark.usefixtures("telemetry_capture")
def test_links_and_forms_keep_from_and_to() -> None:
    """A chosen time goes along to every page; choosing a range by name takes it away."""
    client = shop().test_client()
    begin = datetime.fromtimestamp(time.time() - 7200, timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
    page = client.get(f"{ADMIN}/requests?from={begin}&text=pay").text

    assert f'href="{ADMIN}/logs?from={begin.replace(":", "%3A")}"' in page
    named = re.search(r'<form class="range".*?</form>', page, re.S)
    assert named is not None
    assert 'name="from"' not in named[0]
    assert '<input type="hidden" name="text" value="pay">' in named[0]
    assert f'name="from" value="{begin[:-1]}"' in page


@pytest.mark.usefixtures("telemetry_capture")
def test_log_ends_where_the_range_ends(tmp_path: object) -> None:
    """Lines after `to` are not shown."""
    app = shop(log_dir=str(tmp_path), log_files=True)
    traffic(app)
    client = app.test_client()

    before = client.get(f"{ADMIN}/api/pages/logs?from=2026-01-01T00:00Z&to=2026-01-02T00:00Z")
    assert [] == before.get_json()["found"]["lines"]
    assert client.get(f"{ADMIN}/api/pages/logs").get_json()["found"]["lines"]
