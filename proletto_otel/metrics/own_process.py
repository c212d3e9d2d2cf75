"""This process as Linux describes it in /proc: what psutil would say of it, without importing that.

psutil takes 1 MB of each worker. The host's values need it, and one worker of a host reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TABLES = ("tcp", "tcp6", "udp", "udp6")
"""Tables of sockets in /proc/net; without IPv6 two are missing."""
INODE = 9
"""Column of the socket's inode in each of them."""


class OwnProcess:
    """The functions of `psutil.Process` that a worker asks for, of the process that calls them."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    def cpu_times(self) -> os.times_result:
        """Seconds of processor time of all threads: `user`, `system`."""
        return os.times()

    def memory_info(self) -> SimpleNamespace:
        """Resident memory in bytes: `rss`."""
        with open("/proc/self/statm", "rb") as file:
            return SimpleNamespace(rss=int(file.read().split()[1]) * PAGE_BYTES)

    def num_threads(self) -> int:
        """Number of threads."""
        return len(os.listdir("/proc/self/task"))

    def num_fds(self) -> int:
        """Number of open files and sockets."""
        return len(os.listdir("/proc/self/fd"))

    def net_connections(self, kind: str) -> set[bytes]:
        """One item for each TCP and UDP socket, which is what *kind* `inet` means."""
        own, found = set(_sockets()), set[bytes]()
        if not own:  # no need to walk through the host's tables
            return found
        for table in TABLES:
            with suppress(FileNotFoundError), open(f"/proc/self/net/{table}", "rb") as file:
                next(file, b"")  # the heading
                found.update(own.intersection(line.split()[INODE] for line in file))
        return found


def _sockets() -> Iterator[bytes]:
    """The inodes of the open sockets, as /proc/net writes them."""
    for descriptor in os.listdir(b"/proc/self/fd"):
        with suppress(OSError):  # closed meanwhile
            kind, _, inode = os.readlink(b"/proc/self/fd/" + descriptor).partition(b":[")
            if kind == b"socket":
                yield inode[:-1]
