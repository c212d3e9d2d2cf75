"""The leader's job that indexes log files block by block, a few megabytes at a time.

A rotated file never changes, so it is indexed once; of the file that grows, the whole blocks are.
What is missing or damaged is made anew.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.ownership import give_to_owner, make_directories
from proletto_otel.logs.search import blocks, files
from proletto_otel.logs.search.block_index import SUFFIX, BlockFacts, BlockIndex, Indexes
from proletto_otel.logs.search.blocks import BLOCK
from proletto_otel.logs.search.files import LogFile

STEP_BLOCKS = 16
"""4 MiB in one step: about 20 ms."""
WRITE_BLOCKS = 64
"""How often the index of a large file is written while it grows."""
QUIET_S = 1.0
"""A rotated file is whole when nothing was written to it for so long."""


class Indexer:
    """Indexes the files of the log *path* into the directory of *indexes*."""

    def __init__(self, path: Path, indexes: Indexes) -> None:
        self._path = path
        self._indexes = indexes
        self._growing: tuple[Path, BlockIndex] | None = None
        """The index that is being made and not stored yet."""

    def step(self) -> bool:
        """Index some blocks of one file; whether there is more to do. For a ticker job."""
        directory = self._indexes.directory
        if directory is None:
            return False
        with suppressed("logs.index"), files.opened(self._path) as found:
            self._forget(directory, found.files)
            # what is begun first: the file that grows would otherwise come between for ever
            growing = self._growing[0] if self._growing is not None else None
            for file in sorted(
                found.files, key=lambda file: self._indexes.path_of(file) != growing
            ):
                if self._advance(file):
                    return True
            self._growing = None
        return False

    def _advance(self, file: LogFile) -> bool:
        """Index some blocks of *file*; whether it needed any."""
        path = self._indexes.path_of(file)
        assert path is not None  # there is a directory
        whole = file.size // BLOCK
        if file.active:  # not for each block: its index would be written again and again
            whole -= whole % STEP_BLOCKS
        elif file.size % BLOCK and time.time() - file.modified > QUIET_S:
            whole += 1
        index = self._begun(path, file)
        if whole <= len(index.blocks):
            return False
        for number in range(len(index.blocks), min(whole, len(index.blocks) + STEP_BLOCKS)):
            block = blocks.read(file.fd, number * BLOCK, min((number + 1) * BLOCK, file.size))
            index.blocks.append(BlockFacts.of(block))
        is_whole = len(index.blocks) >= whole
        self._growing = None if is_whole else (path, index)
        if is_whole or len(index.blocks) % WRITE_BLOCKS < STEP_BLOCKS:
            _write(path, index)
        return True

    def _begun(self, path: Path, file: LogFile) -> BlockIndex:
        """The index as far as it is made."""
        if self._growing is not None and self._growing[0] == path:
            return self._growing[1]
        known = self._indexes.of(file)
        if known is None:
            return BlockIndex(file.mark)
        return BlockIndex(known.mark, list(known.blocks))

    def _forget(self, directory: Path, present: list[LogFile]) -> None:
        """Delete the indexes of files that are gone."""
        if not directory.is_dir():
            return
        wanted = {self._indexes.path_of(file) for file in present}
        for path in directory.iterdir():
            is_left = path.suffix == ".tmp"  # of a process that was killed while it wrote
            if is_left or (path.suffix == SUFFIX and path not in wanted):
                path.unlink(missing_ok=True)


def _write(path: Path, index: BlockIndex) -> None:
    """Put the index in place at once: a reader sees the old one or the new one."""
    make_directories(path.parent, 0o700)
    made = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        made.write_bytes(index.dump())
        made.chmod(0o600)
        give_to_owner(made)
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
