"""The configurations that are compared: each function returns the application and its `flush`.

Addresses, folders and queue sizes come from the environment, which `subjects` sets. Each
configuration runs in a virtual environment that has only its own packages (`environments`), so
its imports stand inside its function.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from application import create_app

Built = tuple[Any, Callable[[], object]]


class StandardLog:
    """How an ordinary application logs: the standard library's logger with extra fields."""

    def __init__(self) -> None:
        self._info = logging.getLogger("bench.shop").info

    def info(self, event: str, **fields: object) -> None:
        """Log one event."""
        self._info(event, extra=fields)


def bare() -> Built:
    """Flask without telemetry; every log record is one JSON line of a file."""
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.FileHandler(os.path.join(os.environ["LOG_DIR"], "app.json"))
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    return create_app(StandardLog()), lambda: None


def opentelemetry() -> Built:
    """Stock OpenTelemetry: traces, metrics and logs by OTLP/HTTP, beside the JSON file."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    app, _ = bare()
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    logging.getLogger().addHandler(LoggingHandler(logger_provider=loggers))
    FlaskInstrumentor().instrument_app(app, tracer_provider=tracers, meter_provider=meters)
    return app, lambda: [provider.force_flush() for provider in (tracers, loggers, meters)]


def sentry() -> Built:
    """Sentry: every transaction, errors with local variables, logs, beside the JSON file."""
    import sentry_sdk

    app, _ = bare()
    receiver = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    sentry_sdk.init(
        dsn=receiver.replace("://", "://public@") + "/1",
        traces_sample_rate=1.0,
        enable_logs=True,
        transport_queue_size=60_000,
    )
    return app, lambda: sentry_sdk.flush(timeout=120)


def proletto() -> Built:
    """This library as its users set it up; the application logs through its `logger`."""
    from proletto_otel import setup_telemetry
    from proletto_otel.error_logging import logger

    app = create_app(logger)
    telemetry = setup_telemetry(app)
    return app, lambda: telemetry.flush(60)


def proletto_stdlib() -> Built:
    """The same, but the application goes on logging through the standard library."""
    from proletto_otel import setup_telemetry

    logging.getLogger().setLevel(logging.INFO)
    app = create_app(StandardLog())
    telemetry = setup_telemetry(app)
    return app, lambda: telemetry.flush(60)


CONFIGURATIONS: dict[str, Callable[[], Built]] = {
    "bare": bare,
    "opentelemetry": opentelemetry,
    "sentry": sentry,
    "proletto": proletto,
    "proletto_stdlib": proletto_stdlib,
}
