"""Log search put together: which file it reads, where the indexes of that file are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from proletto_otel.logs.search.block_index import Indexes
from proletto_otel.logs.search.search import LogSearch
from proletto_otel.logs.sinks.files.file_sink import SizedFileSink
from proletto_otel.logs.sinks.sink import Sink
from proletto_otel.state.viewing import Viewing

STRUCTURED = "json_file"
"""Name of the sink that writes the structured file."""


def log_search(sinks: Iterable[Sink], state: Path | None, viewing: Viewing) -> LogSearch:
    """Search of the structured file that one of *sinks* writes; indexes are below *state*.

    Each search is noted in *viewing*: the files are indexed while somebody searches them.
    """
    for sink in sinks:
        if sink.name == STRUCTURED and isinstance(sink, SizedFileSink):
            directory = state / "log_index" if state is not None else None
            return LogSearch(sink.path, indexes=Indexes(directory), note=viewing.note)
    return LogSearch(None, "log files are switched off (PROLETTO_LOG_FILES)")
