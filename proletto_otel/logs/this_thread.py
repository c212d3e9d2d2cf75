"""What the current thread is doing that its log records must know of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Thread(threading.local):
    """What a thread is doing that its log records must know of.

    No ContextVar: a finalizer may log, and CPython 3.10 and 3.11 do not survive one that sets a
    variable while the garbage collector runs inside another `set`.
    """

    console_only = False
    in_foreign_handler = False
    """A handler of others has a record of our logger now; see `logs.api.foreign_handlers`."""
    printing = False
    """The console writes to a stream that somebody put in the place of standard output."""
    looped = False
    """What was printed came back as a log record: that stream writes into the log."""


this_thread = _Thread()


@contextmanager
def console_only() -> Iterator[None]:
    """Records made inside go to the console only: exporters and sinks wrap their sending in it."""
    # The value from before, not False: sending may happen inside of sending.
    before, this_thread.console_only = this_thread.console_only, True
    try:
        yield
    finally:
        this_thread.console_only = before
