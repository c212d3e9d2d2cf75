"""The fixture `telemetry_capture`, found by pytest through the package's entry point."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from proletto_otel.testing import TelemetryCapture


@pytest.fixture
def telemetry_capture(tmp_path: Path) -> Iterator[TelemetryCapture]:
    """Spans, metrics, log records, Slack messages and emails of this test, as plain dicts."""
    from proletto_otel.testing import capture  # only tests that ask for it pay the import

    with capture(tmp_path / "logs") as captured:
        yield captured
