"""Processes under measurement: pinned to one core, and stopped while it is another one's turn."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from environments import python_of

HERE = Path(__file__).resolve().parent
CORES = sorted(os.sched_getaffinity(0))
SUBJECT_CORE, OWN_CORE = CORES[0], CORES[-1]
ANSWER_LIMIT_S = 300
PEERS_QUEUES = {"OTEL_BSP_MAX_QUEUE_SIZE": "60000", "OTEL_BLRP_MAX_QUEUE_SIZE": "60000"}
"""Queues in which peers drop nothing, so that each item is paid for. This library must lose
nothing with its defaults."""
NO_SETTINGS: Mapping[str, str] = {}
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: the signal that a process gets when its parent ends."""


class SubjectFailed(Exception):
    """A configuration ended or answered with a traceback."""


class Subject:
    """One configuration in a process of its own; it stands still between two commands."""

    def __init__(self, name: str, process: subprocess.Popen[str], folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._process = process
        self._answer()

    def ask(self, command: str, **arguments: object) -> Any:
        """Let the process run one command, and stop it again.

        Raises:
            SubjectFailed: the command failed, or there was no answer in time.
        """
        assert self._process.stdin is not None
        os.killpg(self._process.pid, signal.SIGCONT)
        self._process.stdin.write(json.dumps([command, arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        pipe = self._process.stdout
        assert pipe is not None
        ready, _, _ = select.select([pipe], [], [], ANSWER_LIMIT_S)
        reply = json.loads((pipe.readline() if ready else "") or '{"failure": "no answer"}')
        if "failure" in reply:
            output = (self.folder / "output").read_text(errors="replace")
            raise SubjectFailed(f"{self.name}: {reply['failure']}\n{output[-2000:]}")
        os.killpg(self._process.pid, signal.SIGSTOP)
        return reply["answer"]


@contextmanager
def started(
    name: str, folder: Path, receiver: str, settings: Mapping[str, str] = NO_SETTINGS
) -> Iterator[Subject]:
    """The process of one configuration, while the block runs.

    Args:
        name: One of `configurations.CONFIGURATIONS`.
        folder: Where its files go; made here.
        receiver: URL of the server that its telemetry goes to.
        settings: Environment variables beside those that each configuration gets.
    """
    folder.mkdir()
    process = subprocess.Popen(
        [python_of(name), HERE / "subject.py", name],
        env={**environment(name, folder, receiver), **settings}, cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        preexec_fn=pin_to_subject_core, start_new_session=True,
    )  # fmt: skip
    try:
        yield Subject(name, process, folder)
    finally:
        for number in (signal.SIGCONT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        process.wait()


def pin_to_subject_core() -> None:
    """Run in the new process: pin it, and let it end with us."""
    os.sched_setaffinity(0, {SUBJECT_CORE})
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def environment(name: str, folder: Path, receiver: str) -> dict[str, str]:
    """What a configuration is told; nobody's own settings and no proxy get through."""
    kept = {key: value for key, value in os.environ.items() if not foreign(key)}
    return kept | {
        "PYTHONPATH": str(HERE),
        "LOG_DIR": str(folder),
        "PROLETTO_STATE_DIR": str(folder / "state"),
        "PROLETTO_LOG_BACKUPS": "1000",  # the delivery check counts the lines of all files
        "OTEL_SERVICE_NAME": "bench",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver,
        **({} if name.startswith("proletto") else PEERS_QUEUES),
    }


def foreign(variable: str) -> bool:
    """Whether a variable of this environment could change what is measured."""
    ours = ("OTEL_", "PROLETTO_", "LOG_", "MONITOR_", "SENTRY_", "PYTHON")
    return variable.startswith(ours) or variable.lower().endswith("_proxy")
