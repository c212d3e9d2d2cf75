"""Set-up by itself, for a program that logs and never calls `setup_telemetry`.

It comes some seconds after the first record, or at the end of a process that ends before; what was
logged until then reaches files, database and the rest. A program that does call it, even later,
gets what it asks for.
"""

from __future__ import annotations

import atexit
import os

from proletto_otel.core import internal_errors
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.runtime import process_hooks
from proletto_otel.runtime.delayed_call import call_after

WAIT_S = 10.0
"""Time that a program has for its imports between its first record and `setup_telemetry`."""

_expected = False


def expect() -> None:
    """Set up after `WAIT_S` unless the program does; a second call does nothing."""
    global _expected  # hooks of the interpreter cannot be taken back, so they are set once
    # the project's own tests set up, or do not, on purpose
    if _expected or internal_errors.strict:
        return
    _expected = True
    atexit.register(_at_exit)
    # No thread survives a fork, so a child needs a timer of its own.
    os.register_at_fork(after_in_child=_wait)
    if process_hooks.may_fork_in_c():
        process_hooks.after_uwsgi_fork(_wait)
    else:
        _wait()


def _wait() -> None:
    with suppressed("setup.by_itself"):
        call_after(WAIT_S, _set_up)


def _set_up() -> None:
    from proletto_otel.setup import telemetry

    with suppressed("setup.by_itself"):
        telemetry.set_up_by_itself()


def _at_exit() -> None:
    from proletto_otel.setup import telemetry

    if telemetry.current_telemetry() is None:
        _set_up()
        # Nothing else would write the last records: the process has no other hook of ours yet.
        made = telemetry.current_telemetry()
        if made is not None:
            made.shutdown()
