"""Wrong tokens by client address, counted by all workers of the host together, in constant memory.

Ten wrong ones within a minute, and no further one of that address is compared until the minute that
began with the first is over. Attempts in that time are not counted, so nothing prolongs it.

One file of 24 kB: 256 groups of four entries. An address belongs to one group and takes its oldest
entry; it is stored as a digest, so no address is refused for what another one did.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import ipaddress
import math
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.core.ownership import give_to_owner

FILE = "attempts"
LIMIT = 10
SECONDS = 60.0
GROUPS, WAYS = 256, 4
ENTRY = struct.Struct("<8sdI4x")
"""Digest of the address, unix time of its first wrong token, how many there were."""
GROUP = ENTRY.size * WAYS
SIZE = GROUP * GROUPS
Entry = tuple[bytes, float, int]


class Attempts:
    """The wrong tokens of the last minute.

    Args:
        directory: The host's state directory; None: this process counts alone.
        now: Unix seconds.
    """

    def __init__(self, directory: Path | None, now: Callable[[], float] = time.time) -> None:
        self._path = directory / FILE if directory is not None else None
        self._now = now
        self._lock = threading.Lock()
        self._alone = bytearray(SIZE if directory is None else 0)

    def wait_s(self, address: str | None) -> int:
        """Seconds until a token of *address* is compared again; 0: now."""
        digest, offset = _where(address)
        now = self._now()
        with suppressed("admin.attempts"):
            for found, began, count in _entries(self._read(offset)):
                if found == digest and count >= LIMIT and 0 <= now - began < SECONDS:
                    return math.ceil(began + SECONDS - now)
        return 0

    def failed(self, address: str | None) -> None:
        """Count a wrong token of *address*."""
        digest, offset = _where(address)
        with self._lock, suppressed("admin.attempts"):
            if self._path is None:
                group, count = _counted(self._read(offset), digest, self._now())
                self._alone[offset : offset + GROUP] = group
            else:
                count = self._count_in_file(offset, digest)
            if count == LIMIT:
                log_rate_limited(
                    "admin.attempts",
                    "admin pages: %d wrong tokens from %s within a minute; it has to wait",
                    LIMIT,
                    address,
                )

    def _read(self, offset: int) -> bytes:
        if self._path is None:
            return bytes(self._alone[offset : offset + GROUP])
        # Opened each time, 15 us beside a request of milliseconds: the file may be removed.
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(file, GROUP, offset)
        finally:
            os.close(file)

    def _count_in_file(self, offset: int, digest: bytes) -> int:
        assert self._path is not None
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            give_to_owner(self._path)
            _lock(file)
            group, count = _counted(os.pread(file, GROUP, offset), digest, self._now())
            os.pwrite(file, group, offset)
            return count
        finally:
            os.close(file)  # frees the lock


def _where(address: str | None) -> tuple[bytes, int]:
    """The digest of *address*, and where its group begins; networks of IPv6 count as one."""
    name = address or ""
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(name)
        if isinstance(parsed, ipaddress.IPv6Address):
            mapped = parsed.ipv4_mapped
            # A home gets a /64 at least: any of its addresses is the same client.
            name = str(mapped or ipaddress.ip_network((int(parsed), 64), strict=False))
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=9).digest()
    return digest[:8], digest[8] % GROUPS * GROUP


def _entries(group: bytes) -> list[Entry]:
    """What *group* holds; an empty or torn one holds nothing."""
    whole = group[:GROUP].ljust(GROUP, b"\0")
    return [(digest, began, count) for digest, began, count in ENTRY.iter_unpack(whole)]


def _counted(group: bytes, digest: bytes, now: float) -> tuple[bytes, int]:
    """*group* with one more wrong token; and how many the address has now."""
    entries = [e if 0 <= now - e[1] < SECONDS else (b"", 0.0, 0) for e in _entries(group)]
    index = next((i for i, entry in enumerate(entries) if entry[0] == digest), -1)
    if index < 0:
        index = min(range(WAYS), key=lambda i: entries[i][1])
        entries[index] = (digest, now, 0)
    _, began, count = entries[index]
    entries[index] = (digest, began, count + 1)
    return b"".join(ENTRY.pack(*entry) for entry in entries), count + 1


def _lock(file: int) -> None:
    """Lock *file* if that is possible soon; a process that was stopped must not stop a request."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.001)
