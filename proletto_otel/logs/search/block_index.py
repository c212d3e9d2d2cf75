"""What is known of each block of a log file without reading it: times, levels, IDs.

A file of 20 MB takes about 60 KB.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proletto_otel.logs.search.files import LogFile
    from proletto_otel.logs.search.query import Matcher


class BlockIndex:
    """The blocks of one file."""

    def rules_out(self, number: int, matcher: Matcher) -> bool:
        """Whether the block certainly has no line that *matcher* looks for."""
        return False


class Indexes:
    """The indexes of a log's files.

    Args:
        directory: Where they are stored; None: nowhere.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def of(self, file: LogFile) -> BlockIndex | None:
        """The index of *file*; None when there is none."""
        return None
