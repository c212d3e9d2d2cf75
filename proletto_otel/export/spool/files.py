"""One file of the spool: its name, its bytes, how it gets to disk whole or not at all.

Name: `<created, ns>-<items>-<writer>-<number>.otlp`, so that names sort by age and tell what a lost
file cost; a claimed one goes on `.claimed-<unix seconds>-<claimer>`. Rules of sharing, caps and
ages live in `export.spool.spool`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.ownership import give_to_owner
from proletto_otel.core.record import record
from proletto_otel.export.payload import GZIP, Payload

# A file: the magic word with its version (8 bytes), CRC-32 of the payload (4, big-endian), `z` or
# `-` for compressed or not (1), the payload.
_MAGIC = b"OTLPSPL1"
OVERHEAD = len(_MAGIC) + 5
"""Bytes of a file before the payload: magic, checksum, encoding."""
_NAME = lazy_pattern(
    r"(\d{20})-(\d{1,7})-([0-9a-z]+)-(\d+)\.otlp(?:\.claimed-(\d{1,12})-([0-9a-z]+))?"
)
_TEMPORARY = ".tmp-"
_LOCK = ".lock"
# In the lock file: when the spool's directories were read (monotonic seconds, the same for all
# processes of a host), and the bytes that may be written since.
_FREE = struct.Struct("<dq")
LOCK_WAIT_S = 0.2
"""Some writes of others, with their `fsync`."""


@record(frozen=True, slots=True)
class Entry:
    """A file of the spool, by its name."""

    base: str
    """The name without a claim; sorts by age."""

    created_ns: int
    """Unix time."""

    items: int
    """Records inside."""

    claimed_s: int | None = None
    """When somebody took it, unix time; `None` while it is free."""

    claimer: str = ""
    """Who did."""

    size: int = 0
    """Bytes on disk."""

    @property
    def name(self) -> str:
        """The name on disk."""
        if self.claimed_s is None:
            return self.base
        return f"{self.base}.claimed-{self.claimed_s}-{self.claimer}"

    def claimed(self, now_s: float, claimer: str) -> Entry:
        """The same file, claimed by *claimer*."""
        return replace(self, claimed_s=int(now_s), claimer=claimer)

    def released(self) -> Entry:
        """The same file, free again."""
        return replace(self, claimed_s=None, claimer="")


def parse(name: str, size: int = 0) -> Entry | None:
    """Read a file's name; `None` if it is not one of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    created, items, writer, number, at, claimer = found.groups()
    base = f"{created}-{items}-{writer}-{number}.otlp"
    return Entry(base, int(created), int(items), int(at) if at else None, claimer or "", size)


def new_entry(now_s: float, items: int, writer: str, number: int) -> Entry:
    """Name a file that is about to be written."""
    created = max(0, int(now_s * 1e9))
    return Entry(f"{created:020d}-{items}-{writer}-{number}.otlp", created, items)


def is_temporary(name: str) -> bool:
    """Whether this file is still being written, or its writer died."""
    return name.startswith(_TEMPORARY)


def pack(payload: Payload) -> bytes:
    """The bytes of a file."""
    flag = b"z" if payload.encoding == GZIP else b"-"
    return _MAGIC + zlib.crc32(payload.body).to_bytes(4, "big") + flag + payload.body


def unpack(data: bytes, items: int) -> Payload:
    """Read a file's bytes.

    Raises:
        ValueError: if they are not whole.
    """
    body = data[OVERHEAD:]
    check = data[len(_MAGIC) : OVERHEAD - 1]
    if not data.startswith(_MAGIC) or check != zlib.crc32(body).to_bytes(4, "big"):
        raise ValueError("not a whole spool file")
    return Payload(body, items, GZIP if data[OVERHEAD - 1 : OVERHEAD] == b"z" else "")


def write_durably(directory: Path, name: str, data: bytes) -> None:
    """Put a file into *directory*: there as a whole, also after a crash, or not at all.

    Raises:
        OSError: the disk is full, read-only, gone …
    """
    # Content to disk, then the name, then the directory: after a loss of power a file has its whole
    # content or no name. `O_EXCL` and `O_NOFOLLOW`: nobody's link leads the write somewhere else.
    temporary = directory / (_TEMPORARY + name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, 0o600)
    give_to_owner(temporary)
    try:
        try:
            view = memoryview(data)
            while view:  # one `write` may take a part only, as when the disk fills up
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, directory / name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(directory)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[int | None]:
    """Keep other processes from doing the same; after `LOCK_WAIT_S` go on without: `None`.

    A holder that was stopped must not hold up the others: the lock is for a limit, not for safety.
    """
    with contextlib.ExitStack() as stack:
        held = None
        with contextlib.suppress(OSError):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(directory / _LOCK, flags, 0o600)
            stack.callback(os.close, descriptor)
            deadline = time.monotonic() + LOCK_WAIT_S
            # Asked again and again, because `flock` itself takes no time limit.
            while held is None and time.monotonic() < deadline:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    held = descriptor
                except BlockingIOError:
                    time.sleep(0.005)
        yield held


def read_free(lock: int | None, now: float, max_age_s: float) -> tuple[float, int]:
    """When a worker last read all directories, and the bytes free since; 0 if that is too old."""
    with contextlib.suppress(OSError, struct.error):
        if lock is not None:
            read_at, free = _FREE.unpack(os.pread(lock, _FREE.size, 0))
            if 0 <= now - read_at < max_age_s:
                return read_at, free
    return now, 0


def write_free(lock: int | None, read_at: float, free: int) -> None:
    """Tell the next holder of the lock how much it may write without a reading of its own."""
    if lock is not None:
        with contextlib.suppress(OSError):  # disk full: the payload is not written either
            os.pwrite(lock, _FREE.pack(read_at, free), 0)


def _sync_directory(directory: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot; the file itself is there
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
