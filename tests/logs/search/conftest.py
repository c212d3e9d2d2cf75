"""A real log: records through the pipeline, files written and rotated by the file sink."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.search.search import LogSearch
from proletto_otel.setup.log_search import log_search
from proletto_otel.state.viewing import Viewing
from tests.logs.conftest import Room, room

__all__ = ["room"]


class Log:
    """The room that writes, and the search that reads it."""

    def __init__(self, made: Room, search: LogSearch) -> None:
        self.room = made
        self.search = search

    @property
    def files(self) -> list[str]:
        """Names of the structured file and its rotated files."""
        found = self.room.directory.glob("*_structured.json*")
        return sorted(path.name for path in found if path.suffix != ".lock")


@pytest.fixture
def log(room: Callable[..., Room]) -> Callable[..., Log]:
    """Install logging and a search of it: `log(log_json_max_bytes=20_000)`."""

    def make(**settings: object) -> Log:
        made = room(log_console=False, **settings)
        state = made.directory / "state"
        search = log_search(pipeline.sinks, state, Viewing(state))
        # no budget ends on a busy machine; who tests one has a clock of his own
        search._clock = search._unpacker._clock = lambda: 0.0
        return Log(made, search)

    return make
