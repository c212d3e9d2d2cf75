"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass

from proletto_otel.logs.record.stored import StoredRecord


@dataclass(frozen=True, kw_only=True)
class LogLine(StoredRecord):
    """One line of the structured log file."""

    cursor: str
    """Where it is: for links, and for the lines around it."""
    file: str
    """Name of the file it was in when it was read."""


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
