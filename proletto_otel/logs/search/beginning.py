"""How far back the structured log goes: the time of the first line of its oldest file."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from proletto_otel.logs.search import blocks, files

PROBE_BYTES = 64 * 1024
"""Of a compressed file no more is unpacked: nearly every first line is shorter."""


def begins_at(path: Path | None) -> float | None:
    """Unix time of the oldest line; None where there is no log, or none that can be read."""
    if path is None:
        return None
    with files.opened(path) as found:
        if found.packed:
            return _first_of(found.packed[-1])
        return blocks.first_time(found.files[-1].fd, 0) if found.files else None


def _first_of(packed: Path) -> float | None:
    try:
        with gzip.open(packed) as file:
            return blocks.Block(file.readline(PROBE_BYTES), 0).first_time()
    except (OSError, EOFError, zlib.error):
        return None
