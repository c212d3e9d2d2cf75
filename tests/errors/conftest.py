"""The log room that errors come from, and groups that listen to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proletto_otel.errors.groups import ErrorGroups
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.state.store import Store
from tests.logs.conftest import Room, room

__all__ = ["room"]


@pytest.fixture
def groups(room: Callable[..., Room], tmp_path: Path) -> Iterator[ErrorGroups]:
    """Groups that listen to the pipeline."""
    room(log_console=False, log_files=False)
    made = ErrorGroups(Store(tmp_path / "state"), version="1.4.2")
    pipeline.listen(made.count)
    yield made
    pipeline.unlisten(made.count)
