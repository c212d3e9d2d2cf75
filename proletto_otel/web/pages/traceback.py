"""The frames of a stored traceback: own code first, libraries folded, source around the line."""

from __future__ import annotations

import linecache
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_FRAME = re.compile(r'  File "([^"\n]{1,1000})", line (\d{1,9}), in ([^\n]{1,300})')
_LIBRARY = ("site-packages", "dist-packages", f"lib{os.sep}python", "proletto_otel", "<frozen")
AROUND = 3
"""Lines of source before and after the failing one."""
MAX_FRAMES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLine:
    """One line of source."""

    number: int
    text: str
    is_current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One call of the stack."""

    file: str
    line: int
    function: str
    code: str
    """The source line as the traceback has it."""
    is_own: bool
    source: tuple[SourceLine, ...]
    """Lines around it; empty for libraries, and where the file is not there or not loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Frames that belong together: one own frame, a run of library frames, or a sentence."""

    kind: str
    """`own`, `library` or `text`."""
    frames: tuple[Frame, ...] = ()
    text: str = ""
    """An exception's last line, or what joins two tracebacks."""

    @property
    def packages(self) -> str:
        """The libraries of a run."""
        names = dict.fromkeys(_package(frame.file) for frame in self.frames)
        return ", ".join(list(names)[:4])


def frames(lines: Iterable[str]) -> list[Part]:
    """The parts of a traceback, innermost call first."""
    parts: list[Part] = []
    found: list[Frame] = []
    texts: list[str] = []
    for line in "\n".join(lines).splitlines():
        match = _FRAME.match(line)
        if match:
            if texts and found:
                parts[:0] = _grouped(found, texts)
                found, texts = [], []
            found.append(_frame(match[1], int(match[2]), match[3]))
        elif line.startswith("    ") and found and not texts:
            found[-1] = _with_code(found[-1], line.strip())
        elif line.strip() and not line.startswith("Traceback "):
            texts.append(line)
    parts[:0] = _grouped(found, texts)
    return parts[:MAX_FRAMES]


def _grouped(found: Sequence[Frame], texts: Sequence[str]) -> list[Part]:
    parts = [Part(kind="text", text="\n".join(texts))] if texts else []
    for frame in reversed(found):
        last = parts[-1] if parts else None
        if frame.is_own or last is None or last.kind != "library":
            parts.append(Part(kind="own" if frame.is_own else "library", frames=(frame,)))
        else:
            parts[-1] = Part(kind="library", frames=(*last.frames, frame))
    return parts


def _frame(file: str, line: int, function: str) -> Frame:
    own = not any(part in file for part in _LIBRARY) and not file.startswith("<")
    source = _around(file, line) if own else ()
    return Frame(file=file, line=line, function=function, code="", is_own=own, source=source)


def _with_code(frame: Frame, code: str) -> Frame:
    if frame.code or not code.strip("~^ "):
        return frame
    return Frame(
        file=frame.file, line=frame.line, function=frame.function, code=code[:400],
        is_own=frame.is_own, source=frame.source,
    )  # fmt: skip


def _around(file: str, line: int) -> tuple[SourceLine, ...]:
    """Source around *line*, of files that this program has loaded and of no other file.

    A message may look like a line of a traceback and name any file of the machine.
    """
    if not file.endswith(".py") or file not in _loaded():
        return ()
    found = [
        (n, linecache.getline(file, n)) for n in range(max(line - AROUND, 1), line + AROUND + 1)
    ]
    return tuple(
        SourceLine(number=n, text=text.rstrip("\n")[:400], is_current=n == line)
        for n, text in found
        if text
    )


def _loaded() -> set[str]:
    return {str(f) for m in tuple(sys.modules.values()) if (f := getattr(m, "__file__", None))}


def _package(file: str) -> str:
    for folder in ("site-packages", "dist-packages"):
        _, found, after = file.partition(f"{folder}{os.sep}")
        if found:
            return after.split(os.sep)[0].removesuffix(".py")
    return "proletto_otel" if "proletto_otel" in file else "python"
