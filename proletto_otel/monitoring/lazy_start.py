"""Health and alerts that begin late: a third of a program's start otherwise went into them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from proletto_otel.monitoring.inputs import Inputs

AGAIN_S = 3600.0
"""The ticker asks again so often; what has begun has nothing to do."""


class LazyStart:
    """Imports and begins on the ticker's thread, or when somebody asks."""

    name = "monitoring"

    def __init__(
        self, sources: Inputs, bind: Callable[[], list[Any]], adopt: Callable[[Any], None]
    ) -> None:
        self._sources = sources
        self._bind = bind
        self._adopt = adopt
        self._begun = False
        self.gate = threading.RLock()

    def begin(self) -> None:
        """Bind and start; again does nothing."""
        with self.gate:
            if not self._begun:
                self._begun = True
                for component in self._bind():
                    self._adopt(component)

    def start(self) -> None:
        """Let the ticker begin, once the process serves."""
        self._sources.every(AGAIN_S, "monitoring.begin", self.begin)

    def stop(self, deadline: float) -> None:
        """Nothing of its own runs."""

    def forked(self) -> None:
        """A fresh lock; what has begun is told by the lifecycle."""
        self.gate = threading.RLock()
