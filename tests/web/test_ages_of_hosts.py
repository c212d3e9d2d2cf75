"""What pages show of all hosts carries its age, however Prometheus and Loki come by it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from flask import Flask
from markupsafe import escape

from proletto_otel.monitoring import monitor
from tests.web.dashboard import ADMIN, shop
from tests.web.test_all_hosts import Answer, says, server

pytestmark = pytest.mark.usefixtures("telemetry_capture")
ENDPOINT = "endpoint?route=/orders&method=GET&hosts=all"


def prometheus(newest: Mapping[str, float]) -> Answer:
    """It heard of each host so many seconds ago, and has a worker of each."""

    def answer(peer: socket.socket, question: bytes) -> None:
        said: list[dict[str, Any]] = []
        if b"/query?" in question:
            now = time.time()
            for host, ago in newest.items():
                labels = {"host_name": host}
                said.append({"metric": {**labels, "kind": "newest"}, "value": [now, now - ago]})
                worker = {**labels, "process_pid": "7"}
                said.append({"metric": {**worker, "kind": "at"}, "value": [now, now - ago]})
                said.append({"metric": {**worker, "kind": "memory"}, "value": [now, "5e7"]})
        elif b"system_cpu" in question:
            for host, percent in zip(newest, ("90", "20"), strict=False):
                kind = {"kind": "cpu_percent", "host_name": host}
                said.append({"metric": kind, "values": [[time.time() - 60, percent]]})
        says(json.dumps({"data": {"result": said}}).encode())(peer, question)

    return answer


def asked(app: Flask, path: str) -> tuple[str, Any]:
    """A page and its JSON."""
    client = app.test_client()
    html = client.get(f"{ADMIN}/{path.replace('endpoint?', 'requests/endpoint?')}").text
    return html, client.get(f"{ADMIN}/api/pages/{path}").get_json()


@pytest.mark.parametrize("path", ["system?hosts=all", "requests?hosts=all", ENDPOINT])
@pytest.mark.parametrize(("ago", "is_stale"), [(20, False), (50, True)])
def test_newest_sample_has_an_age(path: str, ago: float, is_stale: bool) -> None:
    """Workers export every 15 s: what is older than three of these times is stale."""
    with server(prometheus({"web-1": ago})) as (port, _):
        html, data = asked(shop(prometheus_url=f"http://127.0.0.1:{port}"), path)

    age = data["server"]["age"]
    assert ago <= age["age_s"]
    assert is_stale is age["is_stale"]
    assert "Newest sample <time" in html
    assert ('class="state warning">stale' in html) is is_stale
    assert [] == data["server"]["silent"]


@pytest.mark.parametrize("path", ["system?hosts=all", "requests?hosts=all", ENDPOINT])
def test_silent_hosts_are_named(path: str) -> None:
    """Some hosts are fresh: of the others it is said since when nothing came."""
    hosts = {"web-1": 500, "web-2": 1, "<b>": 60}
    with server(prometheus(hosts)) as (port, _):
        html, data = asked(shop(prometheus_url=f"http://127.0.0.1:{port}"), path)

    assert data["server"]["age"]["age_s"] < 60  # of the one that is fresh
    assert ["<b>", "web-1"] == [silent["host"] for silent in data["server"]["silent"]]
    assert f'2 hosts are silent: <span class="id">{escape("<b>")}</span>' in html
    if path.startswith("system"):
        assert {"cpu_percent": "web-2"} == data["highest"]  # web-1 had more when it was heard of
        assert not data["ages"]["cpu_percent"]["is_stale"]
        stale = {worker["host"]: worker["age"]["is_stale"] for worker in data["workers"]}
        assert {"<b>": True, "web-1": True, "web-2": False} == stale
        assert 2 == html.count("stale</span> values from <time") - len(data["server"]["silent"])


def test_value_of_hosts_that_are_all_silent_is_stale() -> None:
    """The newest values are shown, and how old they are."""
    with server(prometheus({"web-1": 500, "web-2": 90})) as (port, _):
        html, data = asked(shop(prometheus_url=f"http://127.0.0.1:{port}"), "system?hosts=all")

    assert data["server"]["age"]["is_stale"]
    assert ([], "web-1") == (data["server"]["silent"], data["highest"]["cpu_percent"])
    assert data["ages"]["cpu_percent"]["is_stale"]
    now = html.partition('class="now">')[2].partition("</p>")[0]
    assert " on web-1, <time" in now
    assert 'class="state warning">stale' in now


def test_no_sample_is_said() -> None:
    """Nothing came for hours: the page does not look as if all were well."""
    with server(says(b'{"data":{"result":[]}}')) as (port, _):
        app = shop(prometheus_url=f"http://127.0.0.1:{port}")
        for path in ("system?hosts=all", "requests?hosts=all", ENDPOINT):
            html, data = asked(app, path)
            assert None is data["server"]["age"]
            assert "There is no sample of the six hours before." in html
            assert 'class="state warning">stale' in html


def test_what_was_fresh_then_is_not_stale() -> None:
    """A time that is over: the sample belongs to it, however long ago it was."""
    with server(prometheus({"web-1": 7200})) as (port, _):
        app = shop(prometheus_url=f"http://127.0.0.1:{port}")
        end = int(time.time()) - 7190
        over = f"system?hosts=all&from={iso(end - 600)}&to={iso(end)}"
        _, data = asked(app, over)

    assert 7200 <= data["server"]["age"]["age_s"]
    assert not data["server"]["age"]["is_stale"]


def iso(at: float) -> str:
    """As the address says it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def loki(newest: Sequence[float]) -> Answer:
    """It has lines of so many seconds ago."""

    def answer(peer: socket.socket, question: bytes) -> None:
        values = [] if b"count_over_time" in question else newest
        streams = [
            {"stream": {"severity_text": "INFO"},
             "values": [[str(int((time.time() - ago) * 1e9)), "hello"]]}
            for ago in values
        ]  # fmt: skip
        says(json.dumps({"data": {"result": streams}}).encode())(peer, question)

    return answer


@pytest.mark.parametrize(
    ("written", "newest", "said"),
    [
        ((), (700,), "Newest line <time"),
        ((100,), (10,), "Newest line <time"),
        ((100,), (700,), "This host wrote newer lines that Loki does not have."),
        ((100,), (), "This host wrote newer lines that Loki does not have."),
        ((1,), (700,), "Newest line <time"),  # it may be on its way
        ((), (), "There is no line of the last 24 hours."),
    ],
)
def test_log_is_stale_when_it_lacks_lines(
    written: Sequence[float], newest: Sequence[float], said: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any,
) -> None:  # fmt: skip
    """A service that says nothing is not stale: this host's own file knows what it said."""
    file = tmp_path / "proletto_structured.json"
    file.write_text("".join(line(time.time() - ago) for ago in written))
    with server(loki(newest)) as (port, _):
        app = shop(loki_url=f"http://127.0.0.1:{port}")
        monkeypatch.setattr(monitor.logs, "path", file)
        monkeypatch.setattr(monitor.logs, "problem", "")
        html, data = asked(app, "logs?hosts=all")

    assert said in html
    lacks = "wrote newer" in said
    assert ('class="state warning">stale' in html) is (lacks or not newest)
    assert (data["server"]["age"] or {"is_stale": lacks})["is_stale"] is lacks


def line(at: float) -> str:
    """A line of the structured log."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(at))
    return (
        json.dumps({"timestamp": stamp, "level": "INFO", "message": "m"}, separators=(",", ":"))
        + "\n"
    )
