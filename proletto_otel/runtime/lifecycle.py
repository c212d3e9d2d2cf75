"""When telemetry starts and stops: in the process that serves, once, and within a budget.

Set-up only records. Threads, sockets and locks begin in `activate`, which the first request, a
server's hook, the program itself or a timer calls. What a fork and an exit need lives in
`runtime.process_hooks`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.runtime import process_hooks
from proletto_otel.runtime.delayed_call import call_after

GATE_WAIT_S = 1.0
"""Longest time a fork waits for our threads to finish what must not be torn."""
LOCK_WAIT_S = 0.5
"""Longest time an end waits for a start under way: a server in C may end the process in the very
thread that is being started, and who starts it would wait for that thread for ever."""
LAST_S = 0.5
"""Share of the shutdown's budget for components that stop when the others have (`stops_last`)."""
NO_THREADS_AT_EXIT = sys.version_info >= (3, 12)
"""Since 3.12 no thread can be started once the interpreter is going down."""

_getpid = os.getpid


class Gate(Protocol):
    """The part of `threading.RLock` that a fork needs."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; whether it was free within *timeout* seconds."""

    def release(self) -> None:
        """Release the lock."""


class Component:
    """A part that starts and stops with the process.

    Parts inherit from this class and override what they need; the defaults do nothing.
    """

    name: str
    """Under which its failures are counted."""

    stops_last: bool = False
    """True for what the others still need while they stop."""

    gate: Gate | None = None
    """Lock that its threads hold while they do what a fork must not tear."""

    def start(self) -> None:
        """Start threads and connections, in the process that serves."""

    def stop(self, deadline: float) -> None:
        """Finish until *deadline* (monotonic), count what could not be finished."""

    def flush(self, deadline: float) -> bool:
        """Deliver what is held until *deadline* (monotonic); whether all of it was delivered."""
        return True

    def gather(self) -> None:
        """Count what is finished but not yet counted; called before a flush, a stop, a reading."""

    def forked(self) -> None:
        """Reset in a child: new locks, empty queues, no inherited connection."""


class Lifecycle:
    """Starts, stops and forks all components together.

    Args:
        components: In the order in which they start; they stop all at the same time.
            `add` takes more.
        auto_seconds: An idle process activates by itself after this time.
        shutdown_timeout_s: Budget of an exit that nobody gave one.
        fresh: Called in a child before the components, to zero what it inherited.
    """

    def __init__(
        self,
        components: Sequence[Component] = (),
        *,
        auto_seconds: float = 3.0,
        shutdown_timeout_s: float = 5.0,
        fresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._components = list(components)
        self.shutdown_timeout_s = shutdown_timeout_s
        self._auto_seconds = auto_seconds
        self._fresh = fresh
        self._lock = threading.RLock()
        self.home_pid = _getpid()
        self._active_in = 0
        self._closed = False
        self._has_forked = False
        self._held: list[Gate] = []
        self._closers: list[process_hooks.Closer] = []

    @property
    def active(self) -> bool:
        """Whether the components run in this process."""
        return self._active_in == _getpid()

    def begin(self) -> None:
        """Watch forks and exits of the process, and activate by itself after a while."""
        process_hooks.watch(self)
        self._wait_and_activate()

    def add(self, *components: Component) -> None:
        """Take in more components; they start now if the others have."""
        with self._lock:
            for component in components:
                self._components.append(component)
                if self.active:
                    self._start(component)

    def ensure(self) -> None:
        """Activate if this process is not active yet; costs one comparison when it is."""
        # A pid and no flag: a child of a fork without Python's hooks (uWSGI) inherits the flag.
        if self._active_in != _getpid():
            self.activate()

    def activate(self) -> None:
        """Start all components in this process; again does nothing."""
        with self._lock:
            if self._closed or self.active:
                return
            if self.home_pid != _getpid():
                self.after_fork_in_child()  # a C-level fork (uWSGI) ran no Python hook
            self._active_in = _getpid()
            process_hooks.finish_with_multiprocessing(self.shutdown)
            for component in list(self._components):
                self._start(component)

    def _start(self, component: Component) -> None:
        with suppressed(f"start.{component.name}"):
            component.start()
        if NO_THREADS_AT_EXIT:
            # Its thread starts now, because none can be started at the end.
            self._closers.append(process_hooks.Closer(component))

    def flush(self, timeout_s: float) -> bool:
        """Let every component deliver what it holds; whether all did in time."""
        deadline = time.monotonic() + timeout_s
        self.gather()
        # A thread for each that holds something: every thread that allocates keeps some memory of
        # its own for the next one.
        components = [c for c in self._components if type(c).flush is not Component.flush]
        done: list[bool] = []

        def flush(component: Component) -> None:
            with suppressed(f"flush.{component.name}"):
                done.append(component.flush(deadline))

        process_hooks.in_parallel([partial(flush, c) for c in components], deadline)
        return len(done) == len(components) and all(done)

    def shutdown(self, timeout_s: float | None = None) -> None:
        """Stop all components side by side, within one budget; again does nothing.

        A process that ends before it was active has records to deliver all the same. A signal that
        comes meanwhile waits.
        """
        with process_hooks.signals_held():
            # Without the lock the two assignments are made all the same: see `LOCK_WAIT_S`.
            held = self._lock.acquire(timeout=LOCK_WAIT_S)
            was_closed, self._closed = self._closed, True
            self._active_in = 0
            if held:
                self._lock.release()
            process_hooks.unwatch(self)
            if was_closed:
                return
            self.gather()
            budget = self.shutdown_timeout_s if timeout_s is None else timeout_s
            deadline = time.monotonic() + budget
            self._stop_all([c for c in self._components if not c.stops_last], deadline - LAST_S)
            self._stop_all([c for c in self._components if c.stops_last], deadline)

    def gather(self) -> None:
        """Let every component count what is finished, before numbers are read or sent."""
        for component in list(self._components):
            with suppressed(f"gather.{component.name}"):
                component.gather()

    def _stop_all(self, components: Sequence[Component], deadline: float) -> None:
        closers = [c for c in self._closers if c.component in components]
        if closers:
            process_hooks.close_all(closers, deadline)
            return

        def stop(component: Component) -> None:
            with suppressed(f"stop.{component.name}"):
                component.stop(deadline)

        # Side by side: a component that waits for a dead peer until the deadline leaves the others
        # their whole time (the stock SDK took 30.1 s to exit beside a dead collector; ours 0.7 s).
        process_hooks.in_parallel([partial(stop, c) for c in components], deadline)

    # --- forks ---------------------------------------------------------------------------------
    def before_fork(self, by_server: bool = True) -> None:
        """Wait, bounded, until no thread of ours is in the middle of a write.

        Args:
            by_server: Whether a server forks its workers; then this process serves nothing itself.
        """
        self._has_forked = self._has_forked or by_server
        if not self.active:
            return
        # A child gets a copy of the memory and of every lock as they are now, but not the threads:
        # a line half written would be written again, and a lock that one of them holds never freed.
        deadline = time.monotonic() + GATE_WAIT_S
        for component in self._components:
            gate = component.gate
            if gate is not None and gate.acquire(timeout=max(0.0, deadline - time.monotonic())):
                self._held.append(gate)

    def after_fork_in_parent(self) -> None:
        """Release the locks that `before_fork` took."""
        while self._held:
            self._held.pop().release()

    def after_fork_in_child(self) -> None:
        """Begin afresh: nothing of the parent is sent, counted or locked here."""
        # New locks instead of released ones: the thread that holds the old ones is not here.
        self._lock = threading.RLock()
        self.home_pid, self._active_in, self._has_forked = _getpid(), 0, False
        self._held, self._closers = [], []
        if self._closed:
            return
        with suppressed("fork.fresh"):
            self._fresh()
        for component in self._components:
            with suppressed(f"fork.{component.name}"):
                component.forked()

    def child_began(self) -> None:
        """A child that serves nothing yet activates by itself, too."""
        if not self._closed:
            self._wait_and_activate()

    # --- by itself -----------------------------------------------------------------------------
    def _wait_and_activate(self) -> None:
        # A worker without traffic sends its heartbeat all the same. Not at once: a server that
        # loads the application before it forks (gunicorn --preload) would fork beside our threads.
        if process_hooks.may_fork_in_c():  # its workers call `child_began`
            return
        with suppressed("activate.timer"):
            call_after(self._auto_seconds, self._auto_activate)

    def _auto_activate(self) -> None:
        if not (self._closed or self._has_forked or process_hooks.only_supervises()):
            self.activate()
