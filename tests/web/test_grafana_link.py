"""Links into Grafana: only with its address, to dashboards that exist, for what the page shows."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from proletto_otel.core import config, grafana
from proletto_otel.errors.groups import ErrorGroups
from proletto_otel.monitoring import monitor
from proletto_otel.web.grafana_link import OF_PAGE
from proletto_otel.web.pages.navigation import ADMIN_PAGES
from tests.web.dashboard import ADMIN, shop, traffic

pytestmark = pytest.mark.usefixtures("telemetry_capture")
ROOT = Path(__file__).resolve().parents[2]
BASE = "https://grafana.example.com/g"


def provisioned() -> dict[str, dict[str, Any]]:
    """Each dashboard by its UID."""
    found = (json.loads(p.read_text()) for p in ROOT.glob("grafana/dashboards/*.json"))
    return {board["uid"]: board for board in found}


def boards() -> dict[str, set[str]]:
    """The variables of each by its UID."""
    return {
        uid: {v["name"] for v in board["templating"]["list"]}
        for uid, board in provisioned().items()
    }


def link_in(html: str) -> str:
    """The address of the page's link into Grafana; empty without one."""
    found = re.search(r'<p class="elsewhere"><a href="([^"]*)" rel="noreferrer">', html)
    return unescape(found[1]) if found else ""


def test_every_page_has_its_dashboard(tmp_path: Path) -> None:
    """With variables that the dashboard has, this service and environment, and the page's range."""
    app = shop(grafana_url=BASE, service_name="shop", log_dir=str(tmp_path), log_files=True)
    request_id = traffic(app)
    client, errors = app.test_client(), monitor.errors
    assert isinstance(errors, ErrorGroups)
    errors.write_down()
    (occurrence,) = errors.occurrences_of_request(request_id)
    known = boards()
    pages = {page.name: page.path for page in ADMIN_PAGES}
    pages["error"] = f"/errors/{occurrence.group}"
    pages["request"] = f"/request/{request_id}"
    pages["endpoint"] += "?route=/pay/<int:months>"
    pages["logs"] += f"?identifier={request_id}&text=a%26b"
    for name, path in pages.items():
        parts = urlsplit(link_in(client.get(f"{ADMIN}{path}").text))
        query = parse_qs(parts.query)
        uid = parts.path.removeprefix("/g/d/")
        assert (f"proletto-{OF_PAGE[name]}", "grafana.example.com") == (uid, parts.netloc)
        assert {v[4:] for v in query if v.startswith("var-")} <= known[uid], name
        assert (["shop"], ["development"]) == (query["var-service"], query["var-environment"])
        if name in ("error", "request", "logs"):
            assert [request_id] == query["var-request_id"], name
        if name in ("error", "request"):
            assert int(query["from"][0]) < occurrence.at * 1000 < int(query["to"][0])
        elif name != "logs":
            assert (["now-3600s"], ["now"]) == (query["from"], query["to"])
    chosen = "?from=2020-01-01T00:00Z&to=2020-01-01T01:00Z"
    query = parse_qs(urlsplit(link_in(client.get(f"{ADMIN}/system{chosen}").text)).query)
    assert (["1577836800000"], ["1577840400000"]) == (query["from"], query["to"])
    assert grafana.BOARDS == {b: provisioned()[f"proletto-{b}"]["title"] for b in grafana.BOARDS}


def test_no_address_no_links() -> None:
    """Unset, no page leads anywhere."""
    app = shop()
    request_id = traffic(app)
    client = app.test_client()
    for path in ("", "/alerts", f"/request/{request_id}"):
        html = client.get(f"{ADMIN}{path}").text
        assert "rafana" not in html.replace("PROLETTO_GRAFANA_URL", "")


def test_trace_link_follows() -> None:
    """Traces are opened in Grafana unless another place is named; its own quoting is valid."""
    both = {"grafana_url": BASE, "trace_url": "https://t.example/{trace_id}"}
    ours, _ = config.load({"grafana_url": f"{BASE}/"}, {}, {})
    theirs, _ = config.load(both, {}, {})
    none, _ = config.load({}, {}, {})

    assert ("https://t.example/{trace_id}", "") == (
        grafana.trace_link(theirs),
        grafana.trace_link(none),
    )
    parts = urlsplit(
        grafana.trace_link(ours).replace("{trace_id}", "4bf92f3577b34da6a3ce929d0e0e4736")
    )
    assert f"{BASE}/explore" == f"{parts.scheme}://{parts.netloc}{parts.path}"
    pane = json.loads(parse_qs(parts.query)["panes"][0])["a"]
    (query,) = pane["queries"]
    assert ("4bf92f3577b34da6a3ce929d0e0e4736", "tempo") == (query["query"], pane["datasource"])


def test_request_page_opens_the_trace() -> None:
    """Where the request ID is a trace ID, or the trace is known."""
    app = shop(grafana_url=BASE)
    request_id = traffic(app)
    html = unescape(app.test_client().get(f"{ADMIN}/request/{request_id}").text)

    assert f"{BASE}/explore?schemaVersion=1&panes=" in html
