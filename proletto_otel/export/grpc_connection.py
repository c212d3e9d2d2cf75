"""The same payloads over gRPC, for those who must: needs the extra `proletto_otel[grpc]`.

HTTP is the default: gRPC's threads and forks do not go together, so the channel is made in the
process that sends, and answers reach `export.signal_exporter` as the HTTP statuses they stand
for.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from proletto_otel.export.endpoint import Endpoint, Peer
from proletto_otel.export.http_connection import Answer, Unreachable
from proletto_otel.export.payload import Payload

SERVICES = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
DEFAULT_ENDPOINT = "http://localhost:4317"
"""OpenTelemetry's default for this protocol."""

_TRANSIENT = ("CANCELLED", "ABORTED", "OUT_OF_RANGE", "DATA_LOSS")
STATUSES = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "UNIMPLEMENTED": 404,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    **dict.fromkeys(_TRANSIENT, 503),
}
"""Which of them may be sent again: https://opentelemetry.io/docs/specs/otlp/#failures"""
NO_ANSWER = ("UNAVAILABLE", "DEADLINE_EXCEEDED")


def is_installed() -> bool:
    """Whether gRPC can be used."""
    try:
        importlib.import_module("grpc")
    except ImportError:
        return False
    return True


class GrpcConnection:
    """A channel to one peer, made when needed; used by one thread.

    Args:
        peer: Who to call.
        read_timeout_s: Longest wait for an answer.
        compress: Whether requests are compressed.
    """

    def __init__(self, peer: Peer, read_timeout_s: float, *, compress: bool) -> None:
        self._peer, self._read_timeout_s, self._compress = peer, read_timeout_s, compress
        self._channel: Any = None
        self._inherited: Any = None

    def forked(self) -> None:
        """Forget the channel in a child: its threads are the parent's."""
        # Held and never closed: closing would wait for threads that are only in the parent.
        self._inherited, self._channel = self._channel, None

    def close(self) -> None:
        """End the channel; the next `post` makes a new one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def post(self, endpoint: Endpoint, payload: Payload, timeout_s: float) -> Answer:
        """Send a payload and wait for the answer at most *timeout_s*.

        Raises:
            Unreachable: no answer came.
        """
        grpc: Any = importlib.import_module("grpc")
        try:
            call = self._opened(grpc).unary_unary(endpoint.path)
            metadata = [(name.lower(), value.reveal()) for name, value in endpoint.headers.items()]
            wait_s = min(self._read_timeout_s, timeout_s)
            return Answer(200, None, call(payload.request(), timeout=wait_s, metadata=metadata))
        except grpc.RpcError as error:
            code = error.code().name
            if code in NO_ANSWER:
                # A new channel next time: gRPC's own back-off would wait up to two minutes, beside
                # the breaker's 30 s.
                self.close()
                raise Unreachable(code.lower().replace("_", " ")) from error
            return Answer(STATUSES.get(code, 500))
        except (OSError, ValueError) as error:
            raise Unreachable(type(error).__name__) from error

    def _opened(self, grpc: Any) -> Any:
        if self._channel is None:
            peer = self._peer
            target = (
                f"[{peer.host}]:{peer.port}" if ":" in peer.host else f"{peer.host}:{peer.port}"
            )
            packing = grpc.Compression.Gzip if self._compress else grpc.Compression.NoCompression
            if peer.scheme == "http":
                self._channel = grpc.insecure_channel(target, compression=packing)
            else:
                files = (peer.certificate, peer.client_key, peer.client_certificate)
                contents = [Path(path).read_bytes() if path else None for path in files]
                trust = grpc.ssl_channel_credentials(*contents)
                self._channel = grpc.secure_channel(target, trust, compression=packing)
        return self._channel
