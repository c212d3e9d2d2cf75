"""The HTTP check talks to the configured service and to nobody else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from proletto_otel.core.errors import ConfigError
from proletto_otel.health.checks import Check, Runner
from proletto_otel.health.ready_made.http import Guard, Refused, http_service


class Service:
    """A local HTTP service."""

    def __init__(self) -> None:
        outer = self
        self.status, self.location, self.delay = 200, "", 0.0
        self.paths: list[str] = []
        self.hosts: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                outer.hosts.append(self.headers["Host"])
                time.sleep(outer.delay)
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/status?x=1"
        loop = {"poll_interval": 0.02}
        threading.Thread(target=self.server.serve_forever, kwargs=loop, daemon=True).start()


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that the test directs."""
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()


def run(check: Any, **settings: Any) -> tuple[str, str]:
    """Status and message of one run."""
    outcome = Runner(Check(name="http", function=check, **settings)).start()()
    return outcome.status, outcome.message


def test_service_that_answers_is_healthy(service: Service) -> None:
    """GET with the whole path."""
    assert ("healthy", "") == run(http_service(service.url))
    assert ["/status?x=1"] == service.paths


def test_error_is_unhealthy(service: Service) -> None:
    """500 is a failure."""
    service.status = 500

    assert ("unhealthy", "answered 500") == run(http_service(service.url))


def test_slow_service_is_degraded_or_times_out(service: Service) -> None:
    """Slow within the deadline is degraded; beyond it unhealthy."""
    service.delay = 0.3

    assert "degraded" == run(http_service(service.url), degraded_above=0.1)[0]
    status, message = run(http_service(service.url, timeout=0.1), timeout=2)
    assert ("unhealthy", "TimeoutError: timed out") == (status, message)


def test_redirect_to_the_metadata_service_is_not_followed(service: Service) -> None:
    """SSRF: a redirect to a link-local address is refused, nothing connects there."""
    service.status, service.location = 302, "http://169.254.169.254/latest/meta-data/"

    assert ("unhealthy", "answered 302; redirects are not followed") == run(
        http_service(service.url)
    )


def test_redirect_is_not_followed_to_a_second_service(service: Service) -> None:
    """0 connections to the forbidden peer."""
    other = Service()
    service.status, service.location = 302, other.url
    run(http_service(service.url))
    other.server.shutdown()
    other.server.server_close()

    assert [] == other.paths


def test_name_that_moves_to_loopback_is_refused(service: Service) -> None:
    """DNS rebinding: a name that was public must not turn to this machine."""
    answers = iter([["203.0.113.7"], ["127.0.0.1"]])
    check = http_service(
        f"http://service.example:{service.port}/", timeout=0.2, resolve=lambda *_: next(answers)
    )
    run(check)  # the public address: nobody answers there
    status, message = run(check)

    assert ("unhealthy", "Refused: service.example resolves to 127.0.0.1: refused") == (
        status, message,
    )  # fmt: skip
    assert [] == service.paths


def test_host_header_is_the_configured_name(service: Service) -> None:
    """The connection goes to the address that was checked, the request names the service."""
    check = http_service(f"http://service.local:{service.port}/", resolve=lambda *_: ["127.0.0.1"])
    assert "healthy" == run(check)[0]

    assert [f"service.local:{service.port}"] == service.hosts


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.1.1", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254",
     "100.100.100.200", "0.0.0.0", "224.0.0.1", "255.255.255.255"],
)  # fmt: skip
def test_name_may_not_resolve_to_forbidden_addresses(address: str) -> None:
    """Link-local, metadata, unspecified, multicast."""
    with pytest.raises(Refused):
        Guard("service.example").choose([address])


DISGUISED = {
    "64:ff9b::{v4}": "NAT64",
    "64:ff9b:1::{v4}": "NAT64 of a network's own, /96",
    "64:ff9b:1:{high}:{low_a}:{low_b}::": "the same, /48: the ninth byte is left out",
    "2002:{high}:{low}::1": "6to4",
    "::{v4}": "IPv4-compatible",
    "::ffff:0:{v4}": "SIIT",
    "fd00::5efe:{v4}": "ISATAP",
    "2001:0:{high}:{low}::": "the server of a Teredo tunnel",
}


def disguised(form: str, v4: str) -> str:
    """The IPv6 address of a form that leads to *v4*."""
    octets = [int(part) for part in v4.split(".")]
    low = f"{octets[2]:02x}{octets[3]:02x}"
    return form.format(
        v4=v4, high=f"{octets[0]:02x}{octets[1]:02x}", low=low,
        low_a=low[:2], low_b=f"{low[2:]}00",
    )  # fmt: skip


@pytest.mark.parametrize("form", DISGUISED, ids=list(DISGUISED.values()))
@pytest.mark.parametrize("v4", ["169.254.169.254", "169.254.170.2", "100.100.100.200"])
def test_no_disguise_leads_to_the_metadata_service(form: str, v4: str) -> None:
    """A gateway or a tunnel would reach the IPv4 address inside."""
    with pytest.raises(Refused):
        Guard("service.example").choose([disguised(form, v4)])


@pytest.mark.parametrize("form", DISGUISED, ids=list(DISGUISED.values()))
def test_no_disguise_leads_to_this_machine(form: str) -> None:
    """A name that was public may not turn to loopback, however it is written."""
    guard = Guard("service.example")
    guard.choose(["93.184.216.34"])

    with pytest.raises(Refused):
        guard.choose([disguised(form, "127.0.0.1")])


@pytest.mark.parametrize("form", ["64:ff9b::{v4}", "2002:{high}:{low}::1", "2001:db8::{v4}"])
def test_public_services_are_reached_through_gateways(form: str) -> None:
    """A network with IPv6 alone reaches the IPv4 internet by NAT64."""
    address = disguised(form, "93.184.216.34")

    assert address == Guard("service.example").choose([address])


def test_first_allowed_address_is_used() -> None:
    """A forbidden address among good ones is skipped."""
    assert "10.0.0.5" == Guard("service.example").choose(["169.254.1.1", "10.0.0.5"])


def test_address_that_is_configured_literally_is_allowed() -> None:
    """Who writes an address means it."""
    assert "169.254.1.1" == Guard("169.254.1.1").choose(["169.254.1.1"])


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://x/", "gopher://x/", "//x/", "http://", "http://u:pw@x/",
     "http://x/\r\nHost: y", "http://x:0/", "http://x:99999/", "", None, 7],
)  # fmt: skip
def test_other_urls_are_refused_at_registration(url: Any) -> None:
    """Only http and https, from configuration; a password is never shown."""
    with pytest.raises(ConfigError) as caught:
        http_service(url)

    assert "pw" not in str(caught.value)


def test_service_that_is_gone_is_unhealthy() -> None:
    """Connection refused."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

    status, message = run(http_service(f"http://127.0.0.1:{port}/"))

    assert "unhealthy" == status
    assert message.startswith("ConnectionRefusedError")
