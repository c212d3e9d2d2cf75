"""Instruments of the application: stock behaviour, bounded, right after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions, Observation

from proletto_otel.core.conventions import HTTP_SERVER_REQUEST_DURATION
from proletto_otel.core.internal_errors import forget_logged
from proletto_otel.core.metrics.registry import MAX_CELLS, Family, Histogram, Registry
from proletto_otel.metrics.app_instruments import MAX_INSTRUMENTS, UserMeter, UserMetrics
from proletto_otel.metrics.process_metrics import Source


@pytest.fixture
def metrics() -> UserMetrics:
    return UserMetrics()


@pytest.fixture
def meter(metrics: UserMetrics) -> UserMeter:
    return metrics.get_meter("shop", "1.0")


def only(metrics: UserMetrics) -> Family:
    (family,) = metrics.collect()
    return family


def values(family: Family) -> dict[tuple[object, ...], object]:
    return {tuple(v for _, v in p.attributes): p.value for p in family.points}


@pytest.mark.parametrize(
    ("create", "use", "kind", "expected"),
    [
        ("create_counter", lambda i: (i.add(2, {"k": "a"}), i.add(3, {"k": "a"})), "counter", 5),
        ("create_up_down_counter", lambda i: (i.add(2, {"k": "a"}), i.add(-3, {"k": "a"})),
         "updown", -1),
        ("create_gauge", lambda i: (i.set(2, {"k": "a"}), i.set(0.5, {"k": "a"})), "gauge", 0.5),
    ],
)  # fmt: skip
def test_numbers_arrive(
    metrics: UserMetrics, meter: UserMeter, create: str, use: Callable, kind: str, expected: float
) -> None:
    """Counters add, up-down counters take back, gauges keep the last value."""
    use(getattr(meter, create)("shop.thing", "{thing}", "Things."))

    family = only(metrics)

    assert ("shop.thing", kind, "{thing}", "Things.") == (
        family.name, family.kind, family.unit, family.description,
    )  # fmt: skip
    assert {("a",): expected} == values(family)


def test_a_misspelt_setting_of_the_sdk_does_not_reach_the_caller(
    monkeypatch: pytest.MonkeyPatch, metrics: UserMetrics, meter: UserMeter
) -> None:
    """The SDK would raise where the first instrument is made, in the middle of a request."""
    monkeypatch.setenv("OTEL_METRICS_EXEMPLAR_FILTER", "trace-based")

    meter.create_counter("shop.thing").add(2)

    assert {(): 2} == values(only(metrics))


@pytest.mark.parametrize("name", ["bad name", "", None, "caf\u00e9", "a" * 300])
def test_an_instrument_the_sdk_refuses_is_named_and_measures_nothing(
    metrics: UserMetrics, meter: UserMeter, caplog: pytest.LogCaptureFixture, name: Any
) -> None:
    """The caller goes on with an instrument that can be used."""
    forget_logged()
    meter.create_counter(name).add(1)
    meter.create_histogram(name).record(1)
    meter.create_gauge(name).set(1)
    meter.create_observable_counter(name, [lambda _: [Observation(1)]])

    assert [] == metrics.collect()
    (said,) = caplog.messages
    assert said.startswith(f"create_counter({ascii(name)[:80]}): no such instrument")


def test_histograms_arrive(metrics: UserMetrics, meter: UserMeter) -> None:
    """Own bucket edges are kept."""
    histogram = meter.create_histogram(
        "shop.wait", "s", "Waiting.", explicit_bucket_boundaries_advisory=[0.1, 1]
    )
    for x in (0.05, 0.5, 5):
        histogram.record(x)

    value = only(metrics).points[0].value

    assert isinstance(value, Histogram)
    assert ((0.1, 1), [1, 1, 1], 3, 5.55) == (value.bounds, value.counts, value.count, value.sum)


def test_a_measurement_in_a_sampled_trace_is_an_exemplar(
    metrics: UserMetrics, meter: UserMeter
) -> None:
    """From a bucket of the dashboard one comes to the request; without a trace there is none."""
    histogram = meter.create_histogram("shop.wait", explicit_bucket_boundaries_advisory=[0.1, 1])
    histogram.record(0.05)
    context = trace.SpanContext(0xA1, 0xB2, False, trace.TraceFlags(trace.TraceFlags.SAMPLED))
    with trace.use_span(trace.NonRecordingSpan(context)):
        histogram.record(0.5)

    value = only(metrics).points[0].value
    assert isinstance(value, Histogram)
    assert {1: (f"{0xA1:032x}", f"{0xB2:016x}", 0.5)} == {
        bucket: found[:3] for bucket, found in value.exemplars.items()
    }


@pytest.mark.parametrize(
    ("create", "kind"),
    [
        ("create_observable_counter", "counter"),
        ("create_observable_up_down_counter", "updown"),
        ("create_observable_gauge", "gauge"),
    ],
)
def test_callbacks_are_asked(
    metrics: UserMetrics, meter: UserMeter, create: str, kind: str
) -> None:
    """Functions and generators both work; making the instrument again replaces its callbacks."""

    def once(options: CallbackOptions):
        return [Observation(1, {"from": "old"})]

    def generator():
        yield
        while True:
            yield [Observation(2, {"from": "new"})]

    getattr(meter, create)("shop.seen", [once])
    getattr(meter, create)("shop.seen", [generator()])

    for _ in range(3):
        assert ({("new",): 2}, kind) == (values(only(metrics)), only(metrics).kind)


def test_a_raising_callback_is_absent(
    metrics: UserMetrics, meter: UserMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback that fails costs its own values and nothing else."""
    monkeypatch.setattr("proletto_otel.core.internal_errors.strict", False)

    def bad(options: CallbackOptions):
        raise ValueError

    meter.create_observable_gauge("shop.bad", [bad])
    meter.create_counter("shop.good").add(1)

    assert {"shop.good": {(): 1}} == {f.name: values(f) for f in metrics.collect() if f.points}


def test_a_flood_of_attributes_ends_in_one_series(metrics: UserMetrics, meter: UserMeter) -> None:
    """2,000 series an instrument, then one for the rest; the total is preserved."""
    counter = meter.create_counter("shop.flood")
    for i in range(5000):
        counter.add(1, {"user": f"u{i}"})

    found = values(only(metrics))

    assert MAX_CELLS + 1 == len(found)
    assert 5000 == sum(found.values())
    assert 5000 - MAX_CELLS == found[True,]


def test_the_same_instrument_is_made_once(metrics: UserMetrics, meter: UserMeter) -> None:
    """A view function that makes its counter per request counts in one series."""
    for _ in range(3):
        meter.create_counter("shop.again").add(1)

    assert {(): 3} == values(only(metrics))


def test_a_name_of_ours_is_not_taken(metrics: UserMetrics, meter: UserMeter) -> None:
    """An instrument with the name of a metric of the contract would break the page: it is left
    out."""
    registry = Registry()
    registry.histogram(HTTP_SERVER_REQUEST_DURATION).cell(("GET", "/", 200, None, "http")).observe(
        1
    )
    meter.create_counter(HTTP_SERVER_REQUEST_DURATION.name).add(1)
    meter.create_counter("shop.mine").add(1)

    found = Source(registry, metrics).families()

    assert [("http.server.request.duration", "histogram"), ("shop.mine", "counter")] == [
        (f.name, f.kind) for f in found
    ]


def test_a_child_counts_from_zero(metrics: UserMetrics, meter: UserMeter) -> None:
    """After a fork instruments that callers hold go on, without the parent's counts."""
    counter = meter.create_counter("shop.forked")
    counter.add(5)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        metrics.forked()
        counter.add(1)
        os._exit(0 if values(only(metrics)) == {(): 1} else 1)
    _, status = os.waitpid(child, 0)

    assert 0 == status
    assert {(): 5} == values(only(metrics))


def test_the_sdk_is_imported_with_the_first_instrument() -> None:
    """A program that measures nothing itself does not pay for the SDK's metrics."""
    script = """
import sys
from proletto_otel.metrics.app_instruments import UserMetrics
metrics = UserMetrics(); metrics.start(); meter = metrics.get_meter("shop"); metrics.collect()
early = "opentelemetry.sdk.metrics" in sys.modules
meter.create_counter("shop.sold").add(1)
sys.exit(early or "opentelemetry.sdk.metrics" not in sys.modules)
"""
    assert 0 == subprocess.run([sys.executable, "-c", script], check=False).returncode


def test_other_instrumentations_arrive_here() -> None:
    """What a library measures through the global API is exported with the rest."""
    script = """
import sys
from opentelemetry import metrics as api
from proletto_otel.metrics.app_instruments import UserMetrics
early = api.get_meter("library").create_counter("library.early")
mine = UserMetrics(); mine.start()
early.add(1)
api.get_meter("library").create_counter("library.late").add(2)
found = {f.name: f.points[0].value for f in mine.collect()}
sys.exit(found != {"library.early": 1, "library.late": 2})
"""
    assert 0 == subprocess.run([sys.executable, "-c", script], check=False).returncode


def test_long_attribute_values_are_cut(metrics: UserMetrics, meter: UserMeter) -> None:
    """A value of a megabyte in 2,000 series would fill the memory; observed ones too."""
    meter.create_counter("shop.thing").add(1, {"k": "x" * 1_000_000, "n": 7})
    meter.create_observable_gauge("shop.seen", [lambda _: [Observation(1, {"k": "y" * 300})]])

    cut = {family.name: list(values(family)) for family in metrics.collect()}

    assert {"shop.thing": [("x" * 255, 7)], "shop.seen": [("y" * 255,)]} == {
        name: [tuple(sorted(v, key=str, reverse=True)) for v in found]
        for name, found in cut.items()
    }


def test_instruments_are_bounded_in_number(metrics: UserMetrics, meter: UserMeter) -> None:
    """Names made of data: those beyond the limit measure nothing, and nothing is raised."""
    for n in range(MAX_INSTRUMENTS + 5):
        meter.create_counter(f"shop.order_{n}").add(1)
    meter.create_observable_gauge("shop.late", [lambda _: [Observation(1)]])
    meter.create_counter("shop.order_0").add(1, attributes={"k": "a"})

    assert MAX_INSTRUMENTS == len(metrics.collect())
