"""The same records over gRPC, where the extra is installed; HTTP and a word where it is not."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from proletto_otel.core import internal_errors
from proletto_otel.core.config import Config, load
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.core.metrics.registry import registry
from proletto_otel.export import grpc_connection
from proletto_otel.export.exporter import OtlpExporter
from proletto_otel.export.http_connection import HttpConnection
from proletto_otel.runtime import circuit_breaker
from tests.export.test_exporter import record
from tests.waiting import until

LOGS = grpc_connection.SERVICES["logs"]


class Collector:
    """A gRPC server that keeps log bodies and answers with the codes it is given."""

    def __init__(self, grpc: Any) -> None:
        self.bodies: list[str] = []
        self.codes: list[Any] = []
        self.metadata: dict[str, str] = {}
        self._grpc = grpc

    def service(self, details: Any) -> Any:
        """The handler of a method, as grpc asks for it."""
        if details.method != LOGS:
            return None
        self.metadata = dict(details.invocation_metadata)
        return self._grpc.unary_unary_rpc_method_handler(self.export)

    def export(self, request: bytes, context: Any) -> bytes:
        """Keep or refuse one request."""
        if self.codes:
            context.abort(self.codes.pop(0), "as asked")
        decoded = ExportLogsServiceRequest.FromString(request)
        records = decoded.resource_logs[0].scope_logs[0].log_records
        self.bodies += [r.body.string_value for r in records]
        return b""


@pytest.fixture
def grpc() -> Any:
    return pytest.importorskip("grpc", reason="needs grpcio: pip install 'proletto_otel[grpc]'")


@pytest.fixture
def collector(grpc: Any) -> Iterator[tuple[Collector, int]]:
    """A server and its port."""
    there = Collector(grpc)
    server = grpc.server(ThreadPoolExecutor(2), handlers=[there])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield there, port
    server.stop(0).wait()


def config(port: int, **environ: str) -> Config:
    """The settings for gRPC."""
    named = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environ.items()}
    named |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    return load({}, {}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", **named})[0]


def test_records_arrive_over_grpc(
    grpc: Any, collector: tuple[Collector, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer in use costs time, a refusal is counted, the rest is delivered with its headers."""
    monkeypatch.setattr(circuit_breaker, "FIRST_PAUSE_S", 0.05)
    registry.reset()
    there, port = collector
    there.codes = [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT]
    exporter = OtlpExporter(config(port, HEADERS="Key=word"), tmp_path)
    exporter.start()
    exporter.logs.put(record("first"))
    exporter.flush(time.monotonic() + 20)
    until(lambda: ledger.totals()["otlp_logs"]["dropped"].get("rejected_400"))
    exporter.logs.put(record("second"))
    assert exporter.flush(time.monotonic() + 300)
    exporter.stop(time.monotonic() + 5)

    assert ["second"] == there.bodies
    assert "word" == there.metadata["key"]
    assert 1 == ledger.totals()["otlp_logs"]["delivered"]


def test_absent_collector_is_spooled(grpc: Any, tmp_path: Path) -> None:
    """Over gRPC, too, nothing is lost while nobody listens."""
    registry.reset()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    exporter = OtlpExporter(config(port), tmp_path)
    exporter.logs.put(record("kept"))
    assert not exporter.flush(time.monotonic() + 20)
    exporter.stop(time.monotonic() + 5)

    assert 1 == ledger.totals()["otlp_logs"]["spooled"]


def test_without_the_extra_http_is_used_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who asks for gRPC and has it not gets the command to install it; telemetry goes over HTTP."""
    monkeypatch.setattr(grpc_connection, "is_installed", lambda: False)
    internal_errors.forget_logged()
    exporter = OtlpExporter(config(1), None)
    (destination,) = exporter._destinations.values()

    assert isinstance(destination._connection, HttpConnection)
    assert "pip install 'proletto_otel[grpc]'" in caplog.text
