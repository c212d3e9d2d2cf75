"""Where a signal goes: its URL, headers and certificates as OpenTelemetry's variables say.

A URL for one signal is used as it is; the base URL gets `/v1/<signal>` appended. The connection
itself lives in `export.http_connection`.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import field, replace
from urllib.parse import SplitResult, unquote, urlsplit

from proletto_otel.core.config import Config
from proletto_otel.core.parsing import Secret
from proletto_otel.core.record import record

URL_FIELDS = (
    "otlp_endpoint",
    "otlp_traces_endpoint",
    "otlp_metrics_endpoint",
    "otlp_logs_endpoint",
)


@record(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy on the way."""

    host: str
    port: int
    authorization: Secret = field(default_factory=lambda: Secret(""))
    """Value of `Proxy-Authorization`, or empty."""


@record(frozen=True, slots=True)
class Peer:
    """Who is called: signals with the same peer share a connection and its fate."""

    scheme: str
    host: str
    port: int
    certificate: str = ""
    """File with the certificates to trust; empty: the system's."""

    client_certificate: str = ""
    client_key: str = ""
    proxy: Proxy | None = None

    @property
    def shown(self) -> str:
        """The peer in messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@record(frozen=True, slots=True)
class Endpoint:
    """Where one signal goes."""

    peer: Peer
    path: str
    """Path and query of the request."""

    headers: Mapping[str, Secret]

    @property
    def shown(self) -> str:
        """The endpoint in messages, without query and password."""
        return self.peer.shown + self.path.partition("?")[0]


def endpoint(config: Config, signal: str, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Read the endpoint of *signal* from the settings."""
    # https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp: a
    # signal's own URL is complete, the common one is a base; headers of a signal win one by one.
    own = getattr(config, f"otlp_{signal}_endpoint")
    parts = urlsplit(own or config.otlp_endpoint)
    path = parts.path or "/"
    if not own:
        path = f"{parts.path.rstrip('/')}/v1/{signal}"
    headers = {**config.otlp_headers, **getattr(config, f"otlp_{signal}_headers")}
    peer = replace(
        _peer(parts, environ),
        certificate=config.otlp_certificate,
        client_certificate=config.otlp_client_certificate,
        client_key=config.otlp_client_key,
    )
    # Some vendors take their key as a query; it goes with the request and is never shown.
    query = f"?{parts.query}" if parts.query else ""
    return Endpoint(peer, path + query, _with_user(parts, headers))


def query_endpoint(
    url: Secret, headers: Mapping[str, Secret], environ: Mapping[str, str] = os.environ
) -> Endpoint:
    """A server that is asked: Prometheus, Loki; paths of its API are appended to the URL's."""
    parts = urlsplit(url.reveal())
    return Endpoint(_peer(parts, environ), parts.path.rstrip("/"), _with_user(parts, headers))


def _peer(parts: SplitResult, environ: Mapping[str, str]) -> Peer:
    scheme, host = parts.scheme.lower(), parts.hostname or "localhost"
    port = parts.port or (443 if scheme == "https" else 80)
    return Peer(scheme=scheme, host=host, port=port, proxy=_proxy(scheme, host, environ))


def _with_user(parts: SplitResult, headers: Mapping[str, Secret]) -> dict[str, Secret]:
    """*headers*, with the user and password of the URL unless they say who asks themselves."""
    user = {} if parts.username is None else {"authorization": _basic(parts)}
    return {**user, **headers}


def is_configured(config: Config) -> bool:
    """Whether somebody said where telemetry goes."""
    return not config.configured.isdisjoint(URL_FIELDS)


def _basic(parts: SplitResult) -> Secret:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return Secret("Basic " + base64.b64encode(pair.encode()).decode())


def _proxy(scheme: str, host: str, environ: Mapping[str, str]) -> Proxy | None:
    # HTTP_PROXY in capitals is ignored: under CGI a client's `Proxy:` header would set it
    names = ("https_proxy", "HTTPS_PROXY") if scheme == "https" else ("http_proxy",)
    found = next((environ[name] for name in (*names, "all_proxy") if environ.get(name)), "")
    if not found or is_loopback(host) or _is_excepted(host, environ):
        return None
    parts = urlsplit(found if "://" in found else f"http://{found}")
    if parts.scheme != "http" or not parts.hostname:
        return None
    authorization = Secret("") if parts.username is None else _basic(parts)
    return Proxy(parts.hostname, parts.port or 80, authorization)


def _is_excepted(host: str, environ: Mapping[str, str]) -> bool:
    # As curl reads it: names with all below them, with or without a leading dot; `*` is everything.
    rules = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    for rule in (rule.strip().lower().lstrip(".") for rule in rules.split(",")):
        if rule == "*" or (rule and (host == rule or host.endswith(f".{rule}"))):
            return True
    return False


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine; no proxy ever stands before it."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
