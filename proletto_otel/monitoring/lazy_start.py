"""Starts health checks and alerts when the process serves, or when somebody asks for them.

Importing them at set-up would make a program start a third slower.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from proletto_otel.monitoring.inputs import Inputs
from proletto_otel.runtime.lifecycle import Component

AGAIN_S = 3600.0
"""Interval of the ticker's job; once started it does nothing."""


class LazyStart(Component):
    """Imports and starts on the ticker's thread, or when somebody asks."""

    name = "monitoring"
    gate: threading.RLock

    def __init__(
        self,
        inputs: Inputs,
        bind: Callable[[], list[Component]],
        adopt: Callable[[Component], None],
    ) -> None:
        self._inputs = inputs
        self._bind = bind
        self._adopt = adopt
        self._has_started = False
        self.gate = threading.RLock()

    def begin(self) -> None:
        """Bind and start; the second call does nothing."""
        # The flag is set first: a binding that fails is not tried again with each request.
        with self.gate:
            if not self._has_started:
                self._has_started = True
                for component in self._bind():
                    self._adopt(component)

    def start(self) -> None:
        """Let the ticker begin, once the process serves."""
        # The ticker runs a new job at once, on its thread: the import costs no request its time.
        self._inputs.every(AGAIN_S, "monitoring.begin", self.begin)

    def stop(self, deadline: float) -> None:
        """Do nothing: what was started stops as a component of its own."""

    def forked(self) -> None:
        """A fresh lock; the lifecycle calls `forked` of the adopted components itself."""
        self.gate = threading.RLock()
