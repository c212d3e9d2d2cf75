"""Metrics on the wire mean what OpenTelemetry's own encoder would send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Exemplar, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.resources import Resource

from proletto_otel.core.metrics.registry import Family, Histogram, Point
from proletto_otel.export.encoding import otlp

RESOURCE = Resource({"service.name": "shop"}, schema_url="")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def stock() -> ExportMetricsServiceRequest:
    """One of each instrument through the SDK, at fixed times, with one exemplar."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
    meter = provider.get_meter("shop")
    meter.create_counter("c", "{order}", "Orders.").add(3, {"kind": "new", "paid": True})
    meter.create_up_down_counter("u", "1", "Open.").add(-2, {"n": 5})
    meter.create_gauge("g", "By", "Size.").set(0.25)
    meter.create_histogram("h", "s", "Time.", explicit_bucket_boundaries_advisory=[1, 2]).record(
        1.5
    )
    data = reader.get_metrics_data()
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    for metric in scope.metrics:
        for point in metric.data.data_points:
            object.__setattr__(point, "time_unix_nano", 20)
            if metric.name != "g":
                object.__setattr__(point, "start_time_unix_nano", 10)
            seen = Exemplar({}, 1.5, 2_000_000_000, int(SPAN, 16), int(TRACE, 16))
            object.__setattr__(point, "exemplars", [seen] if metric.name == "h" else [])
            assert isinstance(point, NumberDataPoint) or metric.name == "h"
    return encode_metrics(data)


def test_families_equal_the_stock_encoder() -> None:
    """Sums, gauges and histograms arrive cumulative, with start times and exemplars."""
    histogram = Histogram((1, 2), [0, 1, 0], 1.5, 1, 1.5, 1.5, {1: (TRACE, SPAN, 1.5, 2.0)})
    labels = (("kind", "new"), ("paid", True))
    families = [
        Family("c", "counter", "{order}", "Orders.", [Point(labels, 3, 10)]),
        Family("u", "updown", "1", "Open.", [Point((("n", 5),), -2, 10)]),
        Family("g", "gauge", "By", "Size.", [Point((), 0.25, 10)]),
        Family("h", "histogram", "s", "Time.", [Point((), histogram, 10)]),
    ]  # fmt: skip
    resource = otlp.attributes(RESOURCE.attributes, otlp.resource_attribute)
    ours = otlp.metrics(families, resource, 20, otlp.scope("shop"))

    assert stock() == ExportMetricsServiceRequest.FromString(ours)


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30),
    st.lists(st.floats(-100, 100), unique=True, max_size=20).map(sorted),
)
def test_histogram_arrives_as_it_was(seen: list[float], bounds: list[float]) -> None:
    """Bounds, counts, sum, minimum and maximum of any distribution are read back as they were."""
    counts = [0] * (len(bounds) + 1)
    for x in seen:
        counts[sum(x > b for b in bounds)] += 1
    h = Histogram(tuple(bounds), counts, sum(seen), len(seen), min(seen), max(seen))
    family = Family("h", "histogram", "s", "", [Point((), h, 1)])
    request = ExportMetricsServiceRequest.FromString(otlp.metrics([family], b"", 2))
    (point,) = request.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points

    assert (counts, bounds) == (list(point.bucket_counts), list(point.explicit_bounds))
    assert (h.sum, h.count, h.min, h.max) == (point.sum, point.count, point.min, point.max)


@pytest.mark.parametrize("value", [0, 0.0, 7, -7, 2**63 - 1, 2**63, 10**30, 1e300])
def test_number_arrives_as_it_was(value: float) -> None:
    """Whole numbers stay whole while they fit 64 bits; larger ones become floats."""
    family = Family("g", "gauge", "1", "", [Point((), value)])
    request = ExportMetricsServiceRequest.FromString(otlp.metrics([family], b"", 2))
    (point,) = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    kind = "as_int" if isinstance(value, int) and value < 2**63 else "as_double"
    expected = value if kind == "as_int" else float(value)

    assert (kind, expected) == (point.WhichOneof("value"), getattr(point, kind))


def test_family_that_cannot_be_sent_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number too large for the wire costs its own metric, not the request."""
    monkeypatch.setattr("proletto_otel.core.internal_errors.strict", False)
    families = [Family(n, "gauge", "1", "", [Point((), v)]) for n, v in (("a", 10**400), ("b", 1))]
    request = ExportMetricsServiceRequest.FromString(otlp.metrics(families, b"", 2))

    assert ["b"] == [m.name for m in request.resource_metrics[0].scope_metrics[0].metrics]
