"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass

from proletto_otel.core import conventions as c
from proletto_otel.logs.record.stored import StoredRecord

_IDENTITY = (c.LEVEL, c.LOGGER_NAME, c.MODULE, c.FUNCTION, c.LINE, c.REQUEST_ID)
"""What stays when an error is too large to be stored whole."""


FILE, ERRORS = "file", "errors"
"""Where a line was found: in a file, or only in the table of stored errors."""


@dataclass(frozen=True, kw_only=True)
class LogLine(StoredRecord):
    """One line of the structured log file, or a stored error whose line is in none."""

    cursor: str
    """Where it is: for links, and for the lines around it. Of a stored error its name alone."""
    file: str
    """Name of the file it was in when it was read; empty for a stored error."""
    source: str = FILE
    """`file`, or `errors`: its line was rotated away, or never was in these files."""
    group: str = ""
    """Of a stored error the fingerprint of its group; empty where this host has no such group."""
    occurrence: int = 0
    """Of a stored error its ID among the occurrences; 0 for one of the database."""
    host: str = ""
    """Of a stored error of another host the name of that host."""

    def identity(self) -> tuple[object, ...]:
        """What a line and the stored error that was made of the same record have in common."""
        record = self.record
        return (round(self.at * 1000), self.host, *(record.get(name) for name in _IDENTITY))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Lines that were found, and how far the search came."""

    lines: tuple[LogLine, ...] = ()
    """Newest first; of `around`, `tail` and `of_request` oldest first."""
    cursor: str | None = None
    """Where to go on; None when everything was searched."""
    newest: str | None = None
    """The end of the log when it was searched: where a live tail begins."""
    searched_back_to: float | None = None
    """Unix time of the oldest line that was looked at."""
    complete: bool = False
    """Whether everything that is stored was searched."""
    gone: bool = False
    """Whether the file of the cursor was deleted meanwhile."""
    busy: bool = False
    """Whether another search ran in this worker: ask again after `retry_after_s`."""
    retry_after_s: float = 0.0
    problem: str = ""
    """Why nothing can be searched; empty when it can."""
    notes: tuple[str, ...] = ()
    """What was not searched, as sentences."""
    searched_bytes: int = 0
    unreadable: int = 0
    """Lines that are no JSON, or over 1 MB."""
    took_ms: float = 0.0
