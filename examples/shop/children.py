"""Child processes of the demo: started with their output in a file, ended by their process ID."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from urllib.error import URLError
from urllib.request import urlopen

GRACE_S = 4.0
"""Time a child has to end by itself."""
START_S = 120.0
"""Time the shop has to answer for the first time."""


class Failed(Exception):
    """A child did not start; the text says why, with the end of its output."""


class Child:
    """One process in a group of its own, so that Ctrl-C reaches it through us and in order."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.process.terminate()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def failure(self, why: str) -> Failed:
        """An error that carries the last lines the child printed."""
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return Failed("\n  ".join([f"the {self.name} {why}; {self.log} ends with", *lines]))


def wait_until_answering(url: str, child: Child, end: threading.Event) -> None:
    """Return when *url* answers or the user wants to end.

    Raises:
        Failed: when the child ended, or did not answer in `START_S`.
    """
    deadline = time.monotonic() + START_S
    while not end.is_set():
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            pass
        if child.process.poll() is not None:
            raise child.failure("ended")
        if time.monotonic() > deadline:
            raise child.failure("does not answer")
        end.wait(0.1)
