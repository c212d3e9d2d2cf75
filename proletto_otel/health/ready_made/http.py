"""Ready-made check: does an HTTP service answer. It follows no redirect and asks nobody else.

The URL comes from configuration only. The name is resolved once per run and the connection goes
to exactly that address, so a name that moves to a forbidden address (DNS rebinding) is refused
before anything is sent.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Collection, Mapping
from urllib.parse import SplitResult, urlsplit

from proletto_otel.core.errors import ConfigError
from proletto_otel.health.results import UNHEALTHY, HealthResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]

METADATA = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254")
"""Where clouds hand out credentials: AWS, GCP, Azure; ECS; Alibaba; AWS over IPv6."""

_METADATA = tuple(ipaddress.ip_address(text) for text in METADATA)
_EXPECTED = "a URL that begins with http:// or https://, without user name"


class Refused(Exception):
    """The address a name points to is not one this check may talk to."""


def http_service(
    url: str, *, timeout: float = 2.0, expect: Collection[int] = range(200, 300),
    method: str = "GET", headers: Mapping[str, str] | None = None,
    resolve: Resolve | None = None,
) -> Callable[[], HealthResult | None]:  # fmt: skip
    """Check that *url* answers with one of the *expect*ed status codes.

    Args:
        url: absolute `http` or `https` URL.
        timeout: seconds for connecting, and for each wait on the answer.
        expect: status codes that are healthy. A redirect is never followed.
        method: `GET` or `HEAD`.
        headers: more request headers.
        resolve: finds the addresses of a host and port; the system's resolver by default.

    Raises:
        ConfigError: for another kind of URL or method.
    """
    parts = _parse(url)
    if method not in ("GET", "HEAD"):
        raise ConfigError.of("method", method, "GET or HEAD")
    guard = Guard(str(parts.hostname))
    lookup = resolve or addresses
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # A connection for each run: one that stayed open would go on working when no new one can be
    # made.
    sent = {"User-Agent": "proletto-health", "Connection": "close", **(headers or {})}

    def check() -> HealthResult | None:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        peer = guard.choose(lookup(str(parts.hostname), port))
        connection = _connect(parts, peer, port, timeout)
        try:
            connection.request(method, target, headers=sent)
            status = connection.getresponse().status
        finally:
            connection.close()
        if status in expect:
            return None
        hint = "; redirects are not followed" if 300 <= status < 400 else ""
        return HealthResult(UNHEALTHY, f"answered {status}{hint}")

    return check


class Guard:
    """Which addresses a configured host may resolve to.

    Link-local and metadata addresses are refused unless the configuration names that very address.
    A name that was public (or private) at first may not turn to loopback later.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self._literal = _literal(host)
        self._first: str | None = None

    def choose(self, found: list[str]) -> str:
        """The first address that is allowed.

        Raises:
            Refused: when there is none.
        """
        for text in found:
            # Without the zone of a link-local address: `fe80::1%eth0`.
            address = _unmapped(ipaddress.ip_address(text.partition("%")[0]))
            if self._allowed(address):
                return text
        raise Refused(f"{self.host} resolves to {', '.join(found) or 'nothing'}: refused")

    def _allowed(self, address: Address) -> bool:
        if self._literal is not None:
            return address == self._literal
        kind = _kind(address)
        if kind == "forbidden":
            return False
        # The kind of the first answer is the rule for all later ones.
        if self._first is None:
            self._first = kind
        return kind in (self._first, "public")


def addresses(host: str, port: int) -> list[str]:
    """The addresses of *host*, as the system's resolver orders them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


WORST_FIRST = ("forbidden", "loopback", "private", "public")


def _kind(address: Address) -> str:
    """The kind of an address; the worst of itself and of the IPv4 addresses that it leads to."""
    kinds = [_own_kind(address)]
    if isinstance(address, ipaddress.IPv6Address):
        kinds += [_own_kind(inside) for inside in ipv4_inside(address)]
    return min(kinds, key=WORST_FIRST.index)


def _own_kind(address: Address) -> str:
    if address in _METADATA or address.is_link_local or address.is_multicast:
        return "forbidden"
    if address.is_unspecified or (address.version == 4 and address.is_reserved):
        return "forbidden"
    if address.is_loopback:
        return "loopback"
    return "private" if address.is_private else "public"


TRANSLATED = {0x0064_FF9B << 64: "NAT64", 0: "IPv4-compatible", 0xFFFF << 16: "SIIT"}
"""First 96 bits of addresses with an IPv4 address in the last 32 (RFC 6052, 4291, 2765)."""
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""Prefixes that a network chooses for its own NAT64 (RFC 8215), of any length."""
ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""Third quarter of an address that ends with an IPv4 address (RFC 5214)."""


def ipv4_inside(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that a gateway or tunnel may reach by *address*.

    A NAT64 prefix out of a network's own space cannot be known, so it is not looked into.
    """
    number = int(address)
    found: list[int] = []
    if number >> 32 in TRANSLATED and number > 1:  # not `::` and `::1`
        found.append(number)
    if (number >> 32) & 0xFFFF_FFFF in ISATAP:
        found.append(number)
    if address in LOCAL_NAT64:  # RFC 6052: bits 64 to 71 are left out, so the address is split
        found.append((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)
        found.append((number >> 64 & 0xFF) << 24 | number >> 32 & 0xFF_FFFF)
        found += [number >> 24, number]
    inside = [ipaddress.IPv4Address(n & 0xFFFF_FFFF) for n in found if n & 0xFFFF_FFFF]
    inside += filter(None, [address.sixtofour, *(address.teredo or ())])
    return inside


def _unmapped(address: Address) -> Address:
    """The IPv4 address in an IPv4-mapped one (`::ffff:169.254.169.254`); others unchanged."""
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _literal(host: str) -> Address | None:
    try:
        return _unmapped(ipaddress.ip_address(host))
    except ValueError:
        return None


def _parse(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        valid = False
    if not valid or parts.username or any(ord(c) < 33 for c in url):
        # before an @ there may be a password
        shown = "***" if "@" in str(url) else str(url)[:80]
        raise ConfigError.of("url", shown, _EXPECTED)
    return parts


def _connect(
    parts: SplitResult, peer: str, port: int, timeout: float
) -> http.client.HTTPConnection:
    """A connection to the address *peer* that sends the configured host in its Host header."""
    host = str(parts.hostname)
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    # http.client would resolve the name a second time, and could get another address than the one
    # that was allowed: so the socket is made here, and TLS checks the certificate against the name.
    plain = socket.create_connection((peer, port), timeout)
    if parts.scheme == "https":
        connection.default_port = 443
        try:
            plain = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
    connection.sock = plain
    return connection
