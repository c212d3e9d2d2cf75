"""What every thread of this process does now: names and frames, never local variables."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

MAX_THREADS = 200
MAX_FRAMES = 60
"""Innermost frames of a thread."""
MAX_LINE = 300
"""Characters of a source line or a path."""
MAX_TEXT = 65_536
"""Characters of all threads together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadStack:
    """One thread."""

    name: str
    daemon: bool
    """Whether the process ends without waiting for it."""
    frames: tuple[str, ...]
    """Innermost first: `shop/views.py:12 in pay: return charge(order)`."""


def thread_stacks(clean: Callable[[str], str] = str) -> list[ThreadStack]:
    """All threads of this process, the main thread first; *clean* takes secrets out of texts."""
    known = {thread.ident: thread for thread in threading.enumerate()}
    main = threading.main_thread().ident
    found = sorted(sys._current_frames().items(), key=lambda item: (item[0] != main, item[0]))
    stacks, left = [], MAX_TEXT
    for ident, frame in found[:MAX_THREADS]:
        thread = known.get(ident)
        frames = []
        for line in _frames(frame, clean):
            left -= len(line)
            if left < 0:
                break
            frames.append(line)
        stacks.append(
            ThreadStack(
                # made by C code, which the `threading` module does not know
                name=clean(thread.name)[:MAX_LINE] if thread is not None else f"thread {ident}",
                daemon=thread is None or thread.daemon,
                frames=tuple(frames),
            )
        )
    return stacks


def _frames(frame: FrameType, clean: Callable[[str], str]) -> list[str]:
    # `lookup_lines` reads the source files; no local variable is touched
    summary = traceback.StackSummary.extract(
        _outwards(frame), lookup_lines=True, capture_locals=False
    )
    return [
        clean(f"{f.filename[-MAX_LINE:]}:{f.lineno} in {f.name}: {(f.line or '')[:MAX_LINE]}")
        for f in summary
    ]


def _outwards(frame: FrameType) -> list[tuple[FrameType, int]]:
    found: list[tuple[FrameType, int]] = []
    current: FrameType | None = frame
    while current is not None and len(found) < MAX_FRAMES:
        found.append((current, current.f_lineno or 0))
        current = current.f_back
    return found
