"""Programs run in interpreters of their own: forks, signals and exits are real there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
PROLOGUE = '''
import os, signal, sys, threading, time
from proletto_otel.runtime.lifecycle import Component, Lifecycle

def say(*words):
    os.write(1, (" ".join(str(w) for w in words) + "\\n").encode())

class Part(Component):
    """Says what happens to it, and in which process: the first one is called `parent`."""

    home = os.getpid()

    def __init__(self, name="part"):
        self.name = name
        self.gate = threading.RLock()

    def where(self):
        return "parent" if os.getpid() == self.home else "child"

    def start(self):
        say(self.name, "start", self.where())

    def stop(self, deadline):
        say(self.name, "stop", self.where())

    def forked(self):
        self.gate = threading.RLock()
        say(self.name, "forked", self.where())
'''


FORKS = "ignore:This process:DeprecationWarning"
"""Python 3.12 and later warn of a fork beside threads, which is what the programs are about."""


def pythons() -> list[str]:
    """This interpreter, and every other supported one that is installed."""
    names = ["python3.10", "python3.11", "python3.12", "python3.13"]
    others = [found for name in names if (found := shutil.which(name))]
    return [sys.executable, *(path for path in others if _works(path))]


def _works(python: str) -> bool:
    done = subprocess.run([python, "-c", "pass"], capture_output=True, check=False)
    return done.returncode == 0


def begin(body: str, python: str = sys.executable, *arguments: str) -> subprocess.Popen[str]:
    """Start *body* after the prologue."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WERKZEUG")}
    return subprocess.Popen(
        [python, "-W", FORKS, *arguments, "-c", PROLOGUE + body],
        env=environment | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(body: str, python: str = sys.executable, *arguments: str) -> list[str]:
    """Run *body* to its end; what it said, and nothing on stderr."""
    program = begin(body, python, *arguments)
    try:
        out, err = program.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        program.kill()
        raise
    assert err == ""
    assert program.returncode == 0
    return out.splitlines()


def run_until(body: str, word: str, then: Callable[[subprocess.Popen[str]], None]) -> list[str]:
    """Run *body*; when it says *word* do *then*; return all it said, its exit status last."""
    program = begin(body)
    said: list[str] = []
    guard = __import__("threading").Timer(20, program.kill)
    guard.start()
    assert program.stdout is not None
    for line in program.stdout:
        said.append(line.strip())
        if said[-1] == word:
            then(program)
    status = program.wait()
    guard.cancel()
    assert program.stderr is not None
    assert program.stderr.read() == ""
    program.stdout.close()
    program.stderr.close()
    return [*said, str(status)]


def terminate(program: subprocess.Popen[str]) -> None:
    """SIGTERM."""
    program.send_signal(signal.SIGTERM)
