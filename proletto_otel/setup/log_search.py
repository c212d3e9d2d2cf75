"""Log search put together: which file it reads, where the indexes of that file are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from proletto_otel.errors.groups import ErrorGroups
from proletto_otel.logs.search.block_index import Indexes
from proletto_otel.logs.search.error_sources import ErrorSources
from proletto_otel.logs.search.search import LogSearch
from proletto_otel.logs.search.stored_errors import ErrorSource
from proletto_otel.logs.sinks.files.file_sink import SizedFileSink
from proletto_otel.logs.sinks.sink import Sink
from proletto_otel.state.viewing import Viewing

STRUCTURED = "json_file"
"""Name of the sink that writes the structured file."""


def log_search(
    sinks: Iterable[Sink], state: Path | None, viewing: Viewing,
    groups: ErrorGroups | None = None, tables: Sequence[Callable[[], ErrorSource]] = (),
) -> LogSearch:  # fmt: skip
    """Search of the structured file that one of *sinks* writes; indexes are below *state*.

    Errors whose lines are gone are found among the occurrences of *groups* and in *tables*.

    Each search is noted in *viewing*: the files are indexed while somebody searches them.
    """
    errors = ErrorSources(groups, tables) if groups is not None else None
    for sink in sinks:
        if sink.name == STRUCTURED and isinstance(sink, SizedFileSink):
            directory = state / "log_index" if state is not None else None
            indexes = Indexes(directory)
            return LogSearch(sink.path, indexes=indexes, note=viewing.note, errors=errors)
    return LogSearch(None, "log files are switched off (PROLETTO_LOG_FILES)", errors=errors)
