"""WebSockets and event streams on a real gunicorn with threads: counted, no error, no latency."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import simple_websocket

from tests.faults.serving import program
from tests.waiting import PATIENCE_S, until

APP = """
from flask import Flask, Response
from flask_sock import Sock
from proletto_otel import setup_telemetry

app = Flask(__name__)
sock = Sock(app)


@sock.route("/echo")
def echo(ws):
    while True:
        ws.send(ws.receive())


@app.get("/events")
def events():
    return Response(("data: x\\n\\n" for _ in range(3)), mimetype="text/event-stream")


@app.get("/item")
def item():
    return "fine"


telemetry = setup_telemetry(app, app_name="shop", log_console=False, environment="development")
"""


def test_a_websocket_that_closes_is_no_error(tmp_path: Path) -> None:
    """No 500, no line in the error file; the connection's lifetime is no latency."""
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "shop.py").write_text(APP)
    with program(directory, "http://127.0.0.1:9") as shop:
        shop.start(
            sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{shop.port}", "--workers", "1",
            "--worker-class", "gthread", "--threads", "4", "shop:app",
        )  # fmt: skip
        for _ in range(3):
            client = simple_websocket.Client.connect(f"ws://127.0.0.1:{shop.port}/echo")
            client.send("hello")
            assert "hello" == client.receive(timeout=PATIENCE_S)
            client.close()
        assert [200, 200] == [shop.get(path)[0] for path in ("/events", "/item")]

        def requests() -> dict[str, tuple[int, int]]:
            found = json.loads(shop.get("/admin/monitoring/api/requests")[1])
            return {e["route"]: (e["count"], e["errors"]) for e in found["endpoints"]}

        until(lambda: "/echo" in requests() and requests()["/echo"][0] == 3)
        metrics, seen = shop.get("/metrics")[1].decode(), requests()
        shop.end()

    timed = [line for line in metrics.splitlines() if line.startswith("http_server_request_dur")]
    assert {"/echo": (3, 0), "/events": (1, 0), "/item": (1, 0)} == seen
    assert any("/item" in line for line in timed)
    assert not any("/echo" in line or "/events" in line for line in timed)
    assert "" == "".join(p.read_text() for p in shop.logs.glob("*error*.log"))
    assert "StopIteration" not in shop.output
