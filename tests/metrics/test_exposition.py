"""The `/metrics` text, read back by Prometheus' own parsers."""

from __future__ import annotations

import math

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from proletto_otel.core.conventions import HTTP_SERVER_REQUEST_DURATION, Metric
from proletto_otel.core.metrics.registry import Attributes, Family, Histogram, Point, Registry
from proletto_otel.metrics import exposition
from proletto_otel.metrics.exposition import OPEN_METRICS, TEXT, prefers_open_metrics, render

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
OPEN = "application/openmetrics-text"
TRACE, SPAN = "a" * 32, "b" * 16


def family(kind: str, value: float, attributes: Attributes = (), **named: str) -> Family:
    fields = {"name": "shop.thing", "unit": "{thing}", "description": "Things."} | named
    points = [Point(attributes, value)]
    return Family(fields["name"], kind, fields["unit"], fields["description"], points)


def histogram() -> Family:
    value = Histogram(
        (0.1, 1.0), [2, 1, 1], 4.5, 4, exemplars={1: (TRACE, SPAN, 0.5, 1700000000.5)}
    )
    return Family("shop.wait", "histogram", "s", "Waiting.", [Point((("route", "/a"),), value)])


def samples(text: bytes, parser=parse_text) -> dict[tuple[str, frozenset], float]:
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for f in parser(text.decode())
        for s in f.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset]:
    return name, frozenset(labels.items())


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/json", False),
        (OPEN, True),
        (PROMETHEUS_3, True),
        (f"{OPEN};q=0.5, text/plain;q=0.4", True),
        (f"{OPEN};q=0.3, text/plain;version=0.0.4;q=0.4", False),
        (f"{OPEN};q=0", False),
        (f"{OPEN};q=nonsense", False),
        (f"{OPEN}; version=1.0.0; q=0.5, */*;q=0.1", True),
    ],
)
def test_the_scrapers_preference_decides(accept: str, expected: bool) -> None:
    """OpenMetrics goes to who asks for it, the older text to everybody else."""
    assert expected == prefers_open_metrics(accept)


@pytest.mark.parametrize(("accept", "kind"), [("", TEXT), (OPEN, OPEN_METRICS)])
def test_content_type_names_the_format(accept: str, kind: str) -> None:
    """The answer says which format it is."""
    assert kind == render([], accept)[1]


@pytest.mark.parametrize(("accept", "parser"), [("", parse_text), (OPEN, parse_open)])
def test_every_kind_is_read_back(accept: str, parser) -> None:
    """Counters, gauges, up-down counts and histograms arrive with names, labels and values."""
    families = [
        family("counter", 7, (("a.b", "x"),)),
        family("gauge", 0.25, name="shop.fill", unit="1"),
        family("updown", -3, name="shop.open"),
        histogram(),
    ]

    read = samples(render(families, accept)[0], parser)

    assert {
        key("shop_thing_total", a_b="x"): 7,
        key("shop_fill_ratio"): 0.25,
        key("shop_open"): -3,
        key("shop_wait_seconds_bucket", route="/a", le="0.1"): 2,
        key("shop_wait_seconds_bucket", route="/a", le="1.0"): 3,
        key("shop_wait_seconds_bucket", route="/a", le="+Inf"): 4,
        key("shop_wait_seconds_sum", route="/a"): 4.5,
        key("shop_wait_seconds_count", route="/a"): 4,
    } == read


def test_exemplars_link_buckets_to_traces() -> None:
    """In OpenMetrics a bucket carries the trace and span of its latest request."""
    (read,) = parse_open(render([histogram()], OPEN)[0].decode())

    exemplars = [s.exemplar for s in read.samples if s.exemplar]
    assert [({"trace_id": TRACE, "span_id": SPAN}, 0.5, 1700000000.5)] == [
        (e.labels, e.value, float(e.timestamp)) for e in exemplars
    ]


def test_plain_text_has_no_exemplars() -> None:
    """The older format knows no exemplars; a scraper of it would refuse the page."""
    assert TRACE.encode() not in render([histogram()], "")[0]


@pytest.mark.parametrize("accept", ["", OPEN])
@pytest.mark.parametrize("value", ['say "hi"', "back\\slash", "two\nlines", "\\n", "ünïcode ☃", ""])
def test_label_values_survive(accept: str, value: str) -> None:
    """Quotes, backslashes and line breaks in a label value come out as they went in."""
    body = render([family("gauge", 1, (("v", value),))], accept)[0]

    assert [key("shop_thing", v=value)] == list(samples(body, parse_open if accept else parse_text))


def test_help_is_one_line() -> None:
    """A description with a line break cannot forge a sample."""
    body = render([family("gauge", 1, description="one\nforged 1\\")])[0]

    assert [key("shop_thing")] == list(samples(body))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e300, 0.1, 10**15])
@pytest.mark.parametrize("accept", ["", OPEN])
def test_odd_numbers_are_read_back(value: float, accept: str) -> None:
    """Infinities, not-a-number and large numbers are written as Prometheus reads them."""
    body = render([family("gauge", value)], accept)[0]

    (read,) = samples(body, parse_open if accept else parse_text).values()
    assert repr(float(value)) == repr(float(read))


def test_attributes_that_become_one_label_share_it() -> None:
    """`a.b` and `a_b` are one label for Prometheus; no value is lost, no label comes twice."""
    body = render([family("gauge", 1, (("a.b", "x"), ("a_b", "y")))])[0]

    assert [key("shop_thing", a_b="x;y")] == list(samples(body))


@pytest.mark.parametrize(
    ("attribute", "label"),
    [
        ("http.route", "http_route"), ("a..b", "a_b"), ("1st", "key_1st"), ("_own", "key_own"),
        ("\u00e9-x", "key_x"), ("__name__", "key_name_"), ("\u00e9\u00e9", "key_"), ("", "key"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("accept", "parser"), [("", parse_text), (OPEN, parse_open)])
def test_labels_are_named_as_prometheus_names_them(
    attribute: str, label: str, accept: str, parser
) -> None:
    """Names that Prometheus reserves, or would refuse, never make a page unreadable."""
    body = render([family("gauge", 1, ((attribute, "x"),))], accept)[0]

    assert [key("shop_thing", **{label: "x"})] == list(samples(body, parser))


def test_two_metrics_of_one_name_do_not_break_the_page() -> None:
    """Prometheus refuses a page with a name twice: the first one is shown."""
    body = render([family("gauge", 1), family("gauge", 2, name="shop_thing")])[0]

    assert {key("shop_thing"): 1} == samples(body)


@pytest.mark.parametrize(("accept", "parser"), [("", parse_text), (OPEN, parse_open)])
def test_target_info_says_who_speaks(accept: str, parser) -> None:
    """The resource of the service is one series named target_info."""
    body = render([], accept, {"service.name": "shop"})[0]

    assert {key("target_info", service_name="shop"): 1} == samples(body, parser)


@pytest.mark.parametrize("accept", ["", OPEN])
def test_overflow_and_flags_are_words(accept: str) -> None:
    """A flag is written `true`, as OpenTelemetry writes the overflow series."""
    body = render([family("counter", 1, (("otel.metric.overflow", True),))], accept)[0]

    assert b'otel_metric_overflow="true"' in body


def test_names_follow_the_contract() -> None:
    """A histogram of the contract appears under the name that panels and alerts use."""
    registry = Registry()
    cell = registry.histogram(HTTP_SERVER_REQUEST_DURATION).cell(("GET", "/a", 200, None, "http"))
    cell.observe(0.3)

    read = samples(render(registry.collect())[0])

    labels = {
        "http_request_method": "GET", "http_route": "/a", "http_response_status_code": "200",
        "url_scheme": "http",
    }  # fmt: skip
    assert 1 == read[key(f"{HTTP_SERVER_REQUEST_DURATION.prometheus}_count", **labels)]


@pytest.mark.parametrize("unit", ["s", "By", "ms", "%", "1", "{thing}", ""])
@pytest.mark.parametrize("kind", ["counter", "gauge", "updown"])
def test_every_unit_is_read_back(unit: str, kind: str) -> None:
    """Whatever the unit, OpenMetrics' parser finds the name of the contract."""
    metric = Metric(name="shop.thing", kind=kind, unit=unit, description="")

    body = render([family(kind, 1, unit=unit)], OPEN)[0]

    assert [key(metric.prometheus)] == list(samples(body, parse_open))


def test_labels_that_come_and_go_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with ever new workers on it keeps no more than what it shows, and stays right."""
    monkeypatch.setattr(exposition, "MAX_CACHED", 20)
    monkeypatch.setattr(exposition, "MAX_TEXTS", 10)
    kept = exposition._templates, exposition._singles
    for cache in kept:
        cache.clear()
    for n in range(100):
        points = [
            Point((("worker", str(n)), ("place", place)), Histogram((0.1,), [1, 1], 1.5, 2))
            for place in range(n % 12)
        ]
        wait = Family("shop.wait", "histogram", "s", "", points)
        body, _ = render([family("counter", n, (("worker", str(n)),)), wait])
        read = samples(body)
        for place in range(n % 12):
            assert read[key("shop_wait_seconds_count", worker=str(n), place=str(place))] == 2

        assert all(len(cache) <= 32 for cache in kept)
        texts = exposition._texts[False].values()
        assert sum(len(found) for _, found in texts) <= 10


def test_text_of_the_last_page_is_that_of_the_same_point() -> None:
    """Points that changed, came, went or moved are written anew, and equal numbers as they are."""
    points = [Point((("n", n),), value) for n, value in enumerate((1, 2.5, 3))]
    for shown in (
        points, points[1:], points[::-1], [*points, Point((("n", 9),), 4)],
        [Point(points[0].attributes, 1.0), *points[1:]], [],
    ):  # fmt: skip
        body, _ = render([Family("shop.thing", "gauge", "", "", shown)])
        lines = [f'shop_thing{{n="{p.attributes[0][1]}"}} {p.value}' for p in shown]
        assert lines == body.decode().splitlines()[1:]
