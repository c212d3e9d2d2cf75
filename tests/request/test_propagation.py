"""IDs in and out of the process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proletto_otel.core.context import background
from proletto_otel.request import id_generator
from proletto_otel.request.propagation import accept_or_generate, parse_traceparent
from proletto_otel.request.propagators import set_propagators
from proletto_otel.request.request_id_propagator import (
    RequestIdPropagator,
    host_matcher,
    outgoing_headers,
)
from tests.request.conftest import Rig
from tests.waiting import PATIENCE_S

VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "header",
    [
        "", "x" * 7000, "a\x1b[31m", "a\x9bb", "café", "<script>", "a b", "one,two", "a\n", "a\x00",
        "\u202e",
    ],
)  # fmt: skip
def test_unsafe_request_id_is_replaced(header: str) -> None:
    """An ID that could corrupt a log line never reaches one."""
    assert "fresh" == accept_or_generate(header, "fresh")


@pytest.mark.parametrize("header", ["a", "A-b_c.9", "x" * 128])
def test_safe_request_id_is_kept(header: str) -> None:
    """Up to 128 of a-z, A-Z, digits, dots, dashes and underscores."""
    assert header == accept_or_generate(header, "fresh")


TRACEPARENTS = [
    VALID,
    VALID[:-2] + "00",
    VALID[:-2] + "03",
    " " + VALID + "\t",
    "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-holds",
    "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
    VALID + "-more",
    "ff" + VALID[2:],
    VALID.upper(),
    VALID[:-1],
    VALID.replace("-", "_"),
    "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
    f"{VALID},{VALID}",
    VALID + "\n",
    "",
    "٠" * 55,
]


@pytest.mark.parametrize("header", TRACEPARENTS)
def test_traceparent_is_read_as_the_stock_propagator_does(header: str) -> None:
    """What it accepts is accepted, what it ignores is ignored."""
    compare(header)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.text(max_size=80),
        st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True),
        st.tuples(st.integers(0, 54), st.characters()).map(
            lambda t: VALID[: t[0]] + t[1] + VALID[t[0] + 1 :]
        ),
    )
)
def test_any_traceparent_is_read_as_the_stock_propagator_does(header: str) -> None:
    """Also headers nobody thought of."""
    compare(header)


def compare(header: str) -> None:
    sdk = TraceContextTextMapPropagator().extract({"traceparent": header})
    expected = trace.get_current_span(sdk).get_span_context()
    parent = parse_traceparent(header)

    if not expected.is_valid or header.endswith("\n"):  # a header cannot end so; `$` would let it
        assert parent is None
    else:
        assert parent is not None
        assert expected.trace_id == int(parent.trace_id, 16)
        assert expected.span_id == int(parent.span_id, 16)
        assert expected.trace_flags & 3 == parent.flags


def test_oversize_traceparent_is_ignored() -> None:
    """A header of a megabyte is not searched through."""
    assert parse_traceparent("cc" + VALID[2:] + "-" + "x" * 1_000_000) is None


def test_two_request_ids_are_replaced(rig: Rig) -> None:
    """Two X-Request-ID headers are one with a comma by the time WSGI shows them."""
    reply = rig.call(x_request_id="one,two")

    assert [rig.span["trace_id"]] == reply.all("X-Request-ID")


def test_long_tracestate_is_left_behind(rig: Rig) -> None:
    """Beyond 512 characters the trace is joined without it."""
    rig.call(traceparent=VALID, tracestate=",".join(f"v{i}={'x' * 20}" for i in range(40)))

    assert rig.span["trace_id"] == VALID[3:35]


@pytest.mark.parametrize(
    ("patterns", "host", "allowed"),
    [
        (("*",), "example.com", True),
        (("*",), "", True),
        ((), "example.com", False),
        (("api.example.com",), "API.example.com", True),
        (("api.example.com",), "api.example.com.evil.net", False),
        (("*.example.com",), "a.example.com", True),
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "aXexample.com", False),
        (("a", "b"), "b", True),
        (("a",), "", False),
    ],
)
def test_hosts_are_matched_whole(patterns: tuple[str, ...], host: str, allowed: bool) -> None:
    """A host is allowed by its full name or a `*` pattern, without regard to case."""
    assert allowed == host_matcher(patterns)(host)


@pytest.fixture
def client_span(rig: Rig) -> Iterator[Any]:
    """The span a client instrumentation has current while it injects."""

    def start(**attributes: Any) -> Context:
        named = {k.replace("_", "."): v for k, v in attributes.items()}
        span = rig.provider.get_tracer("http").start_span("GET", attributes=named)
        return trace.set_span_in_context(span)

    return start


@pytest.mark.parametrize(
    ("attributes", "sent"),
    [
        ({"server_address": "api.internal"}, True),
        ({"url_full": "https://api.internal:8443/x"}, True),
        ({"http_url": "https://api.internal/x"}, True),
        ({"server_address": "tracker.example"}, False),
        ({}, False),
    ],
)
def test_request_id_goes_to_allowed_hosts_only(
    client_span: Any, attributes: dict[str, str], sent: bool
) -> None:
    """The host is read from the client span; where it is unknown nothing is sent."""
    headers: dict[str, str] = {}

    with background("r-1"):
        RequestIdPropagator(("*.internal",)).inject(headers, client_span(**attributes))

    assert headers == ({"X-Request-ID": "r-1"} if sent else {})


def test_headers_by_hand(rig: Rig, propagator: RequestIdPropagator) -> None:
    """A client without instrumentation gets its headers from `outgoing_headers`."""
    made: list[dict[str, str]] = []
    narrow = RequestIdPropagator(("api.internal",))

    def view() -> str:
        made.append(outgoing_headers("https://api.internal/x", narrow))
        made.append(outgoing_headers("https://elsewhere.example/x", narrow))
        return "x"

    rig.app.add_url_rule("/out", "out", view)
    rig.call("/out", x_request_id="r-1")

    assert ["traceparent", "X-Request-ID"] == list(made[0])
    assert ["traceparent"] == list(made[1])


def test_consumer_carries_the_id_on(rig: Rig) -> None:
    """A worker that extracts an ID sends it on; an unsafe one is dropped."""
    propagator = RequestIdPropagator()
    headers: dict[str, str] = {}

    propagator.inject(headers, propagator.extract({"X-Request-ID": "r-1"}, Context()))
    propagator.inject(headers, propagator.extract({"X-Request-ID": "<b>"}, Context()))

    assert headers == {"X-Request-ID": "r-1"}


@pytest.mark.parametrize(
    ("names", "joined"),
    [
        ("tracecontext", True),
        ("tracecontext,baggage", True),
        ("baggage", False),
        ("none", False),
        ("bogus", True),
    ],
)
def test_propagators_are_those_of_the_setting(app: Flask, names: str, joined: bool) -> None:
    """`OTEL_PROPAGATORS` decides what is read; an unknown name leaves the default."""
    from opentelemetry import baggage, propagate

    before = propagate.get_global_textmap()
    rig = Rig(app, OTEL_PROPAGATORS=names)
    seen: list[object] = []
    app.add_url_rule("/bag", "bag", lambda: seen.append(baggage.get_baggage("shop")) or "x")
    try:
        set_propagators(rig.config, rig.tracer, RequestIdPropagator())
        rig.call("/bag", traceparent=VALID, baggage="shop=north")
    finally:
        propagate.set_global_textmap(before)
        rig.unwatch()

    assert (VALID[36:52] if joined else "") == rig.span["parent_id"]
    assert ["north" if "baggage" in names else None] == seen


def test_ids_do_not_follow_the_seed_of_the_application() -> None:
    """`random.seed` in the application does not repeat IDs."""
    random.seed(1)
    first = id_generator.new_ids()
    random.seed(1)

    assert first != id_generator.new_ids()


def test_forked_children_have_different_ids() -> None:
    """A fork does not copy the sequence of IDs, whether fork hooks ran or `forked` was called."""
    source = (
        "import os\n"
        "from proletto_otel.request import id_generator\n"
        "for _ in range(2):\n"
        "    if os.fork() == 0:\n"
        "        os.write(1, (id_generator.new_trace_id() + ' ').encode()); os._exit(0)\n"
        "    os.wait()\n"
        "print(id_generator.new_trace_id())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True,
        timeout=PATIENCE_S, check=True,
        env={**os.environ},
    )  # fmt: skip

    assert 3 == len(set(run.stdout.split()))
