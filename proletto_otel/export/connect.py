"""Opening a socket within a time limit that includes resolving the name.

The system's resolver waits 5 to 30 s by itself and takes no other limit, so each name is resolved
in a thread of its own, and a caller goes on without the answer when its time is over.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


class _LookUp(threading.Thread):
    """Thread that resolves one name."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(name="proletto-look-up", daemon=True)
        self._question = (host, port)
        self.found: Sequence[Address] = ()
        self.error: OSError | None = None

    def is_orphan(self) -> bool:
        """Whether it will never answer: its thread stayed in the parent of a fork."""
        return not (self.is_alive() or self.found or self.error)

    def run(self) -> None:
        try:
            self.found = _ask(*self._question)
        except OSError as error:
            self.error = error
        except UnicodeError:  # a label is longer than a name may be
            self.error = socket.gaierror(socket.EAI_NONAME, "not a host name")


_under_way: dict[tuple[str, int], _LookUp] = {}


def _ask(host: str, port: int) -> Sequence[Address]:
    # As bytes where that is possible: a text is encoded as IDNA, of which the tables are imported
    # for it, 0.24 MB in each worker.
    name = host.encode("ascii") if host.isascii() else host
    return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)


def addresses(host: str, port: int, timeout_s: float) -> Sequence[Address]:
    """The addresses of a host.

    Raises:
        TimeoutError: the resolver has not answered yet; ask again later.
        socket.gaierror: the name is unknown.
    """
    # The resolver is not asked for these, so no thread is needed.
    if _is_quick(host):
        return _ask(host, port)
    # One thread for a name, also when it takes longer than a caller waits: the next caller waits
    # for the same answer, so a dead resolver holds one thread and not one for each attempt.
    key = (host, port)
    question = _under_way.get(key)
    if question is None or question.is_orphan():
        question = _under_way[key] = _LookUp(host, port)
        try:
            question.start()
        except RuntimeError:  # no new threads while the interpreter goes down
            return _ask(host, port)
    question.join(timeout_s)
    if question.is_alive():
        raise TimeoutError("the name was not resolved in time")
    _under_way.pop(key, None)
    if question.error is not None:
        raise question.error
    return question.found


def _is_quick(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def connect(host: str, port: int, connect_s: float, answer_s: float) -> socket.socket:
    """Connect within about *connect_s*; the socket then waits *answer_s* for each answer.

    Raises:
        OSError: no address of the host answered.
    """
    deadline = time.monotonic() + connect_s
    last: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in addresses(host, port, connect_s):
        connection = socket.socket(family, kind, protocol)
        try:
            # One deadline for all addresses: a host with an unreachable IPv6 address and a dead
            # IPv4 one would otherwise take the time twice. 0 would mean "do not block".
            connection.settimeout(max(0.05, deadline - time.monotonic()))
            connection.connect(address)
        except OSError as error:
            connection.close()
            last = error
            continue
        connection.settimeout(answer_s)
        return connection
    raise last
