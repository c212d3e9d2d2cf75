"""A call after some seconds, on a thread that a later patch of gevent does not break."""

from __future__ import annotations

import _thread
import time
from collections.abc import Callable

from proletto_otel.core.internal_errors import suppressed

# Both from one time, before or after gevent's patch: a thread sleeps, or a greenlet does.
_sleep, _start_thread = time.sleep, _thread.start_new_thread


def call_after(seconds: float, function: Callable[[], object]) -> None:
    """Call *function* in *seconds*; the exit of the process does not wait for it.

    Raises:
        RuntimeError: no thread can be started.
    """
    # Not `threading.Timer`: gunicorn's gevent worker patches `threading` after the fork, and each
    # thread of that module which runs meanwhile (--preload) ends with a KeyError in `_delete`,
    # which was reported as CRITICAL.
    _start_thread(_wait_and_call, (seconds, function))


def _wait_and_call(seconds: float, function: Callable[[], object]) -> None:
    _sleep(seconds)
    with suppressed("delayed_call"):
        function()
