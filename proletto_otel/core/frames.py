"""The text of stack frames, as the standard library writes it, cached by code position.

Formatting a frame reads the source and computes carets (15 µs); a position in the code always gives
the same text, so it is made, and cleaned of literal secrets, once. Exceptions are put together in
`core.exceptions`.
"""

from __future__ import annotations

import os
import sys
import traceback
from types import CodeType, TracebackType

from proletto_otel.core.redaction import sanitise

MAX_FRAMES = 4096
"""Code positions remembered; a program raises from a few hundred."""
MAX_STACKS = 512
"""Whole stacks remembered: the same error mostly comes the same way."""
MAX_CACHED_DEPTH = 100
"""Frames of a stack that is remembered."""
MAX_DEPTH = 3000
"""Innermost frames read from one traceback; CPython's recursion limit is 1,000 by default."""

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_STANDARD = os.path.realpath(os.path.dirname(os.__file__)) + os.sep
_REPEATED = 3
"""Equal frames in a row that are shown before they are counted instead."""


class Frame:
    """One position in the code."""

    __slots__ = ("code", "in_app", "location", "same", "text", "where")

    def __init__(self, tb: TracebackType) -> None:
        code = tb.tb_frame.f_code
        self.code = code
        """A reference, so that no other code object gets its id."""
        self.text = sanitise.get().code("".join(traceback.extract_tb(tb, limit=1).format()))
        self.in_app = in_app(code.co_filename)
        self.same = (code.co_filename, tb.tb_lineno, code.co_name)
        self.where = f"{relative(code.co_filename)}:{function_name(code)}"
        self.location = f"{relative(code.co_filename)}:{tb.tb_lineno}"


class Stack:
    """The frames of a traceback together."""

    __slots__ = ("cached", "frames", "location", "text", "where")

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames
        self.cached = len(frames) <= MAX_CACHED_DEPTH
        """Whether equal frames get this object again; deeper stacks are built each time."""
        self.text = _join(frames)
        failing = next((f for f in reversed(frames) if f.in_app), frames[-1] if frames else None)
        self.where = failing.where if failing else ""
        """`file:function` of the innermost frame of the application."""
        self.location = failing.location if failing else ""
        """`file:line` of the same frame."""


_frames: dict[tuple[int, int], Frame] = {}
_stacks: dict[tuple[tuple[int, int], ...], Stack] = {}
_owner: sanitise.Sanitiser | None = None


def stack(tb: TracebackType | None) -> Stack:
    """The frames of *tb*, outermost first."""
    # The texts are cleaned, so other rules make them void.
    global _owner
    if _owner is not sanitise.get():
        forget()
        _owner = sanitise.get()
    # Code by its identity and the instruction in it: the same pair always gives the same text, so a
    # traceback of seven frames costs 6 µs instead of the 113 of `traceback.format_exception`
    # (measured).
    positions: list[tuple[int, int]] = []
    step = tb
    while step is not None:
        positions.append((id(step.tb_frame.f_code), step.tb_lasti))
        step = step.tb_next
    for _ in range(len(positions) - MAX_DEPTH):
        assert tb is not None  # as long as positions
        tb = tb.tb_next
    positions = positions[-MAX_DEPTH:]
    key = tuple(positions)
    found = _stacks.get(key)
    if found is None:
        found = Stack(_resolve(tb, positions))
        if len(_stacks) >= MAX_STACKS:
            _stacks.clear()
        if found.cached:
            _stacks[key] = found
    return found


def forget() -> None:
    """Drop every remembered text (other redaction rules, tests)."""
    _frames.clear()
    _stacks.clear()


def in_app(filename: str) -> bool:
    """Whether a file belongs to the application: not Python's, not installed, not ours."""
    if filename.startswith(("<", _OURS)):
        return False
    if any(part in filename for part in _INSTALLED):
        return False
    return not os.path.realpath(filename).startswith(_STANDARD)


def relative(filename: str) -> str:
    """*filename* from its import root, so that every host and release names it alike."""
    # The longest one that fits: `sys.path` may hold a directory and one inside it.
    roots = (os.path.abspath(entry or os.curdir) + os.sep for entry in sys.path)
    root = max((r for r in roots if filename.startswith(r)), key=len, default="")
    short = filename[len(root) :] if root else filename
    return sanitise.get().text(short)


def function_name(code: CodeType) -> str:
    """The qualified name where Python has it (3.11 and later)."""
    return str(getattr(code, "co_qualname", code.co_name))


def _resolve(tb: TracebackType | None, positions: list[tuple[int, int]]) -> list[Frame]:
    frames = []
    for position in positions:
        assert tb is not None  # as long as positions
        frame = _frames.get(position)
        if frame is None:
            frame = Frame(tb)
            if len(_frames) >= MAX_FRAMES:
                forget()  # stacks hold code by id, which a dropped frame no longer guards
            _frames[position] = frame
        frames.append(frame)
        tb = tb.tb_next
    return frames


def _join(frames: list[Frame]) -> str:
    """Frames one after the other; equal ones beyond three are counted (recursion)."""
    parts: list[str] = []
    last: Frame | None = None
    count = 0
    for frame in frames:
        if last is None or (frame is not last and frame.same != last.same):
            parts.append(_repeated(count))
            last, count = frame, 0
        count += 1
        if count <= _REPEATED:
            parts.append(frame.text)
    parts.append(_repeated(count))
    return "".join(parts)


def _repeated(count: int) -> str:
    more = count - _REPEATED
    if more <= 0:
        return ""
    return f"  [Previous line repeated {more} more time{'s' if more > 1 else ''}]\n"
