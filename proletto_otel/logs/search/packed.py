"""Rotated files that were compressed: unpacked for a search, a bit more with each call.

A gzip file can be read from its beginning only, and the log is searched from its end. So the file
is unpacked into a nameless one beside it, as far as the time of the call allows; the next call goes
on, and once it is whole it is searched like any other. One is held at a time, 200 MB at most.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from proletto_otel.logs.search.cursor import Cursor
from proletto_otel.logs.search.files import MARK_BYTES, LogFile
from proletto_otel.logs.search.walk import SLACK_S, Walk

CHUNK = 64 * 1024
"""Compressed bytes that are unpacked at once: about 5 ms."""
MAX_BYTES = 200_000_000
GZIP = 16 + zlib.MAX_WBITS


END = 0xFFF_FFFF_FFFF_FFFF
"""In a cursor: the end of a file whose size is not known yet."""


@dataclass(slots=True)
class Unpacking:
    """A compressed file and how far it is unpacked."""

    path: Path
    inode: int
    source: int
    """Descriptor of the compressed file."""
    target: int
    """Descriptor of the nameless file."""
    engine: zlib._Decompress
    """What decompresses."""
    read: int = 0
    """Compressed bytes that were read."""
    written: int = 0
    is_whole: bool = False
    problem: str = ""

    def advance(self, deadline: float, clock: Callable[[], float]) -> None:
        """Unpack until *deadline*, at least one chunk."""
        while not self.is_whole and not self.problem:
            some = os.pread(self.source, CHUNK, self.read)
            length = len(some)
            self.read += length
            try:
                if not some:
                    raise zlib.error("it ends too early")
                made = self.engine.decompress(some)
            except zlib.error:
                self.problem = f"{self.path.name} is damaged and not searched"
                return
            view = memoryview(made)
            while view:
                count = os.pwrite(self.target, view, self.written)
                view, self.written = view[count:], self.written + count
            self.is_whole = self.engine.eof
            if self.written > MAX_BYTES:
                self.problem = f"{self.path.name} is too large to be unpacked and not searched"
            if clock() >= deadline:
                return

    def close(self) -> None:
        """Give the space back."""
        os.close(self.source)
        os.close(self.target)


class Unpacker:
    """Unpacks one file at a time, the one that was asked for last."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, directory: Path | None = None
    ) -> None:
        self._clock, self._directory = clock, directory
        self._held: Unpacking | None = None

    def open(self, path: Path, deadline: float) -> tuple[LogFile | None, str]:
        """The unpacked file, or None while it is not whole yet; and what is wrong with it."""
        try:
            held = self._of(path)
            held.advance(deadline, self._clock)
        except OSError as error:
            self.forget()
            return None, f"{path.name} cannot be unpacked: {error.strerror}"
        if held.problem or not held.is_whole:
            return None, held.problem
        mark = zlib.crc32(os.pread(held.target, MARK_BYTES, 0))
        facts = os.fstat(held.source)
        file = LogFile(
            held.target, path.name, held.inode, mark, held.written, facts.st_mtime, False
        )
        # a descriptor of its own, as the others have: whoever reads closes it
        return replace(file, fd=os.dup(held.target)), ""

    def forget(self) -> None:
        """Give up what is held."""
        held, self._held = self._held, None
        if held is not None:
            with contextlib.suppress(OSError):
                held.close()

    def _of(self, path: Path) -> Unpacking:
        inode = path.stat(follow_symlinks=False).st_ino
        if self._held is not None and self._held.inode == inode:
            return self._held
        self.forget()
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with tempfile.TemporaryFile(dir=self._directory) as target:
            self._held = Unpacking(
                path, inode, source, os.dup(target.fileno()), zlib.decompressobj(GZIP)
            )
        return self._held


def place_of(packed: list[Path], cursor: Cursor) -> int | None:
    """Which of the compressed files the cursor is in; None: none of them."""
    for place, path in enumerate(packed):
        with contextlib.suppress(OSError):
            if path.stat(follow_symlinks=False).st_ino == cursor.inode:
                return place
    return None


def search(
    unpacker: Unpacker, walk: Walk, packed: list[Path], end: int | None, since: float | None,
    deadline: float,
) -> list[str]:  # fmt: skip
    """Go on with a walk through compressed files, newest first; what was not searched."""
    notes = []
    for path in packed:
        if since is not None and _modified(path) < since - SLACK_S:
            break  # a backup is as old as its last line
        file, problem = unpacker.open(path, deadline)
        if problem:
            notes.append(problem)
            continue
        if file is None:
            walk.rest = Cursor(path.stat().st_ino, 0, END if end is None else end)
            notes.append(f"{path.name} is being unpacked: older lines go on with it")
            break
        try:
            goes_on = walk.run([file], end)
        finally:
            os.close(file.fd)
        if not goes_on:
            break
        end = None
    return notes


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
