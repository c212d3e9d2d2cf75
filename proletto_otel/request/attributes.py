"""A request's attributes: from the WSGI environ to span attributes, cleaned, cut, encoded once.

Values come from outside, so each is bounded in length and each table in size; what repeats
(server, client, user agent, path) is kept as ready bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proletto_otel.core.conventions import (
    CLIENT_ADDRESS,
    ERROR_TYPE,
    HTTP_REQUEST_METHOD,
    HTTP_REQUEST_METHOD_ORIGINAL,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    NETWORK_PROTOCOL_VERSION,
    REQUEST_ID,
    SERVER_ADDRESS,
    SERVER_PORT,
    URL_PATH,
    URL_QUERY,
    URL_SCHEME,
    USER_AGENT_ORIGINAL,
)
from proletto_otel.core.redaction import sanitise
from proletto_otel.export.encoding import otlp
from proletto_otel.request.exchange import Environ, Exchange

Plain = dict[str, str | int]

METHODS = {
    m: m for m in
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
}  # fmt: skip
"""RFC 9110, 5789 and the QUERY method; all others count as `_OTHER`, as the conventions ask."""
OTHER = "_OTHER"

MAX_USER_AGENT = 256
MAX_PATH = 1024
MAX_QUERY = 1024
MAX_HOST = 255
MAX_METHOD = 32
MAX_READ = 4096
"""Characters of a value that are cleaned before the cut: a secret is not cut in two first."""
MAX_KEPT = 1024
"""Values whose bytes are kept in each table; a flood of new ones empties it."""
MAX_KEY = 256
"""Longer values are encoded each time, so that a table stays below a megabyte."""

OWN_KEYS = frozenset(
    (
        CLIENT_ADDRESS, ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL,
        HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, NETWORK_PROTOCOL_VERSION, REQUEST_ID,
        SERVER_ADDRESS, SERVER_PORT, URL_PATH, URL_QUERY, URL_SCHEME, USER_AGENT_ORIGINAL,
    )
)  # fmt: skip
"""What the request sets itself; an application that sets one of them wins."""


class Kept(dict[Any, bytes]):
    """A bounded table of encoded attributes; a missing one is made when it is looked up."""

    def __init__(self, facts: Callable[[Any], Plain]) -> None:
        super().__init__()
        self._facts = facts

    def __missing__(self, key: Any) -> bytes:
        made = otlp.attributes(self._facts(key), otlp.span_attribute)
        if len(self) >= MAX_KEPT:
            self.clear()
        if sum(map(len, filter(None, key))) <= MAX_KEY:
            self[key] = made
        return made


def method_of(environ: Environ) -> str:
    """The method, or `_OTHER`."""
    method = environ.get("REQUEST_METHOD", "")
    return METHODS.get(method) or METHODS.get(str(method).upper(), OTHER)


def path_of(environ: Environ) -> str:
    """The path as the client sent it (decoded), the mount point included."""
    script = environ.get("SCRIPT_NAME", "")
    path: str = script + environ.get("PATH_INFO", "") if script else environ.get("PATH_INFO", "")
    if path.isascii():
        return path or "/"
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def _connection(
    scheme: str | None, host: str | None, port: str | None, protocol: str | None
) -> Plain:
    name, own_port = split_host((host or "")[:MAX_HOST])
    facts: Plain = {URL_SCHEME: "https" if scheme == "https" else "http"}
    if name:
        facts[SERVER_ADDRESS] = _clean(name)
    number = own_port or port or ""
    if number.isascii() and number.isdigit() and len(number) <= 5:
        facts[SERVER_PORT] = int(number)
    if protocol and protocol.startswith("HTTP/") and len(protocol) <= 8:
        facts[NETWORK_PROTOCOL_VERSION] = _clean(protocol[5:])
    return facts


def split_host(host: str) -> tuple[str, str]:
    """Name and port of a Host header; an IPv6 address keeps no brackets."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, rest.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _client(address: str) -> Plain:
    return {CLIENT_ADDRESS: _clean(address)[:MAX_HOST]} if address else {}


def _agent(agent: str) -> Plain:
    return {USER_AGENT_ORIGINAL: _clean(agent)[:MAX_USER_AGENT]} if agent else {}


def _path(path: str) -> Plain:
    return {URL_PATH: _clean(path)[:MAX_PATH]}


def _path_bytes(path: str) -> bytes:
    clean = sanitise.get().path(path[:MAX_READ])
    return otlp.span_attribute(URL_PATH, clean[:MAX_PATH])


def _query(query: str) -> Plain:
    return {URL_QUERY: _clean(query)[:MAX_QUERY]}


def _odd_method(method: str) -> Plain:
    return {HTTP_REQUEST_METHOD_ORIGINAL: _clean(method)[:MAX_METHOD]}


def _clean(text: str) -> str:
    """Redacted first and cut afterwards: half a secret is still one."""
    return sanitise.get().text(text[:MAX_READ])


Repeating = tuple[str | None, ...]


def repeating(environ: Environ) -> Repeating:
    """What is the same from request to request: method as it came, user agent, connection."""
    get = environ.get
    return (
        get("REQUEST_METHOD"), get("HTTP_USER_AGENT"),
        get("wsgi.url_scheme"), get("HTTP_HOST"), get("SERVER_PORT"), get("SERVER_PROTOCOL"),
    )  # fmt: skip


def _fixed(key: Repeating) -> Plain:
    method, agent, *connection = key
    odd = {} if method in METHODS else _odd_method(str(method))
    return {**odd, **_connection(*connection), **_agent(agent or "")}


class RequestFacts:
    """The tables of one middleware."""

    def __init__(self) -> None:
        self._fixed = Kept(_fixed)
        self._clients = Kept(_client)
        self._paths = Kept(_path)
        self.tables = (self._fixed, self._clients, self._paths)

    def encoded(self, exchange: Exchange) -> bytes:
        """The attributes of a finished request, as bytes."""
        return b"".join((exchange.series.facts, *self.fragments(exchange)))

    def fragments(self, exchange: Exchange) -> tuple[bytes, ...]:
        """The attributes of a finished request but for those of its series, to be joined."""
        path, query = exchange.path, exchange.query
        return (
            self._fixed[exchange.fixed],
            self._clients[exchange.client],
            _path_bytes(path) if exchange.series.varies else self._paths[path],
            otlp.span_request_id(exchange.request_id),
            otlp.attributes(_query(query), otlp.span_attribute) if query else b"",
        )

    def plain(self, environ: Environ, path: str) -> Plain:
        """The same as values, for stock spans and samplers, before the request runs."""
        method, query = method_of(environ), environ.get("QUERY_STRING", "")
        return _plain(method, repeating(environ), environ.get("REMOTE_ADDR", ""), path, query)

    def told(self, exchange: Exchange) -> Plain:
        """What `encoded` gives, as values."""
        e = exchange
        return _plain(e.method, e.fixed, e.client, e.path, e.query)


def _plain(method: str, fixed: Repeating, client: str, path: str, query: str) -> Plain:
    facts: Plain = {HTTP_REQUEST_METHOD: method, **_fixed(fixed), **_client(client), **_path(path)}
    return facts | _query(query) if query else facts
