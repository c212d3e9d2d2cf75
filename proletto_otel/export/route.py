"""How export requests travel: over HTTP or gRPC, to which endpoint, compressed or not.

The exporter and `doctor` both ask here, so that what is proved is what is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from proletto_otel.core.config import Config
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.export import grpc_connection
from proletto_otel.export.destination import Connection
from proletto_otel.export.endpoint import Endpoint, Peer, endpoint, is_configured, is_loopback
from proletto_otel.export.http_connection import HttpConnection
from proletto_otel.export.payload import GZIP


class Route:
    """The settings of the transport, as they are read."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.uses_grpc = _uses_grpc(config)

    def endpoint(self, signal: str, environ: Mapping[str, str] = os.environ) -> Endpoint:
        """Where *signal* goes; *environ* names proxies."""
        config = self._config
        if not self.uses_grpc:
            return endpoint(config, signal, environ)
        if not is_configured(config):
            config = config.changed(otlp_endpoint=grpc_connection.DEFAULT_ENDPOINT)
        # Without proxies: gRPC reads the variables for those itself.
        found = endpoint(config, signal, {})
        return replace(found, path=grpc_connection.SERVICES[signal])

    def connection(self, peer: Peer) -> Connection:
        """A connection to *peer*, not yet open."""
        wait_s = self._config.otlp_timeout_ms / 1000
        if self.uses_grpc:
            return grpc_connection.GrpcConnection(peer, wait_s, compress=self._compresses(peer))
        return HttpConnection(peer, wait_s)

    def encoding(self, peer: Peer) -> str:
        """How the bodies of requests to *peer* are packed."""
        # gRPC compresses its messages itself, from the request as it was encoded.
        return GZIP if self._compresses(peer) and not self.uses_grpc else ""

    def _compresses(self, peer: Peer) -> bool:
        """On this machine a byte costs less to send than to squeeze (5 to 30 µs a request)."""
        chosen = self._config.otlp_compression
        return chosen == GZIP or (chosen == "auto" and not is_loopback(peer.host))


def _uses_grpc(config: Config) -> bool:
    if config.otlp_protocol != "grpc" or config.sdk_disabled:
        return False
    if not grpc_connection.is_installed():
        log_rate_limited(
            "otlp:grpc",
            "OTEL_EXPORTER_OTLP_PROTOCOL='grpc': expected http/protobuf, or "
            "`pip install 'proletto_otel[grpc]'` first; using http/protobuf",
        )
        return False
    return True
