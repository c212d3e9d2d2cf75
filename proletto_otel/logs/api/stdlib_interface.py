"""What programs do with a `logging.Logger` besides logging: handlers, filters, propagation.

It acts on the standard library's logger of the same name; `foreign_handlers` says what that means
for the records of ours.
"""

from __future__ import annotations

import logging
from typing import Any

from proletto_otel.logs.api.foreign_handlers import stdlib_loggers


class StdlibInterface:
    """Members of `logging.Logger` that have no other meaning on ours."""

    __slots__ = ()

    name: str

    @property
    def _stdlib(self) -> logging.Logger:
        return stdlib_loggers[self.name]

    @property
    def handlers(self) -> list[logging.Handler]:
        """Handlers of others that get this logger's records besides our sinks."""
        return self._stdlib.handlers

    @property
    def filters(self) -> list[Any]:
        """Filters that decide about this logger's records."""
        return self._stdlib.filters

    @property
    def parent(self) -> logging.Logger | None:
        """The standard library's logger above."""
        return self._stdlib.parent

    @property
    def propagate(self) -> bool:
        """Whether handlers above get the records too; our sinks get them in any case."""
        return self._stdlib.propagate

    @propagate.setter
    def propagate(self, value: bool) -> None:
        self._stdlib.propagate = value

    @property
    def disabled(self) -> bool:
        """Whether handlers of others are off; our sinks get the records in any case."""
        return self._stdlib.disabled

    @disabled.setter
    def disabled(self, value: bool) -> None:
        self._stdlib.disabled = value

    def addHandler(self, handler: logging.Handler) -> None:  # noqa: N802  the stdlib's name
        """Let *handler* have this logger's records too."""
        self._stdlib.addHandler(handler)

    def removeHandler(self, handler: logging.Handler) -> None:  # noqa: N802  the stdlib's name
        """Undo `addHandler`."""
        self._stdlib.removeHandler(handler)

    def hasHandlers(self) -> bool:  # noqa: N802  the stdlib's name
        """Whether any handler gets this logger's records; our sinks always do."""
        return True

    def addFilter(self, new: Any) -> None:  # noqa: N802  the stdlib's name
        """Ask *new* about each record of this logger, for our sinks too."""
        self._stdlib.addFilter(new)

    def removeFilter(self, old: Any) -> None:  # noqa: N802  the stdlib's name
        """Undo `addFilter`."""
        self._stdlib.removeFilter(old)

    def handle(self, record: logging.LogRecord) -> None:
        """Treat a record that was made elsewhere as one of this name."""
        self._stdlib.handle(record)
