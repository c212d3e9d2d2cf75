"""A server on a free port: asking it, and what CPU time it takes."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import psutil

with socket.create_server(("127.0.0.1", 0)) as _probe:
    PORT = _probe.getsockname()[1]
    """A free one."""
BASE = f"http://127.0.0.1:{PORT}"


def ask(path: str) -> float | None:
    """Milliseconds until the answer, whatever it says; None: nobody answers."""
    began = time.perf_counter()
    try:
        urllib.request.urlopen(BASE + path, timeout=60).read()
    except urllib.error.HTTPError as error:
        error.read()
    except OSError:
        return None
    return (time.perf_counter() - began) * 1000


def keep_asking(path: str, stop: threading.Event, pause_s: float) -> None:
    """Ask until the end."""
    while not stop.wait(pause_s):
        ask(path)


def cpu_of(server: psutil.Process, wait: Callable[[], object]) -> float:
    """CPU seconds that the server's processes take in a second while *wait* runs."""

    def taken() -> float:
        found = (p.cpu_times() for p in [server, *server.children(recursive=True)])
        return sum(times.user + times.system for times in found)

    before, began = taken(), time.monotonic()
    wait()
    return (taken() - before) / (time.monotonic() - began)
