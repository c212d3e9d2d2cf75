"""Hostile input through the front door: nothing echoed, nothing grows, no 5xx of ours."""

from __future__ import annotations

import random
import string

import pytest
from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.core.metrics.registry import Histogram
from proletto_otel.testing import TelemetryCapture

ODD_METHODS = ["BREW", "get", "X" * 300, "PROPFIND", "\x1b[31m", "POST "]
BAD_IDS = [
    "i" * 7000,
    "\x1b[31mred",
    "a b",
    "<script>alert(1)</script>",
    "one, two",
    "\x00",
    "é",
    "",
]
BAD_PARENTS = [
    "00-" + "0" * 32 + "-" + "0" * 16 + "-01",
    "ff-" + "a" * 32 + "-" + "b" * 16 + "-01",
    "00-" + "g" * 32 + "-" + "b" * 16 + "-01",
    "x" * 5000,
    "\x1b[31m",
    "00-",
]


@pytest.fixture
def app(telemetry_capture: TelemetryCapture) -> Flask:
    """An application with one route."""
    app = Flask("target")
    app.add_url_rule("/items/<int:item>", view_func=lambda item: str(item))
    setup_telemetry(app, log_console=False)
    return app


def series(capture: TelemetryCapture) -> int:
    """Series of the request metrics."""
    return len([s for s in capture.metrics if s["name"].startswith("http.")])


def test_random_paths_hosts_and_methods_make_no_series(
    app: Flask, telemetry_capture: TelemetryCapture
) -> None:
    """10,000 random paths, 300 hosts and odd methods stay within a handful of series."""
    chance = random.Random(1)
    client = app.test_client()
    statuses = set()
    for i in range(10_000):
        path = "/p" + "".join(chance.choices(string.ascii_letters + "/%.", k=12))
        method = ODD_METHODS[i % len(ODD_METHODS)] if i % 50 == 0 else "GET"
        environ = {"HTTP_HOST": f"host-{i % 300}.example", "REQUEST_METHOD": method}
        with client.open(path, environ_overrides=environ) as response:
            statuses.add(response.status_code)

    names = {span["name"] for span in telemetry_capture.spans}
    assert not {status for status in statuses if status >= 500}
    assert names <= {"GET", "HTTP", "GET /<path:filename>", "HTTP /static/<path:filename>"}
    assert series(telemetry_capture) <= 20
    assert telemetry_capture.metric("http.server.request.duration") == 10_000


@pytest.mark.parametrize("given", BAD_IDS, ids=lambda text: ascii(text)[:20])
def test_unsafe_request_id_is_replaced_and_never_shown(
    app: Flask, telemetry_capture: TelemetryCapture, given: str
) -> None:
    """An ID that could corrupt a log line is replaced; it is neither logged nor echoed."""
    environ = {"HTTP_X_REQUEST_ID": given}

    response = app.test_client().get("/items/1", environ_overrides=environ)

    made = response.headers["X-Request-ID"]
    emitted = repr(telemetry_capture.spans) + repr(telemetry_capture.logs)
    assert response.status_code == 200
    assert len(made) == 32
    assert telemetry_capture.spans[0]["trace_id"] == made
    assert not given or given not in emitted + str(response.headers)


@pytest.mark.parametrize("given", BAD_PARENTS, ids=lambda text: ascii(text)[:20])
def test_invalid_traceparent_begins_a_new_trace(
    app: Flask, telemetry_capture: TelemetryCapture, given: str
) -> None:
    """A traceparent that does not fit is ignored, and no attacker's text reaches a log."""
    response = app.test_client().get("/items/1", environ_overrides={"HTTP_TRACEPARENT": given})

    span = telemetry_capture.spans[0]
    assert response.status_code == 200
    assert span["parent_id"] == ""
    assert int(span["trace_id"], 16)
    assert given not in repr(telemetry_capture.logs) + repr(span)


def test_user_metric_with_a_million_labels_is_bounded(telemetry_capture: TelemetryCapture) -> None:
    """At most 2,000 series and one overflow series; the total is preserved."""
    counter = setup_telemetry().meter.create_counter("shop.clicks")

    for i in range(20_000):
        counter.add(1, {"user": i})

    found = [s for s in telemetry_capture.metrics if s["name"] == "shop.clicks"]
    assert len(found) == 2001
    assert sum(s["value"] for s in found) == 20_000


def test_histograms_of_all_requests_agree(app: Flask, telemetry_capture: TelemetryCapture) -> None:
    """Every request is in exactly one bucket."""
    client = app.test_client()
    for i in range(50):
        client.get(f"/items/{i}").close()

    families = telemetry_capture.telemetry.families()
    values = [p.value for f in families if f.kind == "histogram" for p in f.points]
    durations = [v for v in values if isinstance(v, Histogram) and v.count >= 50]
    assert [50] == [sum(v.counts) for v in durations]
