"""The monitor of a process, bound to a real store and ticked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proletto_otel.core import internal_errors
from tests.monitoring.bound import Bound


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Bound]:
    """A monitor of its own with injected values."""
    internal_errors.forget_logged()
    made = Bound(tmp_path)
    yield made
    made.close()
    internal_errors.forget_logged()
