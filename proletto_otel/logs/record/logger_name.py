"""What a logger's name says: how it is written, and how far its records may travel.

Our own notices and OpenTelemetry's go to the console only, and not too often, so that telemetry
about telemetry cannot feed itself. Clients that exporters use are held back while those send.
"""

from __future__ import annotations

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value

from proletto_otel.core.redaction import sanitise

INNER = ("proletto_otel", "opentelemetry")
"""Loggers whose records stay on the console."""
CLIENTS = ("urllib3", "requests", "grpc", "slack_sdk", "sqlalchemy", "http.client")
"""Loggers of the clients through which telemetry is sent."""
INNER_PER_MINUTE = 30


class LoggerPolicy:
    """One logger name, resolved once."""

    __slots__ = ("_left", "_minute", "clean", "client", "free", "inner")

    def __init__(self, name: str) -> None:
        self.clean = sanitise.get().text(name)
        self.inner = _below(name, INNER)
        self.client = _below(name, CLIENTS)
        self.free = not (self.inner or self.client)
        """Whether its records always travel."""
        self._minute = -1
        self._left = 0

    def may_speak(self, now: float) -> bool:
        """Whether one more line of this name fits into the minute of *now* (monotonic)."""
        if not self.inner:
            return True
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._left = minute, INNER_PER_MINUTE
        self._left -= 1
        return self._left >= 0

    def held_back(self) -> bool:
        """Whether its records stay on the console now."""
        return self.inner or (self.client and get_value(_SUPPRESS_INSTRUMENTATION_KEY) is not None)


def _below(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)
