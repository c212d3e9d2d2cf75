"""The server that telemetry goes to: it takes what OTLP and Sentry send, and counts it.

The client gets its answer before anything is decoded, so a slow receiver slows nobody down.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from application import KINDS, REQUEST_ID
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA
from opentelemetry.proto.trace.v1.trace_pb2 import Span

REQUEST_ID_PATTERN = re.compile(REQUEST_ID.replace("{:012x}", "[0-9a-f]{12}").encode())
EXCEPTIONS = [kind.exception for kind in KINDS.values() if kind.exception]


class Received:
    """What one configuration delivered."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Spans, log records by body, exceptions by text, Sentry items by type, payloads."""
        self.request_ids: set[bytes] = set()
        self.duration_counts: dict[str, int] = {}
        """Requests that `http.server.request.duration` counted, by its attributes."""
        self.undecodable: list[str] = []
        self.wire_bytes: Counter[str] = Counter()
        """Bytes of the payloads as they came, by path."""

    def take(self, path: str, body: bytes) -> None:
        """Decode and count one payload."""
        self.counts["payloads"] += 1
        self.wire_bytes[path] += len(body)
        if body.startswith(b"\x1f\x8b"):
            body = gzip.decompress(body)
        if path.endswith("/envelope/"):
            self._sentry_envelope(body)
        else:
            DECODERS[path](self, body)

    def _traces(self, body: bytes) -> None:
        self.request_ids.update(REQUEST_ID_PATTERN.findall(body))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.counts["server spans"] += span.kind == Span.SPAN_KIND_SERVER
                    self._exceptions("span", span)

    def _logs(self, body: bytes) -> None:
        self.request_ids.update(REQUEST_ID_PATTERN.findall(body))
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    self.counts["log records"] += 1
                    self.counts[f"log {record.body.string_value}"] += 1
                    self._exceptions("log", record)

    def _exceptions(self, where: str, item: Any) -> None:
        """Count the errors whose whole traceback came along."""
        content = item.SerializeToString()
        for text in EXCEPTIONS:
            whole = text.encode() in content and b"in price_of" in content
            self.counts[f"{where} {text}"] += whole

    def _metrics(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "http.server.request.duration":
                        self._durations(metric.histogram)

    def _durations(self, histogram: Any) -> None:
        is_delta = histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
        for point in histogram.data_points:
            key = str(sorted(map(str, point.attributes)))
            if "/metrics" not in key:
                before = self.duration_counts.get(key, 0) if is_delta else 0
                self.duration_counts[key] = before + point.count

    def _sentry_envelope(self, body: bytes) -> None:
        _, _, rest = body.partition(b"\n")
        while rest.strip():
            header, _, rest = rest.partition(b"\n")
            item = json.loads(header)
            self.counts[f"sentry {item['type']}"] += item.get("item_count", 1)
            rest = rest[item["length"] :].lstrip(b"\n")


DECODERS: dict[str, Callable[[Received, bytes], None]] = {
    "/v1/traces": Received._traces,
    "/v1/logs": Received._logs,
    "/v1/metrics": Received._metrics,
}


class Receiver:
    """An HTTP server on a port of its own for one configuration."""

    def __init__(self) -> None:
        self.received = Received()
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where to send to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, body: bytes) -> None:
        """Count a payload, under the lock; one that cannot be decoded is kept as a fault."""
        try:
            self.received.take(path, body)
        except Exception as error:
            self.received.undecodable.append(f"{path}: {error!r}")

    def snapshot(self) -> Received:
        """What came so far, once nothing is being decoded any more."""
        with self.lock:
            return self.received


def handler_for(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    """The request handler of one receiver."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave in one packet

        def handle(self) -> None:
            with suppress(ConnectionError):  # subjects are killed when they are done
                super().handle()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            # Answered first: the client does not wait for the decoding, `snapshot` does.
            with receiver.lock:
                is_otlp = self.path.startswith("/v1/")
                answer = b"" if is_otlp else b"{}"
                kind = "application/x-protobuf" if is_otlp else "application/json"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                self.wfile.flush()
                receiver.take(self.path.partition("?")[0], body)

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    return Handler
