"""The access log: one line per request, the same facts in every sink."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask
import pytest
import werkzeug.serving

from proletto_otel import setup_telemetry
from proletto_otel.core import context
from proletto_otel.logs.access_log import AccessLog
from proletto_otel.logs.api.loggers import logger
from proletto_otel.logs.format.text import Renderer
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.testing import TelemetryCapture
from tests.logs.conftest import Room, attributes
from tests.logs.test_pipeline import ListSink

Install = Callable[..., Room]
FACTS = {
    "http.request.method": "GET", "http.route": "/orders/<int:id>", "url.path": "/orders/7",
    "http.response.status_code": 200, "duration_ms": 12.346, "http.response.body.size": 512,
    "client.address": "203.0.113.9",
}  # fmt: skip


def access(made: Room) -> AccessLog:
    assert made.logs.access is not None
    return made.logs.access


def served(made: Room, path: str = "/orders/7", status: int = 200, **more: Any) -> None:
    request = SimpleNamespace(
        method="GET", route=more.get("route", "/orders/<int:id>"), path=path, status=status,
        duration_s=0.0123456, response_size=more.get("size", 512), end_ns=time.time_ns(),
        client=more.get("client", "203.0.113.9"), thread_id=threading.get_ident(),
    )  # fmt: skip
    request_context = more.get("context") or context.RequestContext("")
    for name in ("request_id", "trace_id", "span_id", "sampled", "user_id"):
        setattr(request, name, getattr(request_context, name))
    request.raw_ids = bytes.fromhex(request_context.trace_id + request_context.span_id)
    access(made).finished(request)


def test_line_of_a_request(room: Install, capsys: pytest.CaptureFixture[str]) -> None:
    """Method, route, path, status, duration, size and client are on the line, with the IDs."""
    made = room()
    request = context.RequestContext("req-1", "a" * 32, "b" * 16)
    request.user_id = "u 7"
    served(made, context=request)

    line = made.lines[0]
    assert ("INFO", "proletto.access", "GET /orders/7 200", "req-1", "a" * 32, "b" * 16) == tuple(
        line[name] for name in ("level", "logger", "message", "request_id", "trace_id", "span_id")
    )
    assert {**FACTS, "user_id": "u 7"} == {
        name: line[name] for name in line if name in FACTS or name == "user_id"
    }
    sent = made.otlp[0]
    found = attributes(sent)
    assert FACTS == {name: found[name] for name in FACTS}
    assert ("GET /orders/7 200", "req-1", "a" * 32) == (
        sent.body.string_value, found["request_id"], sent.trace_id.hex(),
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert printed == made.text()
    assert printed.endswith("proletto.access - INFO - GET /orders/7 200 request_id=req-1\n")


def test_quick_line_is_the_rendered_line(room: Install) -> None:
    """The line made from ready parts has the members the renderer would write."""
    made = room(environment='odd "50%" name')
    sink = ListSink()
    pipeline.add(sink)
    served(made, context=context.RequestContext("req-1", "a" * 32, "b" * 16))
    served(made, '/a"b\\c%s\u2028\n', context=None, client=None, size=None, route=None)

    for record in sink.records:
        assert json.loads(Renderer.json(record)) == json.loads(record.json)
        assert list(json.loads(Renderer.json(record)))[:10] == list(json.loads(record.json))[:10]
    assert 2 == len(made.lines)


def test_facts_are_clean(room: Install) -> None:
    """Secrets and control characters in a path or a client reach no sink."""
    made = room()
    secret = "ghp_" + "a1B2" * 9
    served(made, f"/hook/{secret}/x\n2025 forged", client="1.2.3.4\x1b[2J")

    everything = made.text() + made.text("_structured.json") + repr(made.items)
    assert secret not in everything
    assert "\x1b" not in everything
    assert 1 == len(made.text().splitlines())


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/healthz", "/metrics"])
def test_probes_are_quiet_until_they_fail(room: Install, path: str) -> None:
    """Probes and scrapes leave no line, unless they fail."""
    made = room()
    served(made, path)
    served(made, path, 404)
    assert [] == made.lines
    served(made, path, 503)
    assert [503] == [line["http.response.status_code"] for line in made.lines]


def test_request_logging_can_be_switched_off(room: Install) -> None:
    """`MONITOR_REQUEST_LOGGING=0`: no access log."""
    assert room(request_logging=False).logs.access is None


def test_level_above_info_has_no_access_lines(room: Install) -> None:
    """`LOG_LEVEL=WARNING` silences the access log, as any INFO line."""
    made = room(log_level="WARNING")
    served(made)

    assert [] == made.lines


def test_many_paths_keep_memory_bounded(room: Install) -> None:
    """A scan over random paths fills no table."""
    made = room(log_console=False)
    for n in range(10_000):
        served(made, f"/scan/{n}", 404, route=None)
    for n in range(1_000):
        served(made, f"/odd/{n}", route="/without-a-variable", client=f"c{n}", size=n)

    log = access(made)
    assert 1 == len([kind for kind in log._kinds.values() if kind.lines])
    assert all(len(kind.lines) <= 64 for kind in log._kinds.values())
    assert 11_000 == len(made.lines)


def test_access_lines_are_no_breadcrumbs(room: Install) -> None:
    """The line of the request itself is not part of its own story."""
    made = room(breadcrumbs=5)
    with context.background() as job:
        logger.info("step")
        served(made, context=job)

    assert job.breadcrumbs is not None
    assert ["step"] == [crumb.message for crumb in job.breadcrumbs]


def test_real_exchange(telemetry_capture: TelemetryCapture, tmp_path: Path) -> None:
    """A request through a real server: what the line says is what was sent and answered."""
    app = flask.Flask("shop")

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        telemetry.set_user("ada")
        return "x" * number

    telemetry = setup_telemetry(app, log_dir=str(tmp_path))
    server = werkzeug.serving.make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    with socket.create_connection(("127.0.0.1", server.server_port)) as client:
        client.sendall(b"GET /orders/7?page=2 HTTP/1.0\r\nX-Request-ID: rid-7\r\n\r\n")
        answer = client.makefile("rb").read()
    thread.join()
    server.server_close()

    assert answer.endswith(b"xxxxxxx")
    (line,) = [line for line in telemetry_capture.logs if line["body"] == "GET /orders/7 200"]
    found = line["attributes"]
    assert ("GET", "/orders/<int:number>", "/orders/7", 200, 7, "127.0.0.1", "ada", "rid-7") == (
        found["http.request.method"], found["http.route"], found["url.path"],
        found["http.response.status_code"], found["http.response.body.size"],
        found["client.address"], found["user_id"], found["request_id"],
    )  # fmt: skip
    assert 0 < found["duration_ms"] < 10_000
    assert telemetry_capture.spans[0]["trace_id"] == line["trace_id"]
