"""The page of one endpoint: exact statuses, and the requests behind a cell of its heat map."""

from __future__ import annotations

import re
import time
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient

from proletto_otel import setup_telemetry
from proletto_otel.monitoring import monitor
from proletto_otel.request.readings import StatusCount
from proletto_otel.web.openapi import SCHEMAS
from tests.waiting import until
from tests.web.dashboard import ADMIN
from tests.web.test_browser import Visit, chromium, sync_api
from tests.web.test_closed import served

__all__ = ["chromium"]
pytestmark = pytest.mark.usefixtures("telemetry_capture")
PAGE = f"{ADMIN}/requests/endpoint?method=GET&route=/answer/<int:code>"
TWIN = f"{ADMIN}/api/pages/endpoint?method=GET&route=/answer/<int:code>"
ANSWERED = {200: 6, 201: 1, 404: 2, 418: 1, 503: 2}


def answering() -> FlaskClient:
    """A client of `shop`."""
    return shop().test_client()


def shop() -> Flask:
    """An application that answered every status of `ANSWERED`; all of it is stored."""
    app = Flask("shop")
    telemetry = setup_telemetry(app, environment="development", log_console=False)

    @app.get("/answer/<int:code>")
    def answer(code: int) -> tuple[str, int]:
        if code == 404:
            abort(404)
        if code == 201:
            time.sleep(0.15)
        return "", code

    client = app.test_client()
    for code, n in ANSWERED.items():
        for number in range(n):
            client.get(f"/answer/{code}", headers={"X-Request-ID": f"answer-{code}-{number}"})

    def is_stored() -> bool:
        telemetry.components.recording.past.record()
        total = client.get(TWIN).get_json().get("total") or {}
        return bool(total.get("count") == sum(ANSWERED.values()))

    until(is_stored)
    return app


def rows(page: str) -> list[list[str]]:
    """The table of statuses as texts."""
    card = page[page.index('id="statuses"') :]
    found = re.findall(r"<tr>(.*?)</tr>", card[: card.index("</table>")], re.DOTALL)
    return [
        [" ".join(re.sub(r"<.*?>", "", cell).split()) for cell in re.split(r"</t[hd]>", row)[:-1]]
        for row in found[1:]
    ]


def test_statuses_are_exact_codes_with_their_shares() -> None:
    """By name in the page, and in its JSON as the OpenAPI document describes them."""
    client = answering()
    page, twin = client.get(PAGE).text, client.get(TWIN).get_json()

    assert [
        ["200 OK", "6", "50 %"], ["201 Created", "1", "8.33 %"], ["404 Not Found", "2", "16.7 %"],
        ["418 I&#39;m a Teapot", "1", "8.33 %"], ["503 Service Unavailable", "2", "16.7 %"],
    ] == rows(page)  # fmt: skip
    assert ANSWERED == {int(s["status"]): s["count"] for s in twin["statuses"]}
    assert "an earlier release" not in page
    assert twin["total"]["by_status"] == {"2xx": 7, "4xx": 3, "5xx": 2}


def test_openapi_document_describes_the_statuses() -> None:
    """Every field that is sent, with its type, and no other."""
    client = answering()
    document = client.get(f"{ADMIN}/api/openapi.json").get_json()
    answer = document["paths"]["/api/pages/endpoint"]["get"]["responses"]["200"]
    schema = answer["content"]["application/json"]["schema"]
    described = schema["properties"]["statuses"]["items"]
    kinds: dict[str, Any] = {
        "string": str, "integer": int, "number": (int, float), "boolean": bool,
    }  # fmt: skip

    assert SCHEMAS["page_endpoint"] == schema
    for sent in client.get(TWIN).get_json()["statuses"]:
        assert set(described["required"]) == set(described["properties"]) == set(sent)
        for name, value in sent.items():
            assert isinstance(value, kinds[described["properties"][name]["type"]]), name


def test_codes_that_are_not_stored_are_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier release stored is a class, in words; no code is made up."""
    client = answering()
    found = (
        StatusCount(status="other", count=1, share=0.001),
        StatusCount(status="200", count=500, share=0.5),
        StatusCount(status="2xx", count=1400, share=0.4, is_code_stored=False),
        StatusCount(status="4xx", count=9, share=0.009),
        StatusCount(status="599", count=1, share=0.001),
    )
    monkeypatch.setattr(monitor, "request_statuses", lambda *asked: found)
    page = client.get(PAGE).text

    names = [row[0] for row in rows(page)]
    assert [
        "none the server sent no status", "200 OK", "2xx code not stored", "4xx further codes",
        "599",
    ] == names  # fmt: skip
    assert "Of 1,400 requests only the class of the status is known" in page


# --- the requests behind a cell ------------------------------------------------------------------
SLOW = "answer-201-0"


def cell_of(client: FlaskClient, request_id: str = SLOW) -> str:
    """The parameters of the cell in which a request is, as the form sends them."""
    cells = client.get(TWIN).get_json()["cells"]
    example = monitor.stored_request(request_id)
    assert example is not None
    ((least, _),) = [
        band for band in cells["bands"]
        if band[0] <= example.seconds < (band[1] or float("inf"))
    ]  # fmt: skip
    at = max(at for at in cells["times"] if at <= example.time + 3)
    return f"&at={at}&during={cells['during']}&least={least}"


def shown(page: str) -> set[str]:
    """IDs of the requests that the card of the cell lists."""
    card = page[page.index('id="cell"') :]
    return set(re.findall(r"/request/(answer-[0-9-]+)", card[: card.index("</section>")]))


def test_a_cell_lists_its_requests() -> None:
    """With the number of all of them, the way to the log, and the way back."""
    client = answering()
    where = cell_of(client)
    page, cell = client.get(PAGE + where).text, client.get(TWIN + where).get_json()["cell"]

    assert {SLOW} == shown(page)
    assert (1, [SLOW]) == (cell["count"], [r["request_id"] for r in cell["requests"]])
    assert cell["least"] <= 0.15 < cell["most"]
    assert "Requests that took 128 ms to 256 ms" in page
    assert f'href="{ADMIN}/requests/endpoint?method=GET&amp;route=' in page
    assert 1 == page.count('class="cursor" d="M')


def test_the_log_of_a_cell_is_narrowed_by_route_time_and_duration() -> None:
    """Its link finds the lines of the cell's requests, and of no quicker or slower ones."""
    client = answering()
    page = client.get(PAGE + cell_of(client)).text
    (link,) = re.findall(r'href="([^"]*)">Log lines of these requests</a>', page)
    address = unescape(link)
    asked = {name: value[0] for name, value in parse_qs(urlsplit(address).query).items()}

    assert {"text", "from", "to", "duration_min", "duration_max"} == set(asked)
    assert "/answer/<int:code>" == asked["text"]
    assert 120 < float(asked["duration_min"]) < 150 < float(asked["duration_max"]) < 270
    twin = client.get(address.replace("/logs?", "/api/pages/logs?")).get_json()
    assert [SLOW] == [line["record"]["request_id"] for line in twin["found"]["lines"]]
    without = re.sub(r"&duration_m..=[0-9.]+", "", address)
    every = client.get(without.replace("/logs?", "/api/pages/logs?limit=200&")).get_json()
    assert len(every["found"]["lines"]) >= sum(ANSWERED.values())
    html = client.get(address).text
    assert f'name="duration_min" value="{asked["duration_min"]}"' in html
    assert SLOW in html


def test_the_form_has_the_cells_that_are_not_empty() -> None:
    """Without script and without a pointer: two fields and a button, whatever the map has."""
    client = answering()
    page, cells = client.get(PAGE).text, client.get(TWIN).get_json()["cells"]
    card = page[page.index('id="cell"') :]
    card = card[: card.index("</section>")]

    assert len(cells["times"]) == card.count("data-time=")
    assert len(cells["bands"]) == card.count('<option value="0.') >= 2
    assert 2 == card.count("<select")
    assert 0 == card.count("<a ")
    for name in ("method", "route", "during"):
        assert f'type="hidden" name="{name}"' in card


@pytest.mark.parametrize(
    "wrong",
    ["&at=x&during=60&least=0", "&at=nan&during=60&least=0", "&at=1&during=0&least=0",
     "&at=1&during=1e99&least=0", "&at=-5&during=60&least=0", "&during=60",
     "&at=inf&during=60&least=1"],
)  # fmt: skip
def test_an_address_that_is_no_cell_shows_the_page(wrong: str) -> None:
    """As if nothing was asked for."""
    client = answering()

    assert 200 == client.get(PAGE + wrong).status_code
    assert client.get(TWIN + wrong).get_json()["cell"] is None


def test_a_cell_that_the_map_does_not_show_any_more() -> None:
    """A link of yesterday: the requests that are stored, without a number."""
    client = answering()
    cell = client.get(f"{TWIN}&at=1700000000&during=60&least=0.064").get_json()["cell"]
    page = client.get(f"{PAGE}&at=1700000000&during=60&least=0.064").text

    assert (None, []) == (cell["count"], cell["requests"])
    assert "None of them is stored with its ID" in page


def test_failed_requests_are_left_out_with_their_durations() -> None:
    """What the map does not count is not listed."""
    client = answering()
    where = cell_of(client, "answer-503-1")
    every, good = (client.get(f"{PAGE}{where}{more}").text for more in ("", "&without=failed"))

    assert "answer-503-1" in shown(every)
    assert not any("503" in found for found in shown(good))


@pytest.mark.skipif(sync_api is None, reason="apt-get install chromium")
def test_a_click_leads_to_the_requests_of_a_cell(chromium: Any) -> None:
    """A pointer finds the cell, says what it is, and goes there; the keys take the form."""
    app = shop()
    where = parse_qs(cell_of(app.test_client()))
    with served(app) as port:
        visit = Visit(chromium, port, viewport={"width": 1440, "height": 900})
        page = visit.page
        visit.open(PAGE.removeprefix(ADMIN))
        stops = page.locator("#heatmap a, #heatmap button, #heatmap [tabindex]").count()
        assert stops <= 2
        x, y = page.evaluate(
            """([at, least]) => {
              const figure = document.querySelector("#heatmap figure");
              const [from, to, seconds, edges] = JSON.parse(figure.dataset.cells);
              const box = figure.querySelector(".plot svg").getBoundingClientRect();
              const row = edges.indexOf(least) + 1, middle = Math.min(at + seconds, to) + at;
              return [box.left + (box.width * (middle / 2 - from)) / (to - from),
                      box.top + box.height * (1 - (row + 0.5) / (edges.length + 1))];
            }""",
            [float(where["at"][0]), float(where["least"][0])],
        )
        page.mouse.move(x, y)
        assert "128 ms to 256 ms: 1" in page.inner_text("#heatmap .readout")
        page.mouse.click(x, y)
        page.wait_for_url("**#cell")
        query = parse_qs(urlsplit(page.url).query)
        assert [float(where[n][0]) for n in ("at", "during", "least")] == [
            float(query[n][0]) for n in ("at", "during", "least")
        ]
        assert SLOW in page.inner_text("#cell")
        page.click("#cell a:has-text('Close')")
        assert SLOW not in page.inner_text("#cell")
        page.focus("#cell select[name=at]")
        page.select_option("#cell select[name=least]", where["least"][0])
        page.select_option("#cell select[name=at]", where["at"][0])
        page.press("#cell button", "Enter")
        page.wait_for_selector(f"#cell a:has-text('{SLOW}')")
        assert [] == visit.troubles
        visit.context.close()
