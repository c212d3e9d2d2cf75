"""Gauges of one's own: any number, read with a deadline, inside of the application's context."""

from __future__ import annotations

import decimal
import fractions
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, current_app
from opentelemetry.metrics import Observation

from proletto_otel import setup_telemetry
from proletto_otel.core.metrics.registry import registry
from proletto_otel.monitoring import monitor
from proletto_otel.testing import TelemetryCapture
from tests.monitoring.bound import Bound
from tests.waiting import slowness


def values(name: str) -> list[Any]:
    """What is exported now."""
    return [p.value for f in registry.collect() if f.name == name for p in f.points]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a gauge hangs on; open at the end."""
    made = threading.Event()
    yield made
    made.set()


@pytest.mark.parametrize(
    ("value", "exported"),
    [(3, [3.0]), (decimal.Decimal("2.5"), [2.5]), (fractions.Fraction(1, 4), [0.25]),
     (None, []), (True, []), ("7", [])],
)  # fmt: skip
def test_any_real_number_is_a_value(bound: Bound, value: Any, exported: list[float]) -> None:
    """Sums of a database are Decimal; a text or a flag is no number, and said to be none."""
    bound.monitor.register_gauge("depth", lambda: value)

    assert exported == values("depth")
    (gauge,) = bound.monitor.get_gauges()
    assert gauge.error.startswith("TypeError: expected a number") == (value in (True, "7"))


def test_gauge_that_hangs_ends_neither_alerts_nor_other_gauges(
    bound: Bound, gate: threading.Event
) -> None:
    """The evaluator goes on, and the rest is measured."""
    bound.monitor.register_gauge("stuck", lambda: gate.wait(30) or 1.0)
    bound.monitor.register_gauge("depth", lambda: 250.0)
    bound.monitor.register_threshold("depth", warning_threshold=100)
    began = time.monotonic()
    for _ in range(3):
        bound.tick()

    assert [(30, "CustomGauge: depth is 250, above 100")] == bound.logged
    assert time.monotonic() - began < 10 * slowness()
    assert "no answer within 1 s" == bound.monitor.get_gauges()[0].error


def test_callback_that_hangs_holds_up_no_scrape(
    telemetry_capture: TelemetryCapture, gate: threading.Event
) -> None:
    """An observable instrument of OpenTelemetry's API is bounded alike; the exit is, too."""
    meter = telemetry_capture.telemetry.meter

    def stuck(_: object) -> list[Observation]:
        gate.wait(30)
        return []

    meter.create_observable_gauge("stuck", [stuck])
    meter.create_observable_gauge("fine", [lambda _: [Observation(3)]])
    telemetry_capture.telemetry.activate()
    began = time.monotonic()
    names = [{f.name for f in telemetry_capture.telemetry.families()} for _ in range(3)]

    assert all("fine" in found for found in names)
    assert time.monotonic() - began < 10 * slowness()


def test_gauge_is_read_inside_of_the_application(telemetry_capture: TelemetryCapture) -> None:
    """Whoever collects, a scrape or a job: `current_app` is there."""
    app = Flask("shop")
    app.config["DEPTH"] = 7
    setup_telemetry(app)
    monitor.register_gauge("depth", lambda: current_app.config["DEPTH"])

    assert [7.0] == values("depth")
    (line,) = (
        text
        for text in app.test_client().get("/metrics").text.splitlines()
        if text.startswith("depth{")
    )
    assert 7.0 == float(line.split()[-1])


def test_application_is_not_kept_alive(telemetry_capture: TelemetryCapture) -> None:
    """Gauges know the application only as long as somebody else does."""
    app = Flask("shop")
    monitor.binding.release()
    monitor.binding.use_context(app.app_context)
    gone = weakref.ref(app)
    del app
    gc.collect()
    monitor.register_gauge("depth", lambda: 1.0)

    assert None is gone()
    assert [1.0] == values("depth")
