"""A service's alerts with an injected clock and sampler on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proletto_otel.core import internal_errors
from tests.alerts.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """One process of a host with its state in a fresh directory."""
    return Stage(tmp_path)


@pytest.fixture(autouse=True)
def _quiet_notices() -> Iterator[None]:
    internal_errors.forget_logged()
    yield
    internal_errors.forget_logged()
