"""What follows from a logger's name: its clean spelling, and whether its records leave the process.

Our own warnings and OpenTelemetry's go to the console only, at a limited rate, so that telemetry
about telemetry cannot feed itself. So do the records of HTTP and database clients while exporters
send through them.
"""

from __future__ import annotations

from opentelemetry import context as otel

from proletto_otel.core.redaction import sanitise

INNER = ("proletto_otel", "opentelemetry")
"""Loggers with records for the console only."""
CLIENTS = ("urllib3", "requests", "grpc", "slack_sdk", "sqlalchemy", "http.client")
"""Loggers of the clients through which telemetry is sent."""
INNER_PER_MINUTE = 30
_SUPPRESSED = getattr(otel, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")


class LoggerPolicy:
    """One logger name, resolved once."""

    __slots__ = ("_left", "_minute", "clean", "client", "inner", "unrestricted")

    def __init__(self, name: str) -> None:
        self.clean = sanitise.get().text(name)
        self.inner = _is_below(name, INNER)
        self.client = _is_below(name, CLIENTS)
        self.unrestricted = not (self.inner or self.client)
        """Whether its records always go to every sink."""
        self._minute = -1
        self._left = 0

    def within_rate(self, now: float) -> bool:
        """Whether one more line of this name fits into the minute of *now* (monotonic)."""
        if not self.inner:
            return True
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._left = minute, INNER_PER_MINUTE
        # No lock: two threads may both take the last line of a minute.
        self._left -= 1
        return self._left >= 0

    def is_held_back(self) -> bool:
        """Whether its records stay on the console now."""
        # Exporters set this key around their sending; at other times a client's records are like
        # any.
        return self.inner or (self.client and otel.get_value(_SUPPRESSED) is not None)


def _is_below(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)
