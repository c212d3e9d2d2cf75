"""A log room on files of its own, undone after each test."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from proletto_otel.core import config, internal_errors
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.core.metrics.registry import registry
from proletto_otel.logs.api.foreign_handlers import OwnHandler
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.setup import logs as logs_setup


class Room:
    """The installed log room and what its sinks hold."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.items: list[bytes] = []
        self.logs: logs_setup.Logs
        self.warnings: list[str] = []

    def install(self, **settings: Any) -> Room:
        """Install with these settings; files go to the test's directory."""
        settings = {"log_dir": str(self.directory), "capture_uncaught": False} | settings
        made, _ = config.load(settings, {}, {})
        self.logs, self.warnings = logs_setup.install(made, otlp=self.items.extend)
        pipeline.hand_over()
        return self

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The structured file."""
        return [json.loads(line) for line in self.text("_structured.json").splitlines()]

    def text(self, ending: str = ".log") -> str:
        """The file `proletto<ending>`."""
        path = self.directory / f"proletto{ending}"
        return path.read_text() if path.exists() else ""

    @property
    def otlp(self) -> list[LogRecord]:
        """What went to the batcher, decoded by OpenTelemetry's own classes."""
        return [LogRecord.FromString(item) for item in self.items]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Callable[..., Room]]:
    """Install the log room: `room(log_level="DEBUG")`."""
    made = Room(tmp_path / "logs")
    registry.reset()
    pipeline.close()
    # a set-up of another test may still stand, and would write each record once more
    root = logging.getLogger()
    others = [handler for handler in root.handlers if isinstance(handler, OwnHandler)]
    for handler in others:
        root.removeHandler(handler)
    yield made.install
    if hasattr(made, "logs"):
        made.logs.uninstall()
    for handler in others:
        root.addHandler(handler)
    pipeline.close()
    internal_errors.forget_logged()


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as in production: our own failures are counted, not raised."""
    monkeypatch.setattr(internal_errors, "strict", False)


def attributes(record: LogRecord) -> dict[str, Any]:
    """The attributes of an OTLP record as plain values."""
    return {a.key: _plain(a.value) for a in record.attributes}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
    if kind == "array_value":
        return [_plain(entry) for entry in value.array_value.values]
    return getattr(value, kind) if kind else None


def balance(sink: str) -> tuple[int, int]:
    """What a sink was handed, and what became of it; the two are always equal."""
    totals = ledger.totals()[sink]
    return totals["emitted"], totals["delivered"] + sum(totals["dropped"].values())
