"""A call after some seconds, on a thread that a later patch of gevent does not break."""

from __future__ import annotations

import _thread
import sys
import time
from collections.abc import Callable
from importlib import import_module

from proletto_otel.core.internal_errors import suppressed

PATCHED = "GeventDidPatchAllEvent"


def call_after(seconds: float, function: Callable[[], object]) -> None:
    """Call *function* in *seconds*; the exit of the process does not wait for it.

    gunicorn's gevent worker patches `threading` after the fork, with `--preload` after this call.
    Threads that *function* starts would be greenlets then, of a thread that ends with *function*:
    they would never run. So a greenlet of the thread that patched calls it, in *seconds* from then.

    Raises:
        RuntimeError: no thread can be started.
    """
    # Not `threading.Timer`: a thread of that module which runs while it is patched ends with a
    # KeyError in `_delete`, which was reported as CRITICAL.
    _thread.start_new_thread(_wait_and_call, (seconds, function, *_ways()))
    _call_when_patched(seconds, function)


def _ways() -> tuple[object, Callable[[float], object]]:
    # Both from one time, before or after the patch: a thread sleeps, or a greenlet does.
    return _thread.start_new_thread, time.sleep


def _wait_and_call(
    seconds: float, function: Callable[[], object], started_by: object,
    sleep: Callable[[float], object],
) -> None:  # fmt: skip
    sleep(seconds)
    if _thread.start_new_thread is started_by:  # else patched meanwhile
        with suppressed("delayed_call"):
            function()


def _call_when_patched(seconds: float, function: Callable[[], object]) -> None:
    if "gevent" not in sys.modules:
        return
    events = import_module("gevent.events")
    known = _thread.start_new_thread

    def heard(event: object) -> None:
        nonlocal known
        if type(event).__name__ == PATCHED and _thread.start_new_thread is not known:
            # Once. It stays in the list, which gevent is going through: the next would be left out.
            known = _thread.start_new_thread
            _thread.start_new_thread(_wait_and_call, (seconds, function, *_ways()))

    events.subscribers.append(heard)
