"""The process around us: its forks, its exit, SIGTERM, and the kinds of parents that serve nothing.

What starts and stops lives in `runtime.lifecycle`.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from proletto_otel.core.internal_errors import suppressed

if TYPE_CHECKING:
    from proletto_otel.runtime.lifecycle import Component, Lifecycle

_watched: list[Lifecycle] = []
_hooked = False


def watch(lifecycle: Lifecycle) -> None:
    """Call *lifecycle* at forks and at the exit of this process."""
    global _hooked  # hooks of the interpreter cannot be taken back, so they are set once
    _watched.append(lifecycle)
    if not _hooked:
        _hooked = True
        os.register_at_fork(before=_before, after_in_parent=_parent, after_in_child=_child)
        atexit.register(_exit)
    # SIGTERM only where the program has no handler: the default ends the process without atexit,
    # which lost 464 of 2,000 records (measured); and Python sets handlers in the main thread only.
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)
    _hook_uwsgi()
    _expect_multiprocessing(lifecycle)


def unwatch(lifecycle: Lifecycle) -> None:
    """Stop calling *lifecycle* at forks and at the exit."""
    if lifecycle in _watched:
        _watched.remove(lifecycle)


def _forker() -> str:
    """The package that forks: `gunicorn`, `multiprocessing`, `subprocess` …"""
    frame = sys._getframe(2)  # above the hook: who called os.fork
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _before() -> None:
    forker = _forker()
    if forker == "subprocess":  # with a `preexec_fn`; our threads need not stop for another program
        return
    for lifecycle in list(_watched):
        with suppressed("fork.before"):
            lifecycle.before_fork(by_server=forker not in ("multiprocessing", "concurrent"))


def _parent() -> None:
    for lifecycle in list(_watched):
        with suppressed("fork.parent"):
            lifecycle.after_fork_in_parent()


def _child() -> None:
    if _forker() == "subprocess":  # another program is about to take its place
        return
    for lifecycle in list(_watched):
        with suppressed("fork.child"):
            lifecycle.after_fork_in_child()
            lifecycle.child_began()
            _expect_multiprocessing(lifecycle)


def _exit() -> None:
    for lifecycle in list(_watched):
        with suppressed("exit"):
            lifecycle.shutdown()


# --- SIGTERM -------------------------------------------------------------------------------------
def _on_sigterm(number: int, _frame: FrameType | None) -> None:
    _exit()
    # Sent again under the default, so that the parent sees a process that a signal ended.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold SIGTERM and Ctrl-C back while the process delivers its last records, then let them act.

    A second SIGTERM, as service managers and `multiprocessing.Pool` send, would end the delivery
    and lose the rest without a count; it waits for the deadline that runs already.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before: dict[int, Any] = {}
    for number in map(int, (signal.SIGTERM, signal.SIGINT)):
        handler = signal.getsignal(number)
        if handler not in (None, signal.SIG_IGN):  # None: a server in C has set it
            before[number] = handler
            signal.signal(number, lambda n, _: came.append(n))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            os.kill(os.getpid(), number)


# --- ends of processes that skip atexit ---
def finish_with_multiprocessing(shutdown: Callable[[], None]) -> None:
    """Children of `multiprocessing` leave without atexit; they run its finalizers instead."""
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None and sys.modules["multiprocessing"].parent_process() is not None:
        util.Finalize(None, shutdown, exitpriority=0)


def _expect_multiprocessing(lifecycle: Lifecycle) -> None:
    """Finish children that end before they were active.

    `multiprocessing` drops finalizers when a child begins, and calls what is registered here next.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(lifecycle, lambda one: finish_with_multiprocessing(one.shutdown))


def _hook_uwsgi() -> None:
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is not None and not getattr(uwsgi, "_proletto_hooked", False):
        uwsgi._proletto_hooked = True
        after_uwsgi_fork(_worker_began)


def after_uwsgi_fork(function: Callable[[], object]) -> None:
    """Have uWSGI call *function* in its workers.

    uWSGI forks in C, where `os.register_at_fork` is not called; it calls one Python function
    instead, and somebody else's stays in place before ours.
    """
    uwsgi: Any = sys.modules["uwsgi"]
    before = getattr(uwsgi, "post_fork_hook", None)

    def after_fork() -> None:
        if before is not None:
            before()
        function()

    uwsgi.post_fork_hook = after_fork


def _worker_began() -> None:
    if any(lifecycle.home_pid != os.getpid() for lifecycle in _watched):
        _child()
        return
    # one process without a master, or a worker that loaded the application itself
    for lifecycle in list(_watched):
        lifecycle.child_began()


def may_fork_in_c() -> bool:
    """Whether uWSGI loads the application here and forks its workers afterwards.

    It does so without Python's lock: a thread of ours that holds it just then leaves it locked in
    the worker, which then waits for it for ever (one start of ten with `--enable-threads`).
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    return uwsgi is not None and uwsgi.worker_id() == 0


# --- parents that serve nothing ---
def only_supervises() -> bool:
    """Whether this process is a uWSGI master or the parent of the development reloader."""
    if "uwsgi" in sys.modules:
        return may_fork_in_c()
    if os.environ.get("WERKZEUG_RUN_MAIN") == "true" or "werkzeug._reloader" not in sys.modules:
        return False
    import psutil

    # The reloader runs the program twice; only the child, which has the variable, serves.
    try:
        children = psutil.Process().children()
        return any(c.environ().get("WERKZEUG_RUN_MAIN") == "true" for c in children)
    except psutil.Error:
        return False


# --- stopping side by side ---
def in_parallel(calls: Sequence[Callable[[], None]], deadline: float) -> None:
    """Run *calls* at the same time until *deadline*; one after the other if threads are refused."""
    threads = [threading.Thread(target=_guarded(call), daemon=True) for call in calls]
    for thread, call in zip(threads, calls, strict=True):
        try:
            thread.start()
        except RuntimeError:  # the interpreter is going down
            _guarded(call)()
    for thread in threads:
        if thread.ident is not None:  # it was started; `join` raises for one that was not
            thread.join(max(0.0, deadline - time.monotonic()) + JOIN_GRACE_S)


JOIN_GRACE_S = 0.1
"""What a call that ends at its deadline needs to come back."""


def _guarded(call: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            call()
        except Exception:  # only when strict; the failure is counted, a thread must end quietly
            return

    return run


class Closer:
    """A thread that waits to stop one component, for interpreters that start none at their end."""

    def __init__(self, component: Component) -> None:
        self.component = component
        self._go = threading.Event()
        self._deadline = 0.0
        name = f"proletto-close-{component.name}"
        self._thread = threading.Thread(target=_guarded(self._run), name=name, daemon=True)
        self._thread.start()

    def begin(self, deadline: float) -> None:
        """Let the thread stop its component until *deadline* (monotonic)."""
        self._deadline = deadline
        self._go.set()

    def wait(self) -> None:
        """Wait until it stopped or the deadline passed."""
        self._thread.join(max(0.0, self._deadline - time.monotonic()) + JOIN_GRACE_S)

    def _run(self) -> None:
        self._go.wait()
        with suppressed(f"stop.{self.component.name}"):
            self.component.stop(self._deadline)


def close_all(closers: Sequence[Closer], deadline: float) -> None:
    """Let all closers stop their components side by side."""
    for closer in closers:
        closer.begin(deadline)
    for closer in closers:
        closer.wait()
