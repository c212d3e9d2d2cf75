"""A scripted OTLP/HTTP server that decodes and records: the other end of the exporter in tests.

In this process, on a thread::

    with OtlpSink() as sink:
        export_to(sink.url)
        sink.replies.append(Reply(429, retry_after="2"))   # the next request gets this, then 200s
        sink.refuse = lambda path, items: 400 if ... else 0  # decide by content; 0 accepts
        sink.logs[0]["body"], sink.spans[0]["attributes"]["uid"], sink.requests[0].status

In a process of its own, to be stopped (`SIGSTOP`) or killed and started again on the same port;
what it accepted is in a file that outlives it::

    sink = SinkProcess(directory); sink.start(); sink.pause(); sink.kill(); sink.records()
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = Path(__file__).parent.parent
Item = dict[str, Any]
KINDS: dict[str, Any] = {
    "traces": (ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans"),
    "logs": (ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records"),
    "metrics": (ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics"),
}


@dataclass
class Reply:
    """What a request gets."""

    status: int = 200
    retry_after: str = ""
    body: bytes = b""
    delay_s: float = 0.0


@dataclass
class Request:
    """A request that came."""

    path: str
    headers: dict[str, str]
    items: int
    bytes: int
    status: int
    at: float
    """`time.monotonic()`."""


def value(any_value: Any) -> Any:
    """An OTLP value as a Python value."""
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(v) for v in any_value.array_value.values]
    if kind == "kvlist_value":
        return attributes(any_value.kvlist_value.values)
    return getattr(any_value, kind) if kind else None


def attributes(pairs: Any) -> Item:
    """OTLP attributes as a dict."""
    return {pair.key: value(pair.value) for pair in pairs}


def decode(path: str, body: bytes) -> tuple[str, list[Item]]:
    """The signal of a request and its items as dicts, each with its `resource` and `scope`."""
    kind = next((s for s in KINDS if s in path), "")
    request, resources, scopes, items = KINDS[kind]
    found = [
        describe(item) | {"resource": attributes(r.resource.attributes), "scope": s.scope.name}
        for r in getattr(request.FromString(body), resources)
        for s in getattr(r, scopes)
        for item in getattr(s, items)
    ]
    return kind, found


def describe(item: Any) -> Item:
    """A span, log record or metric as a dict of what tests ask for."""
    if hasattr(item, "body"):
        name, kind = value(item.body), item.severity_text
    else:
        name, kind = item.name, getattr(item, "kind", None)
    if hasattr(item, "trace_id"):
        ids = {"trace_id": item.trace_id.hex(), "span_id": item.span_id.hex()}
        return {"name": name, "kind": kind, "attributes": attributes(item.attributes), **ids}
    data = getattr(item, item.WhichOneof("data"))
    points = [point(p) | {"attributes": attributes(p.attributes)} for p in data.data_points]
    return {"name": name, "unit": item.unit, "points": points}


def point(p: Any) -> Item:
    """A metric's data point."""
    if hasattr(p, "bucket_counts"):
        return {"count": p.count, "sum": p.sum, "bucket_counts": list(p.bucket_counts)}
    return {"value": getattr(p, p.WhichOneof("value"))}


class Server(ThreadingHTTPServer):
    """A server that does not mind clients that go away."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what is not a broken connection: a fault of the test."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class OtlpSink:
    """An OTLP server on a thread. All attributes may be read and changed at any time.

    Args:
        port: 0 for a free one; it stays the same over `stop` and `start`.
        record: File to append what was accepted, a JSON line an item.
    """

    def __init__(self, port: int = 0, record: Path | None = None) -> None:
        self.replies: deque[Reply] = deque()
        self.refuse: Callable[[str, list[Item]], int] = lambda path, items: 0
        self.requests: list[Request] = []
        self.spans: list[Item] = []
        self.logs: list[Item] = []
        self.metrics: list[Item] = []
        self.hanging = threading.Event()
        """While set, requests are read and not answered."""
        self._port = port
        self._record = record
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._open: set[socket.socket] = set()
        self.connections = 0
        """How many were made so far."""

    def __enter__(self) -> OtlpSink:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL, as for `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    def start(self) -> OtlpSink:
        """Listen; after `stop` on the same port again."""
        server = Server(("127.0.0.1", self._port), _handler(self))
        self._port = server.server_port
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Close the port and every connection: the next request is refused."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            for connection in list(self._open):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def items(self, kind: str) -> list[Item]:
        """What was accepted of a signal."""
        return {"traces": self.spans, "logs": self.logs, "metrics": self.metrics}[kind]

    def take(self, path: str, headers: dict[str, str], raw: bytes) -> Reply:
        """Judge and record one request."""
        body = gzip.decompress(raw) if headers.get("content-encoding") == "gzip" else raw
        kind, items = decode(path, body)
        with self._lock:
            refused = self.refuse(path, items)
            reply = self.replies.popleft() if self.replies else Reply(refused or 200)
            at = time.monotonic()
            self.requests.append(Request(path, headers, len(items), len(body), reply.status, at))
            if reply.status == 200:
                self._accept(kind, items)
        return reply

    def _accept(self, kind: str, items: list[Item]) -> None:
        self.items(kind).extend(items)
        if self._record is not None:
            with self._record.open("a") as file:  # before the answer: what was answered is there
                file.write("".join(json.dumps({"signal": kind, **item}) + "\n" for item in items))


def _handler(sink: OtlpSink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def handle(self) -> None:
            sink._open.add(self.connection)
            sink.connections += 1
            try:
                with contextlib.suppress(OSError):
                    super().handle()
            finally:
                sink._open.discard(self.connection)

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            while sink.hanging.is_set():
                time.sleep(0.02)
            headers = {k.lower(): v for k, v in self.headers.items()}
            reply = sink.take(self.path, headers, raw)
            time.sleep(reply.delay_s)
            self.send_response(reply.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(reply.body)))
            if reply.retry_after:
                self.send_header("retry-after", reply.retry_after)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


class SinkProcess:
    """The same server in a process of its own; `records` survive its death."""

    def __init__(self, directory: Path) -> None:
        self._record = directory / "sink.jsonl"
        self._record.touch()
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Base URL, as for `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> SinkProcess:
        """Start, on the same port as before if it ran before."""
        command = [sys.executable, "-m", "tests.otlp_sink", str(self.port), str(self._record)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def pause(self) -> None:
        """Stop answering (`SIGSTOP`): connections are accepted by the kernel and stay silent."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """`kill -9`."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def records(self, kind: str) -> list[Item]:
        """What was accepted of a signal, over all its lives."""
        whole, _, _ = self._record.read_text().rpartition("\n")  # the last may be half written
        lines = whole.splitlines()
        return [item for item in map(json.loads, lines) if item["signal"] == kind]

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


def main(port: str, record: str) -> None:
    """Serve until killed."""
    sink = OtlpSink(int(port), Path(record)).start()
    print(sink.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
