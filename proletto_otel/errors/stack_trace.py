"""A traceback's text as frames: file, line, function, whether the application's, source around it.

The text is what `core.exceptions` made, with secrets already removed; it is parsed when somebody
reads an occurrence, so that recording one costs nothing more.
"""

from __future__ import annotations

import linecache
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proletto_otel.core.exception_chain import CAUSE, CONTEXT
from proletto_otel.core.frames import in_app
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.redaction import sanitise

MAX_FRAMES = 300
MAX_RAISED = 50
MAX_SOURCE_BYTES = 2_000_000
"""Larger files are not read for the lines around a frame."""
_FRAME = lazy_pattern(r'  File "([^"\0]{1,1000})", line (\d{1,9})(?:, in (.{1,500}))?$')
_GROUP = lazy_pattern(r"^ *(?:\+-[-+ 0-9.]*|[|+] ?)")
"""What the standard library draws before the lines of an exception group."""
_HEADINGS = ("Traceback (", "Exception Group Traceback (", "  [Previous line")
_JOINS = {CAUSE.strip(): "cause", CONTEXT.strip(): "context"}


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One line of a source file."""

    number: int
    text: str
    failing: bool
    """Whether it is the frame's own line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFrame:
    """One call on the way to the exception."""

    file: str
    line: int
    function: str
    code: str
    """The source line as it was when the error happened; empty where Python had none."""
    own: bool
    """Whether it is the application's code, not a library's."""

    def source(self, around: int = 5) -> tuple[SourceLine, ...]:
        """The lines around it as the file is now; none when it is not there or not Python's."""
        return tuple(_source(self.file, self.line, min(max(around, 0), 50)))

    def changed_since(self, at: float) -> bool:
        """Whether the file was changed after unix time *at*: its lines may be others now."""
        try:
            return os.stat(self.file).st_mtime > at
        except (OSError, ValueError):
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """One exception of a chain."""

    text: str
    """Type and message, as the traceback's last lines say it."""
    frames: tuple[StackFrame, ...]
    """Outermost call first."""
    leads_as: str
    """How the next exception of the chain came of it: `cause` (`raise … from`), `context` (while
    handling it), or empty for the last one."""


def parse(lines: Sequence[str]) -> tuple[Raised, ...]:
    """The exceptions of a traceback, the first one raised first; the last is the error itself."""
    found: list[Raised] = []
    part: list[str] = []
    for line in lines:
        clean = _GROUP.sub("", line) if line.lstrip(" ")[:1] in ("|", "+") else line
        join = _JOINS.get(clean.strip())
        # a message may hold such a sentence: only after a traceback does it join two
        if join is not None and len(found) < MAX_RAISED - 1:
            found.append(_raised(part, join))
            part = []
        else:
            part.append(clean)
    return (*found, _raised(part, ""))


def _raised(lines: Iterable[str], leads_as: str) -> Raised:
    frames: list[StackFrame] = []
    rest: list[str] = []
    for line in lines:
        match = _FRAME.match(line)
        if match is not None and len(frames) < MAX_FRAMES and not rest:
            file, number, function = match.groups()
            frames.append(
                StackFrame(
                    file=file, line=int(number), function=function or "", code="", own=in_app(file)
                )
            )
        elif frames and not rest and line.startswith("    "):
            frames[-1] = _with_code(frames[-1], line)
        elif line.strip() and not line.startswith(_HEADINGS):
            rest.append(line)
    return Raised(text="\n".join(rest), frames=tuple(frames), leads_as=leads_as)


def _with_code(frame: StackFrame, line: str) -> StackFrame:
    # the first line below a frame is its source; the second underlines a part of it
    if frame.code:
        return frame
    return StackFrame(
        file=frame.file, line=frame.line, function=frame.function, code=line.strip(), own=frame.own
    )


def _source(file: str, line: int, around: int) -> Iterable[SourceLine]:
    if not _is_readable_source(file):
        return
    linecache.checkcache(file)
    clean = sanitise.get()
    for number in range(max(line - around, 1), line + around + 1):
        text = linecache.getline(file, number)
        if text:
            yield SourceLine(number, clean.code(text[:500]).rstrip(), number == line)


def _is_readable_source(file: str) -> bool:
    """Whether *file* is Python source that this program may import.

    The name comes from a text that a message could imitate: nothing else is ever opened.
    """
    if not file.endswith(".py") or "\0" in file:
        return False
    real = os.path.realpath(file)
    roots = (os.path.realpath(entry or os.curdir) + os.sep for entry in sys.path)
    if not real.startswith(tuple(roots)):
        return False
    try:
        found = os.stat(real)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= MAX_SOURCE_BYTES
