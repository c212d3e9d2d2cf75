"""Pages about all hosts while Prometheus and Loki are away, slow, strange or closed to us."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from proletto_otel.core.config import Config, load
from proletto_otel.core.parsing import Secret
from proletto_otel.export.endpoint import query_endpoint
from proletto_otel.logs.search.query import LogQuery
from proletto_otel.web.all_hosts import backend as backends
from proletto_otel.web.all_hosts import loki, promql
from proletto_otel.web.all_hosts.backend import Backend, NoAnswer
from tests.stack.servers import wait_for
from tests.waiting import PATIENCE_S, slowness
from tests.web.dashboard import ADMIN, HOSTILE, shop, traffic

Answer = Callable[[socket.socket, bytes], None]
NOTHING = b'{"status":"success","data":{"result":[]}}'
PAGES = ("system", "requests", "logs")


def says(body: bytes, status: str = "200 OK") -> Answer:
    """A server that always answers so."""

    def answer(peer: socket.socket, question: bytes) -> None:
        peer.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status.encode(), len(body)))
        peer.sendall(body)

    return answer


def hangs(peer: socket.socket, question: bytes) -> None:
    """A server that takes the question and says nothing until it is asked to end."""
    peer.settimeout(PATIENCE_S)
    peer.recv(1)


def drips(peer: socket.socket, question: bytes) -> None:
    """A server that sends a byte from time to time: no single wait is long."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b" " * 9000:
        peer.sendall(bytes([byte]))
        time.sleep(0.05)


@contextmanager
def server(answer: Answer) -> Iterator[tuple[int, list[bytes]]]:
    """Its port, and the questions it got."""
    listening = socket.create_server(("127.0.0.1", 0))
    questions: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        with closing(peer):
            try:
                while question := peer.recv(65536):
                    questions.append(question)
                    answer(peer, question)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1], questions
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def asking(port: int, clock: Callable[[], float] = time.monotonic, **headers: str) -> Backend:
    """Who asks the server on *port*."""
    secrets = {name: Secret(value) for name, value in headers.items()}
    url = Secret(f"http://anna:pass%20word@127.0.0.1:{port}/base/")
    return Backend("Prometheus", "PROLETTO_PROMETHEUS", query_endpoint(url, secrets, {}), clock)


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def settings(**environ: str) -> Config:
    """The configuration of these variables."""
    return load({}, {}, environ)[0]


@pytest.fixture
def soon_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who needs more than a second on a quiet machine is waited for no longer, as in production."""
    monkeypatch.setattr(backends, "DEADLINE_S", 1.0 * slowness())


@pytest.mark.usefixtures("telemetry_capture", "soon_over")
@pytest.mark.parametrize("answer", [hangs, drips])
def test_pages_do_not_wait_for_a_server_that_hangs(answer: Answer) -> None:
    """The reason is named."""
    says_why(answer, "timeout")


@pytest.mark.usefixtures("telemetry_capture")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (says(b"", "500 Internal Server Error"), "it answers 500"),
        (says(b"<html>no</html>"), "not understood; is it the right address? "),
        (says(b'{"status":"success","data":{"result":[7]}}'), "not understood"),
        (says(b'{"status":"success","data":{"result":null}}'), "not understood"),
        (says(b"[]"), "not understood"),
        (says(b"", "401 Unauthorized"), "_HEADERS"),
        (says(b'{"error":"parse <b>"}', "400 Bad Request"), "parse &lt;b&gt;"),
        (says(b"SSH-2.0", "999 x"), "it answers 999"),
    ],
)
def test_pages_say_why_there_is_nothing(answer: Answer, said: str) -> None:
    """What is wrong is found in the answer."""
    says_why(answer, said)


def says_why(answer: Answer, said: str) -> None:
    """Each answers 200 soon, names the reason and no password; this host is one click away."""
    with server(answer) as (port, questions):
        url = f"http://anna:hunter2@127.0.0.1:{port}"
        app = shop(prometheus_url=url, loki_url=url)
        traffic(app)
        for name in PAGES:
            page = app.test_client().get(f"{ADMIN}/{name}?hosts=all&range=6h")
            assert 200 == page.status_code
            assert said in page.text
            assert "hunter2" not in page.text
            assert f'href="{ADMIN}/{name}?range=6h">Show this host</a>' in page.text
        assert questions


@pytest.mark.usefixtures("telemetry_capture")
def test_refused_connection_is_named(telemetry_capture: Any) -> None:
    """No server: the page says so, and the page of this host has no such sentence."""
    app = shop(prometheus_url=f"http://127.0.0.1:{closed_port()}")
    client = app.test_client()

    assert "connection refused" in client.get(f"{ADMIN}/system?hosts=all").text
    assert "connection refused" not in client.get(f"{ADMIN}/system").text


@pytest.mark.usefixtures("telemetry_capture")
def test_switch_is_there_where_a_server_is() -> None:
    """Without settings there is no switch; an address that asks says which setting is missing."""
    with server(says(NOTHING)) as (port, _):
        app = shop(loki_url=f"http://127.0.0.1:{port}")
        client = app.test_client()

        assert "All hosts" in client.get(f"{ADMIN}/logs").text
        assert "All hosts" not in client.get(f"{ADMIN}/health").text
        assert "All hosts</a>" not in client.get(f"{ADMIN}/system").text
        page = client.get(f"{ADMIN}/system?hosts=all").text
        assert "PROLETTO_PROMETHEUS_URL is not set" in page
        assert "No line matches" in client.get(f"{ADMIN}/logs?hosts=all").text
        assert 400 == client.get(f"{ADMIN}/logs/download?hosts=all&level=LOUD").status_code


@pytest.mark.usefixtures("telemetry_capture")
def test_links_and_forms_keep_all_hosts() -> None:
    """The choice goes along, as the range does."""
    with server(says(NOTHING)) as (port, _):
        app = shop(prometheus_url=f"http://127.0.0.1:{port}")
        page = app.test_client().get(f"{ADMIN}/requests?hosts=all&range=6h").text

    assert f'href="{ADMIN}/system?range=6h&amp;hosts=all"' in page
    assert page.count('<input type="hidden" name="hosts" value="all">') >= 2


def test_dead_server_is_asked_once_a_pause() -> None:
    """The breaker: whoever comes meanwhile gets the reason at once."""
    now = [100.0]
    with server(says(b"", "503 no")) as (port, questions):
        asked = asking(port, lambda: now[0])
        for _ in range(5):
            with pytest.raises(NoAnswer, match="503"):
                asked.ask(("/q",), list)
        with pytest.raises(NoAnswer, match=r"503\. It is asked again in 1 s\."):
            asked.ask(("/another",), list)
        assert 1 == len(questions)
        now[0] += 2
        with pytest.raises(NoAnswer, match="503"):
            asked.ask(("/q",), list)
        assert 2 == len(questions)


def test_answer_is_used_for_some_seconds() -> None:
    """Ten tabs cost the server one question; the cache does not grow beyond its limit."""
    now = [100.0]
    with server(says(NOTHING)) as (port, questions):
        asked = asking(port, lambda: now[0])
        for _ in range(5):
            assert [[]] == asked.ask(("/q",), list)
        assert 1 == len(questions)
        now[0] += backends.FRESH_S
        asked.ask(("/q",), list)
        assert 2 == len(questions)
        for number in range(2 * backends.MAX_CACHED):
            asked.ask((f"/{number}",), list)
        assert len(asked._cache) <= backends.MAX_CACHED


@pytest.mark.usefixtures("soon_over")
def test_waiting_is_bounded_whatever_the_server_does() -> None:
    """A thread asks, so that nobody waits for it beyond the deadline; it is one thread."""
    with server(drips) as (port, _):
        asked = asking(port)
        before = threading.active_count()
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(NoAnswer):
                asked.ask(("/q", "/r", "/s"), list)
            assert time.monotonic() - began < 10 * slowness()  # the answer would take eight minutes
        assert threading.active_count() <= before + 3


def counts_late(peer: socket.socket, question: bytes) -> None:
    """A Loki that finds lines at once and counts them in half a minute."""
    if b"count_over_time" in question:
        return hangs(peer, question)
    return says(NOTHING)(peer, question)


@pytest.mark.usefixtures("telemetry_capture", "soon_over")
def test_log_goes_without_counts_that_come_late() -> None:
    """Lines are shown, the page says why bars are not; the server gets the next question."""
    with server(counts_late) as (port, questions):
        client = shop(loki_url=f"http://127.0.0.1:{port}").test_client()
        page = client.get(f"{ADMIN}/logs?hosts=all").text

        assert "Lines by level are not counted: Loki at" in page
        assert "No line matches" in page
        assert "Show this host</a>" not in page
        again = f"{ADMIN}/logs?hosts=all&level=ERROR"
        # the thread that waits for the late answer ends a little after the page
        wait_for("the next question", lambda: "No line matches" in client.get(again).text)
        assert any(b"severity_number" in question for question in questions)


@pytest.mark.usefixtures("telemetry_capture")
def test_endpoint_says_why_there_is_nothing() -> None:
    """As the other pages; its requests of this host are one click away."""
    with server(says(b"", "500 no")) as (port, _):
        app = shop(prometheus_url=f"http://127.0.0.1:{port}")
        traffic(app)
        asked = "method=GET&route=/pay/%3Cint:months%3E"
        client = app.test_client()

        page = client.get(f"{ADMIN}/requests/endpoint?{asked}&hosts=all").text
        assert "it answers 500" in page
        assert "Latest failures" not in page
        mine = client.get(f"{ADMIN}/requests/endpoint?{asked}").text
        assert "ZeroDivisionError" in mine
        assert "Latest failures in the last hour" in mine


def test_user_and_headers_are_sent() -> None:
    """Basic from the URL, or what the headers say; the path of the URL goes before the API's."""
    with server(says(NOTHING)) as (port, questions):
        asking(port).ask(("/api/v1/query?query=1",), list)
        asking(port, Authorization="Bearer abc").ask(("/q",), list)

    assert questions[0].startswith(b"GET /base/api/v1/query?query=1 HTTP/1.1\r\n")
    assert b"authorization: Basic YW5uYTpwYXNzIHdvcmQ=\r\n" in questions[0]
    assert b"authorization: Bearer abc\r\n" in questions[1]
    assert b"Basic" not in questions[1]


def test_too_long_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read beyond the limit."""
    monkeypatch.setattr(backends, "MAX_ANSWER_BYTES", 1000)
    with server(says(b" " * 5000)) as (port, _), pytest.raises(NoAnswer, match="shorter time"):
        asking(port).ask(("/q",), list)


def test_settings_are_validated_and_secret() -> None:
    """A URL that is none is a warning that does not repeat it, and nothing is asked."""
    config, warnings = load(
        {}, {}, {"PROLETTO_LOKI_URL": "loki:3100", "PROLETTO_PROMETHEUS_URL": "http://a:hunter2@p"}
    )

    assert [
        "PROLETTO_LOKI_URL='***': expected a URL that begins with http:// or https://, with a"
        " user and a password if need be; using Secret('')"
    ] == warnings
    assert not config.loki_url
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize("value", [HOSTILE, 'a"} or vector(1) #', "back\\slash", "two\nlines"])
def test_names_cannot_change_a_query(value: str) -> None:
    """A service, a text or an ID is a string of the query, whatever it holds."""
    config = settings(OTEL_SERVICE_NAME=value)
    quoted = promql.quoted(value)
    query = loki.logql(config, LogQuery(identifier=value, user=value), 0)

    assert "\n" not in query
    assert f"request_id={quoted}" in query
    assert f"user_id={quoted}" in query
    assert f"service_name={promql.quoted(config.service_name)}" in promql.workers(config)


@pytest.mark.usefixtures("telemetry_capture")
def test_statuses_of_all_hosts_are_exact_codes() -> None:
    """Of Prometheus' estimates, each rounded; a class is left without a code by none of them."""
    estimates = {"200": 10.4, "201": 0.4, "404": 2.5, "": 1.2, "777": 3.0, "500": math.nan}
    vector = [
        {"metric": {"kind": "count", "http_response_status_code": status}, "value": [0, str(n)]}
        for status, n in estimates.items()
    ]

    def answer(peer: socket.socket, question: bytes) -> None:
        result = vector if b"/query?" in question else []
        says(json.dumps({"data": {"result": result}}).encode())(peer, question)

    with server(answer) as (port, _):
        client = shop(prometheus_url=f"http://127.0.0.1:{port}").test_client()
        asked = "method=GET&route=/orders/<int:n>&hosts=all"
        found = client.get(f"{ADMIN}/api/pages/endpoint?{asked}").get_json()["statuses"]
        page = client.get(f"{ADMIN}/requests/endpoint?{asked}").text

    assert [("other", 4), ("200", 10), ("404", 2)] == [(s["status"], s["count"]) for s in found]
    assert all(s["is_code_stored"] for s in found)
    assert "<small>Not Found</small>" in page
    assert 'id="cell"' not in page
