"""A sink with a thread of its own: starting, finishing within a budget, forking.

What the thread does at each turn is the subclass's business: `queued` delivers batches,
`slack` tells people.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from opentelemetry import context as otel
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from proletto_otel.core.internal_errors import failed
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.core.redaction.sanitise import get as sanitiser
from proletto_otel.logs.pipeline import console_only
from proletto_otel.logs.sinks.sink import Sink
from proletto_otel.runtime.circuit_breaker import Breaker
from proletto_otel.runtime.waker import Waker

MAX_ERROR = 300
"""Characters of a peer's error that are shown."""
POLL_S = 0.01


class ThreadedSink(Sink):
    """Runs `turn` on a daemon thread until it is stopped."""

    queued = True

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        """No thread runs and nothing waits: what waits in the parent is the parent's."""
        self._wake = Waker()
        self._settling = threading.Lock()
        self._thread: threading.Thread | None = None
        self._breaker = Breaker()
        self._deadline: float | None = None
        self._abandoned = False
        self.last_error = ""

    # --- for subclasses ------------------------------------------------------------------------
    @property
    def pending(self) -> int:
        """Records waiting or under way."""
        raise NotImplementedError

    def begun(self) -> None:
        """The thread starts: prepare what can be prepared; a failure shows again when it counts."""

    def turn(self) -> None:
        """Do what is due, or sleep a little (`self._wake.wait`)."""
        raise NotImplementedError

    def forget(self) -> None:
        """Empty what waits; it was counted as lost."""
        raise NotImplementedError

    def ended(self) -> None:
        """The thread ends: give connections back."""

    def fault(self, why: str) -> None:
        """Show *why* in the status, without secrets."""
        self.last_error = sanitiser().text(why[:2000])[:MAX_ERROR]

    def status(self) -> dict[str, Any]:
        """Health for people, and how many records wait."""
        return {**super().status(), "pending": self.pending}

    # --- component -----------------------------------------------------------------------------
    def start(self) -> None:
        """Start the thread."""
        if self._thread is None or not self._thread.is_alive():
            self._deadline, self._abandoned = None, False
            name = f"proletto-{self.name}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def flush(self, deadline: float) -> bool:
        """Wait until nothing waits; False at *deadline*, or when the peer is away for longer."""
        while self.pending and time.monotonic() < deadline:
            if self._thread is None or time.monotonic() + self._breaker.wait_s() > deadline:
                return False
            self._wake.set()
            time.sleep(POLL_S)
        return not self.pending

    def stop(self, deadline: float) -> None:
        """Finish until *deadline*, count the rest as lost by the shutdown."""
        self._deadline = deadline
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._settling:
            self._abandoned = True
            left = self.pending
            self.forget()
        if left:
            ledger.dropped(self.name, "shutdown", left)

    @property
    def ending(self) -> bool:
        """Whether the sink was asked to stop."""
        return self._deadline is not None or self._abandoned

    # --- the thread ----------------------------------------------------------------------------
    def _run(self) -> None:
        otel.attach(otel.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        with console_only():
            self._prepare()
            while not self.ending or self._may_finish():
                self._guarded_turn()
            try:
                self.ended()
            except Exception as error:
                failed(f"{self.name}.ended", error)

    def _prepare(self) -> None:
        try:
            self.begun()
        except Exception as error:
            self.fault(f"{type(error).__name__}: {error}")

    def _may_finish(self) -> bool:
        deadline = self._deadline
        return (
            bool(self.pending)
            and not self._abandoned
            and deadline is not None
            and time.monotonic() + self._breaker.wait_s() < deadline
        )

    def _guarded_turn(self) -> None:
        try:
            self.turn()
        except BaseException as error:  # the thread must live
            failed(f"{self.name}.thread", error)
            time.sleep(POLL_S)
