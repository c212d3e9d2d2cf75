"""Payloads that a server refused, put back among those that wait to be sent.

For a person who has mended what the server minded; `export.spool.spool` set them aside.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.export.spool import files
from proletto_otel.export.spool.spool import METRICS_MAX_AGE_S, REJECTED, SIGNALS

_NAME = lazy_pattern(rf"(\d{{20}})-(\d{{1,7}})-\S+?\.({'|'.join(SIGNALS)})\.\w+\.otlp")


@dataclass(slots=True)
class Resent:
    """What became of the files that were set aside."""

    records: dict[str, int] = field(default_factory=dict)
    """Records that wait to be sent again, by signal."""

    left: int = 0
    """Files left where they are: not whole, not ours, or metrics too old for any server."""


def resend_rejected(spool: Path, *, now_s: float | None = None) -> Resent:
    """Move what is in `rejected/` of *spool* to the end of what waits; safe beside a running app.

    Each payload is written in its new place first: a crash between the two steps sends it twice.

    Raises:
        OSError: the disk is full, or the files are another user's.
    """
    now_s = time.time() if now_s is None else now_s
    result, writer, numbers = Resent(), os.urandom(5).hex(), itertools.count(1)
    found = sorted((spool / REJECTED).iterdir()) if (spool / REJECTED).is_dir() else []
    for path in found:
        name = _NAME.fullmatch(path.name)
        age_s = now_s - int(name[1]) / 1e9 if name else 0.0
        # An old sample would be refused again, and come back here.
        if name is None or (name[3] == "metrics" and age_s > METRICS_MAX_AGE_S):
            result.left += 1
            continue
        signal, items = name[3], int(name[2])
        try:
            payload = files.unpack(path.read_bytes(), items)
        except ValueError:
            result.left += 1
            continue
        # A new time in its name: by the old one it could be too old to be kept, and be dropped.
        entry = files.new_entry(now_s, items, writer, next(numbers))
        (spool / signal).mkdir(mode=0o700, exist_ok=True)
        files.write_durably(spool / signal, entry.base, files.pack(payload))
        path.unlink()
        result.records[signal] = result.records.get(signal, 0) + items
    return result
