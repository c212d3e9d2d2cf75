"""Input meant to do harm: it makes no series, no names, no errors of ours, and is not repeated."""

from __future__ import annotations

import random
import re
import string
from typing import Any

import pytest
from flask import Flask

from proletto_otel.request.attributes import MAX_KEPT, MAX_KEY
from tests.request.conftest import Rig

CHOICE = random.Random(20_261)  # the same table in every run
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
ALL_CHARACTERS = "".join(map(chr, range(1, 256)))


def noise(length: int, characters: str = ALL_CHARACTERS) -> str:
    """Random text as WSGI shows bytes: latin-1."""
    return "".join(CHOICE.choices(characters, k=length))


def hostile_request(n: int) -> dict[str, Any]:
    """One of many bad requests: every header that we read is attacked in turn."""
    environ: dict[str, Any] = {
        "PATH_INFO": "/" + noise(CHOICE.randrange(60)),
        "QUERY_STRING": noise(CHOICE.randrange(60)),
        "HTTP_HOST": f"{noise(8, string.ascii_lowercase)}.example:{CHOICE.randrange(99999)}",
        "SERVER_PROTOCOL": CHOICE.choice(["HTTP/1.1", "HTTP/9.9", "EVIL/1", noise(20)]),
        "REMOTE_ADDR": f"203.0.113.{n % 250}",
        "HTTP_USER_AGENT": noise(CHOICE.choice([10, 100, 5000])),
        "HTTP_X_REQUEST_ID": CHOICE.choice(
            ["x" * 7000, noise(20), "one,two", "<script>alert(1)</script>", "\x1b[2J", ""]
        ),
        "HTTP_TRACEPARENT": CHOICE.choice(
            [noise(55), "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff-" + noise(50), "x" * 8000]
        ),
        "HTTP_TRACESTATE": noise(CHOICE.choice([10, 3000])),
    }
    if n % 3 == 0:
        environ["REQUEST_METHOD"] = noise(CHOICE.randrange(1, 40), string.ascii_letters + "-_ ")
    return environ


@pytest.fixture
def attacked(rig: Rig) -> tuple[Rig, list[dict[str, Any]], list[Any]]:
    """The application after a thousand of them."""
    requests = [hostile_request(n) for n in range(1000)]
    return rig, requests, [rig.call("/", environ=request) for request in requests]


def test_hostile_requests(attacked: tuple[Rig, list[dict[str, Any]], list[Any]]) -> None:
    """1,000 of them: bounded series and names, fresh IDs, no 5xx, nothing echoed."""
    rig, requests, replies = attacked

    assert {"5"}.isdisjoint(reply.status[0] for reply in replies)
    assert len(rig.series()) <= 30
    assert sum(rig.series().values()) == 1000
    assert len({span["name"] for span in rig.spans}) <= 12
    assert len(rig.spans) == 1000
    for request, reply, span in zip(requests, replies, rig.spans, strict=True):
        assert [span["trace_id"]] == reply.all("X-Request-ID")
        assert request["HTTP_X_REQUEST_ID"] not in span["attributes"].values() or (
            not request["HTTP_X_REQUEST_ID"]
        )


def test_attributes_are_short_and_printable(
    attacked: tuple[Rig, list[dict[str, Any]], list[Any]],
) -> None:
    """No control character and no megabyte reaches a span."""
    rig = attacked[0]

    for span in rig.spans:
        texts = [v for v in span["attributes"].values() if isinstance(v, str)]
        assert not any(map(UNSAFE.search, texts)), texts
        assert max(map(len, texts)) <= 1024
        assert len(span["attributes"]["user_agent.original"]) <= 256


def test_tables_do_not_grow(rig: Rig) -> None:
    """What is kept of addresses, agents and paths is bounded: a flood of each empties its table."""
    rig.app.add_url_rule("/fixed", "fixed", lambda: "x")
    facts, longest = rig.recorder.facts, [0, 0, 0]
    for n in range(2 * MAX_KEPT):
        address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        facts.tables[0][("GET", f"agent {n}", "http", "shop", "80", "HTTP/1.1")]
        facts.tables[1][address]
        facts.tables[2][f"/fixed/{n}"]
        longest = [max(a, len(b)) for a, b in zip(longest, facts.tables, strict=True)]

    assert [MAX_KEPT] * 3 == longest


def test_long_values_are_not_kept(rig: Rig) -> None:
    """A thousand of them would be a megabyte for each table."""
    table = rig.recorder.facts.tables[2]
    made = table["/" + "x" * MAX_KEY]

    assert made
    assert not table


def test_an_unsampled_trace_is_no_exemplar(app: Flask) -> None:
    """It would lead to a trace that nobody kept."""
    kept, dropped = Rig(app), Rig(Flask("other"), OTEL_TRACES_SAMPLER="always_off")
    found = []
    for rig in (kept, dropped):
        rig.call("/")
        (point,) = next(f for f in rig.registry.collect() if f.kind == "histogram").points
        found.append(len(point.value.exemplars))
        rig.unwatch()

    assert [1, 0] == found


@pytest.mark.parametrize(
    ("query", "secret"),
    [
        ("token=hunter2hunter2", "hunter2hunter2"),
        ("a=1&password=hunter2&b=2", "hunter2"),
        ("next=https://me:hunter2@example.com/", "hunter2"),
        ("key=AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("x=" + "y" * 1015 + "&api_key=hunter2hunter2", "hunter2"),
    ],
)
def test_secrets_in_a_query_are_redacted(rig: Rig, query: str, secret: str) -> None:
    """A query is kept without its secrets, also where it is cut."""
    rig.call("/?" + query)

    assert secret.encode() not in rig.exporter.traces.items[0]
    assert "url.query" in rig.span["attributes"]


def test_secret_in_a_path_is_redacted(rig: Rig) -> None:
    """A token in the path does not reach the span."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
    rig.call(f"/reset/{token}")

    assert token.encode() not in rig.exporter.traces.items[0]


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("shop.example", "shop.example", 80),
        ("shop.example:8443", "shop.example", 8443),
        ("[2001:db8::1]:8080", "2001:db8::1", 8080),
        ("[2001:db8::1]", "2001:db8::1", 80),
        ("shop.example:abc", "shop.example", None),
        ("shop.example:9999999", "shop.example", None),
        ("", None, 80),
    ],
)
def test_host_header(rig: Rig, host: str, address: str | None, port: int | None) -> None:
    """Name and port apart; nonsense is left out."""
    rig.call("/", environ={"HTTP_HOST": host, "SERVER_PORT": "80"})

    attributes = rig.span["attributes"]
    assert (address, port) == (attributes.get("server.address"), attributes.get("server.port"))


def test_path_is_decoded_with_its_mount_point(rig: Rig) -> None:
    """Bytes that WSGI shows as latin-1 are read as UTF-8, below the script name."""
    rig.call("/", environ={"SCRIPT_NAME": "/app", "PATH_INFO": "/caf\xc3\xa9"})

    assert rig.span["attributes"]["url.path"] == "/app/café"
