"""Calls that wait while gevent patches the process: each comes, once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.waiting import PATIENCE_S

PROGRAM = """
import gevent, time
from proletto_otel.runtime.delayed_call import call_after
called = []
for name in "abc":
    call_after(0.2, lambda name=name: called.append(name))
from gevent import monkey
monkey.patch_all()
time.sleep(1.5)
print("".join(sorted(called)))
"""


def test_each_call_survives_the_patch() -> None:
    """None is left out, whichever hears of it first."""
    pytest.importorskip("gevent")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=PATIENCE_S
    )

    assert "abc\n" == done.stdout, done.stderr
